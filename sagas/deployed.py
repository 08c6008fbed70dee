"""Which code is deployed in this process: a digest that changes when a saga's code may have changed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

from amends.persistence.records import OTHER_CODE

if TYPE_CHECKING:
    from amends.sagas.saga import Saga


def code_of(sagas: Iterable[Saga[..., Any]]) -> str:
    """Give the need of a run that goes on under other code: a digest of `sagas` and of their files.

    What a body calls in other files isn't seen: an operator's `resume` is for that.
    """
    return f"{OTHER_CODE}{_digest(frozenset(saga.fn.__code__ for saga in sagas))}"


@functools.lru_cache(maxsize=8)
def _digest(codes: frozenset[CodeType]) -> str:
    parts = sorted({part for code in codes for part in (_of_code(code), _of_file(code.co_filename))})
    return hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest()


def _of_code(code: CodeType) -> bytes:
    """Digest what a function does, and neither where it stands nor what its constants are called by."""
    made = hashlib.blake2b(digest_size=16)
    for part in _parts(code):
        made.update(part)
    return made.digest()


def _parts(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr(code.co_names).encode("utf-8", "surrogatepass")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, constant))).encode("utf-8", "surrogatepass")
        else:
            yield repr(constant).encode("utf-8", "surrogatepass")


@functools.lru_cache(maxsize=256)
def _of_file(name: str) -> bytes:
    try:
        data = Path(name).read_bytes()
    except (OSError, ValueError):
        return b""
    return hashlib.blake2b(data, digest_size=16).digest()
