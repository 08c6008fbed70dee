"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Expand: what the version before doesn't know must not hinder it."""
    ${upgrades if upgrades else "raise NotImplementedError"}
