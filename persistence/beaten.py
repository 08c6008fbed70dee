"""Which conditional writes lose to mail that they don't know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from amends.persistence.records import Write

if TYPE_CHECKING:
    from amends.persistence.batch import RunState


def overlooking(writes: Iterable[Write], runs: Mapping[str, RunState]) -> set[str]:
    """Name the runs of which it matters which kinds of mail are unread: it decides whether a write loses."""
    return {
        write.run_id
        for write in writes
        if write.despite
        and write.mail is not None
        and write.run_id in runs
        and runs[write.run_id].mail > write.mail
    }


def is_beaten(write: Write, mail: int, unread: Mapping[str, int]) -> bool:
    """Tell whether a conditional write loses: `mail` is the run's last inbox row, `unread` that by kind."""
    known = write.mail
    if known is None or mail <= known:
        return False
    if not write.despite:
        return True
    return any(number > known for kind, number in unread.items() if kind not in write.despite)
