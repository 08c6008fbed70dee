"""The statements of approvals: what a batch asks and writes, and what can be listed."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    Text,
    exists,
    false,
    literal_column,
    or_,
    select,
    update,
)

from amends.persistence.approval_records import ApprovalState, ApprovalStatus, read_revoked
from amends.persistence.backend import Backend, id_listing
from amends.persistence.prepared import Prepared
from amends.persistence.rows import APPROVAL_COLUMNS, ASKED, VOTE_COLUMNS

PENDING: Final[ColumnElement[str]] = literal_column("'pending'")
STOPPING: Final[tuple[ColumnElement[str], ...]] = (literal_column("'cancel'"), literal_column("'operator'"))
"""The kinds of messages of which a decision must not be taken before they are."""


class Approvals:
    """What a batch does about approvals; each method is one statement."""

    def __init__(self, backend: Backend) -> None:
        approvals, votes, inbox = backend.tables.approvals, backend.tables.votes, backend.tables.inbox
        prepared = functools.partial(Prepared, backend.writes)
        called = exists(
            select(inbox.c.number).where(
                inbox.c.run_id == approvals.c.run_id,
                inbox.c.taken == false(),
                or_(*(inbox.c.kind == kind for kind in STOPPING)),
            )
        )
        self._states = prepared(
            select(
                approvals.c.id,
                approvals.c.status,
                approvals.c.digest,
                approvals.c.quorum,
                approvals.c.expires_at,
                called.label("called"),
                approvals.c.revoked,
            )
            .where(backend.among(approvals.c.id, "ids"))
            .order_by(approvals.c.id)
            .with_for_update()
        )
        self._votes = prepared(
            select(votes.c.approval_id, votes.c.by, votes.c["values"]).where(
                backend.among(votes.c.approval_id, "ids")
            )
        )
        self.ask = backend.insert(approvals, (*ASKED, "status"))
        self.vote = backend.insert(votes, VOTE_COLUMNS)
        self.close = backend.many(
            {"id": Text, "becomes": Text, "at": BigInteger, "decision": LargeBinary, "by": Text},
            lambda cells: (
                update(approvals)
                .where(approvals.c.id == cells["id"], approvals.c.status == PENDING)
                .values(
                    status=cells["becomes"],
                    decided_at=cells["at"],
                    decision=cells["decision"],
                    decided_by=cells["by"],
                )
            ),
        )

        self.revoke = backend.many(
            {"id": Text, "revoked": Text},
            lambda cells: (
                update(approvals).where(approvals.c.id == cells["id"]).values(revoked=cells["revoked"])
            ),
        )

    def states(self, connection: Connection, ids: Collection[str]) -> dict[str, ApprovalState]:
        """Lock approvals and tell how they stand."""
        given = {"ids": id_listing(sorted(ids))}
        found = {
            approval: ApprovalState(
                ApprovalStatus(status), digest, quorum, expires_at, bool(called), {}, read_revoked(revoked)
            )
            for approval, status, digest, quorum, expires_at, called, revoked in self._states(
                connection, given
            )
        }
        for approval, by, values in self._votes(connection, given):
            found[approval].votes[by] = values
        return found


def listed(backend: Backend) -> Select[tuple[object, ...]]:
    """Select approvals, the oldest first."""
    approvals = backend.tables.approvals
    return select(*(approvals.c[name] for name in APPROVAL_COLUMNS)).order_by(
        approvals.c.created_at, approvals.c.id
    )


def votes_of(backend: Backend) -> Select[tuple[object, ...]]:
    """Select the votes of some approvals, in the order in which they came."""
    votes = backend.tables.votes
    columns = (votes.c[name] for name in VOTE_COLUMNS)
    return (
        select(*columns)
        .where(backend.among(votes.c.approval_id, "ids"))
        .order_by(votes.c.approval_id, votes.c.at, votes.c.by)
    )
