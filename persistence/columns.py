"""Making tables: columns of each kind, and names of constraints and indexes, in one way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine


@dataclass(frozen=True, slots=True)
class Maker:
    """Name tables, constraints and indexes in one way."""

    metadata: MetaData
    prefix: str

    def table(self, name: str, *items: SchemaItem) -> Table:
        """Make a table."""
        return Table(f"{self.prefix}{name}", self.metadata, *items)

    def primary(self, table: str, *columns: str) -> PrimaryKeyConstraint:
        """Make a primary key."""
        return PrimaryKeyConstraint(*columns, name=f"{self.prefix}{table}_pkey")

    def unique(self, table: str, *columns: str) -> UniqueConstraint:
        """Make a constraint that a row is the only one of its kind."""
        return UniqueConstraint(*columns, name=f"{self.prefix}{table}_{columns[-1]}_key")

    def check(self, table: str, what: str, condition: str) -> CheckConstraint:
        """Make a constraint on a row."""
        return CheckConstraint(text(condition), name=f"{self.prefix}{table}_{what}")

    def index(self, table: Table, what: str, *columns: str, where: str = "", on_sqlite: str = "") -> Index:
        """Make an index; `where` limits it to some rows."""
        chosen = [table.c[name] for name in columns]
        return Index(
            f"{table.name}_{what}",
            *chosen,
            postgresql_where=text(where) if where else None,
            sqlite_where=text(on_sqlite or where) if where else None,
        )


def key_type() -> TypeEngine[str]:
    """Compare keys byte by byte: fast, and the index is right after an upgrade of the system's locales."""
    return Text().with_variant(Text(collation="C"), "postgresql")


def key(name: str) -> Column[str]:
    """Make a column of keys."""
    return Column(name, key_type(), nullable=False)


def words(name: str) -> Column[str]:
    """Make a column of text."""
    return Column(name, Text, nullable=False)


def words_or_null(name: str) -> Column[str]:
    """Make a column of text, or nothing."""
    return Column(name, Text)


def number(name: str) -> Column[int]:
    """Make a column of whole numbers."""
    return Column(name, BigInteger, nullable=False)


def number_or_null(name: str) -> Column[int]:
    """Make a column of whole numbers, or nothing."""
    return Column(name, BigInteger)


def payload(name: str) -> Column[bytes]:
    """Make a column of bytes, or nothing."""
    return Column(name, LargeBinary)


def serial(name: str) -> Column[int]:
    """Make a column that the database counts up."""
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), Identity(always=True), nullable=False)


def literals(column: str, values: Iterable[StrEnum]) -> ColumnElement[bool]:
    """Say that `column` is one of `values` in literal SQL, so that partial indexes apply."""
    allowed = [literal_column(f"'{value.value}'", Text) for value in values]
    return literal_column(column, Text).in_(allowed)


def one_of(column: str, values: Iterable[StrEnum]) -> str:
    """Say the same as `literals` in words of SQL."""
    return str(literals(column, values).compile())
