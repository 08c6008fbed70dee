"""The signals that a run has been sent and hasn't received yet, and who waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from amends.sagas.journal import Entry


@dataclass(frozen=True, slots=True)
class Letter:
    """One signal: the number of its journal entry, its name, and its payload as JSON."""

    seq: int
    name: str
    payload: bytes


def letter_of(entry: Entry) -> Letter:
    """Give the letter that a `SIGNAL` entry tells of."""
    return Letter(entry.seq, entry.name or "", entry.payload or b"null")


class Mailbox:
    """Gives each letter to one receiver: by name, in the order of sending, the longest waiting first.

    A letter leaves only with a receiver that gets it: one that is cancelled at the last moment gives it
    back. What is given to whom follows from the order of letters and calls alone, so that it replays.
    """

    def __init__(self, letters: Iterable[Letter] = ()) -> None:
        self._letters: dict[str, deque[Letter]] = {}
        self._waiting: dict[str, deque[asyncio.Future[Letter]]] = {}
        self._begun: dict[str, int] = {}
        for letter in letters:
            self.put(letter)

    @property
    def awaited(self) -> list[str]:
        """The names of the signals that are waited for, sorted."""
        return sorted(name for name, waiting in self._waiting.items() if any(not f.done() for f in waiting))

    def since(self, name: str) -> int | None:
        """Give since when a name has been waited for, in milliseconds; None where nobody waits for it."""
        return self._begun.get(name)

    @property
    def left(self) -> list[Letter]:
        """The letters that nobody has received, in the order of sending."""
        letters = (letter for queue in self._letters.values() for letter in queue)
        return sorted(letters, key=lambda letter: letter.seq)

    def put(self, letter: Letter) -> None:
        """Take a letter in: whoever waits for its name the longest gets it."""
        self._letters.setdefault(letter.name, deque()).append(letter)
        self._hand_out(letter.name)

    async def receive(
        self, name: str, future: Callable[[], asyncio.Future[Letter]], now: int, *, closing: bool = False
    ) -> Letter:
        """Wait from `now` on for the next letter of a name; `future` makes one of the body's loop.

        A body that is being closed gets none.
        """
        waiter = future()
        if closing:
            return await waiter
        self._waiting.setdefault(name, deque()).append(waiter)
        self._begun.setdefault(name, now)
        self._hand_out(name)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._give_up(name, waiter)
            raise

    def _hand_out(self, name: str) -> None:
        letters, waiting = self._letters.get(name), self._waiting.get(name)
        while letters and waiting:
            waiter = waiting.popleft()
            if not waiter.done():
                waiter.set_result(letters.popleft())
        if not letters:
            self._letters.pop(name, None)
        if not waiting:
            self._waiting.pop(name, None)
            self._begun.pop(name, None)

    def _give_up(self, name: str, waiter: asyncio.Future[Letter]) -> None:
        """Forget a receiver that was cancelled; the letter that it had in its hands comes first again."""
        if waiter.cancelled() or not waiter.done():
            waiting = self._waiting.get(name, deque())
            if waiter in waiting:
                waiting.remove(waiter)
            self._hand_out(name)
            return
        letters = self._letters.setdefault(name, deque())
        letters.append(waiter.result())
        self._letters[name] = deque(sorted(letters, key=lambda letter: letter.seq))
        self._hand_out(name)
