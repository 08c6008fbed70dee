"""What an error from the database means for the batch that met it.

No class, sqlstate or invalidated flag is enough alone (a standby's refusal is an `InternalError`, a killed
backend has no sqlstate, a refused connection doesn't invalidate anything), so they are asked in this order:
sqlstate, then the driver's class. What isn't known to be one row's fault is tried again, with everything else
in the batch.
"""

from __future__ import annotations

import sqlite3
from enum import Enum
from typing import Final

from sqlalchemy.exc import DBAPIError, InvalidRequestError, StatementError


class Fault(Enum):
    """What to do about an error."""

    ROW = "row"
    """One row is refused, now and for ever: find it and write the others."""
    BLOCKED = "blocked"
    """One row is locked by somebody's open transaction: find it, write the others, and it later."""
    TRANSIENT = "transient"
    """The database can't do it now: the same batch again, over a new connection if this one is spoilt."""


_ROW_CLASSES: Final = ("22", "23")
_ROW_STATES: Final = frozenset({"54000", "42804", "0A000"})
_BLOCKED_STATES: Final = frozenset({"55P03", "57014"})
_HARMLESS_STATES: Final = frozenset({"40001", "40P01"})
_MISSING_STATES: Final = frozenset({"42P01", "3F000"})
_NO_ROW_ERRORS: Final = ("OperationalError", "InternalError", "NotSupportedError")


def fault_of(error: Exception) -> Fault:
    """Classify an error that was raised by a statement, not by COMMIT (whose fate is always unknown)."""
    cause = _driver_error(error)
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        return _of_state(state)
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause)
    if isinstance(cause, OSError | MemoryError | InvalidRequestError):
        return Fault.TRANSIENT
    if type(cause).__name__ in _NO_ROW_ERRORS:
        return Fault.TRANSIENT
    # A driver refuses what it can't send (NUL in text, an integer too large) with errors of many classes.
    return Fault.ROW


def words_of(error: Exception) -> str:
    """Return the database's words, without statement, parameters and the row that was refused."""
    cause = _driver_error(error)
    if isinstance(cause, UnicodeEncodeError):
        return "text holds half of a surrogate pair, which databases don't store"
    words = str(cause).partition("\nDETAIL:")[0].strip()
    return f"{type(cause).__name__}: {words}".rstrip(": ")


def is_missing_table(error: Exception) -> bool:
    """Tell whether a table or schema isn't there."""
    cause = _driver_error(error)
    return getattr(cause, "sqlstate", None) in _MISSING_STATES or "no such table" in str(cause)


def is_harmless(error: Exception) -> bool:
    """Tell whether the connection that met the error is as good as before; in doubt it isn't."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return False
    cause = _driver_error(error)
    if fault_of(error) is not Fault.TRANSIENT or getattr(cause, "sqlstate", None) in _HARMLESS_STATES:
        return True
    return isinstance(cause, sqlite3.OperationalError) and "locked" in str(cause)


def _driver_error(error: Exception) -> BaseException:
    if isinstance(error, StatementError) and error.orig is not None:
        return error.orig
    return error


def _of_state(state: str) -> Fault:
    if state in _BLOCKED_STATES:
        return Fault.BLOCKED
    if state[:2] in _ROW_CLASSES or state in _ROW_STATES:
        return Fault.ROW
    return Fault.TRANSIENT


def _of_sqlite(error: sqlite3.Error) -> Fault:
    refused = sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError | sqlite3.ProgrammingError
    if isinstance(error, refused) and "closed" not in str(error):
        return Fault.ROW
    return Fault.TRANSIENT
