"""What tells people of approvals and parked runs."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from contextvars import ContextVar
from typing import Protocol

from amends.sagas import checked
from amends.sagas.errors import InputInvalid
from amends.sagas.notices import Notice


class Notifier(Protocol):
    """A way to tell people. It is called after the commit of what it tells, at least once, until it succeeds.

    `name` stands in journals: keep it as long as notices may be under way. `notify` may be sync (it is called
    in a thread) or async; it runs as a step, so `current_step()` works in it. What it raises is tried again,
    25 times within about fourteen hours; then a person is asked. The same `Notice.id` may come twice.
    """

    @property
    def name(self) -> str:
        """The notifier's name, unique in its coordinator."""
        ...

    def notify(self, notice: Notice) -> Awaitable[None] | None:
        """Tell people. Raises whatever keeps it from that."""
        ...


NOTIFIERS: ContextVar[Mapping[str, Notifier] | None] = ContextVar("amends.notifiers", default=None)
"""The notifiers, by name, of the coordinator whose attempt this is."""


def by_name(notifiers: Iterable[Notifier]) -> dict[str, Notifier]:
    """Check what a coordinator is given as `notifiers=`. Raises `InputInvalid`."""
    if not isinstance(notifiers, Iterable):
        raise InputInvalid(f"notifiers= takes a list of notifiers, not {notifiers!r}")
    found: dict[str, Notifier] = {}
    for notifier in notifiers:
        name = getattr(notifier, "name", None)
        if not isinstance(name, str) or not callable(getattr(notifier, "notify", None)):
            raise InputInvalid(
                f"notifiers=: {notifier!r} needs a name and a method notify(notice), as Notifier has them"
            )
        if name in found:
            raise InputInvalid(
                f"notifiers=: two are called {name!r}; a notice in the journal names its notifiers, so give "
                "each a name of its own"
            )
        found[checked.name(name, "notifiers=: a notifier's name")] = notifier
    return found
