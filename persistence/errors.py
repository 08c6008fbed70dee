"""The errors of the product, from the root down to those of the database.

```
AmendsError
└── DatabaseError
    ├── UnsupportedDatabase   this URL, version or driver can't be used
    ├── DatabaseNewer         the tables were made by newer code
    ├── DatabaseNotReady      the tables are missing or older, and migrate=False
    ├── DatabaseReadOnly      a read-only file or directory, a standby, a read-only session
    ├── DatabaseUnavailable   it can't be reached, or is locked or full
    ├── WorkerNameTaken       another living process works under this name
    ├── WriterClosed          a write after the end, or in a forked child
    ├── OtherDatabase         a caller's connection leads to another database than the log's
    ├── CommittedByStep       a transactional step has ended its transaction itself
    └── RecordUnreadable      a record that the codec or this version can't read
```

What a write met in the database isn't raised: it stands in its `Receipt`.
"""

from __future__ import annotations


class AmendsError(Exception):
    """Be the root of every error that amends raises on purpose."""


class DatabaseError(AmendsError):
    """Be the root of what can be wrong with a database."""


class UnsupportedDatabase(DatabaseError):
    """A database, version or driver that amends can't keep a durable log in."""


class DatabaseNewer(DatabaseError):
    """The tables were made by a newer amends than this one: install that version, or newer."""


class DatabaseNotReady(DatabaseError):
    """The tables are missing or older than this code, and migrating wasn't allowed."""


class DatabaseReadOnly(DatabaseError):
    """The database can be read only: a file without write permission, a standby, a read-only session."""


class DatabaseUnavailable(DatabaseError):
    """The database can't be reached or used right now."""


class WorkerNameTaken(DatabaseError):
    """A worker of this name is alive: each process needs a worker name of its own."""


class WriterClosed(DatabaseError):
    """The writer was closed, or belongs to the process that this one was forked from."""


class OtherDatabase(DatabaseError):
    """A connection that was given leads to another database than the coordinator's: nothing was written."""


class CommittedByStep(DatabaseError):
    """A transactional step tried to end its transaction itself: its outcome couldn't commit with its rows."""


class RecordUnreadable(DatabaseError):
    """A record that the codec can't decode, or that newer code wrote; it concerns its run only."""
