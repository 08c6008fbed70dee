"""How a writer's answers reach the application: in its own thread or loop, never in the writer's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from amends.persistence.queued import Thunk
from amends.persistence.records import Receipt

_log: Final = logging.getLogger("amends.persistence")


class Delivery:
    """Hand thunks over, a batch's answers as one."""

    def __init__(self, deliver: Callable[[Callable[[], None]], object], on_news: Thunk) -> None:
        self._deliver = deliver
        self._on_news = on_news
        self._news_told = False
        self._shown_told = False

    def hand(self, thunks: Sequence[Thunk]) -> None:
        """Have all `thunks` called; whatever one raises is logged and harms no other."""
        try:
            self._deliver(lambda: _call(thunks))
        except RuntimeError:
            # The application's loop is closed: nobody is left to be told.
            _log.debug("nobody takes the writer's answers any more")

    def news(self) -> None:
        """Have the application told that others have committed something; once until it was."""
        if not self._news_told:
            self._news_told = True
            self.hand([self._tell_news])

    def shown(self) -> None:
        """Have the application called because others have shown something; once until it was."""
        if not self._shown_told:
            self._shown_told = True
            self.hand([self._tell_shown])

    def _tell_shown(self) -> None:
        # Whatever is delivered lets who watches runs look.
        self._shown_told = False

    def _tell_news(self) -> None:
        self._news_told = False
        self._on_news()


def answer(done: Callable[[Receipt], object], receipt: Receipt) -> Thunk:
    """Return the thunk that tells one caller what became of its write."""
    return lambda: done(receipt)


def _call(thunks: Sequence[Thunk]) -> None:
    for thunk in thunks:
        try:
            thunk()
        except Exception:  # noqa: BLE001 - the application's callbacks may raise anything
            _log.exception("a callback of the writer raised")
