"""What every payload passes on its way into and out of the database."""

from __future__ import annotations

from typing import Protocol


class Codec(Protocol):
    """Turn payloads into what is stored and back: to encrypt them, to compress them.

    `decode(encode(data)) == data` must hold for ever: old rows stay readable after a change of keys.
    Both may raise; an error harms the run concerned and no other. Both are called from several threads.
    """

    def encode(self, data: bytes) -> bytes:
        """Return what is stored for `data`."""
        ...

    def decode(self, data: bytes) -> bytes:
        """Return what `encode` was given; raise if it can't be told."""
        ...


class PlainCodec:
    """Store payloads as they are."""

    def encode(self, data: bytes) -> bytes:
        """Return `data`."""
        return data

    def decode(self, data: bytes) -> bytes:
        """Return `data`."""
        return data
