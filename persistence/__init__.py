"""The durable log: runs, journals and inboxes in SQLite or PostgreSQL, written by group commit."""

from amends.persistence.codec import Codec, PlainCodec
from amends.persistence.database import Database
from amends.persistence.writer import Writer

__all__ = ["Codec", "Database", "PlainCodec", "Writer"]
