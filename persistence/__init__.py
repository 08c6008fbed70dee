"""The durable log: runs, journals and inboxes in SQLite or PostgreSQL, written by group commit.

Import `Database` and `Writer` from their modules: the package itself loads no database library.
"""

from amends.persistence.codec import Codec, PlainCodec
from amends.persistence.errors import AmendsError

__all__ = ["AmendsError", "Codec", "PlainCodec"]
