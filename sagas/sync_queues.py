"""The blocking twin of `Queues`."""

from __future__ import annotations

from amends.sagas.queues import Queues
from amends.sagas.sync import Blocking, LoopThread


class SyncQueues:
    """The queues of a coordinator's database, with the methods of `Queues`, blocking."""

    def __init__(self, thread: LoopThread, queues: Queues) -> None:
        self._thread = thread
        self._queues = queues

    put = Blocking(Queues.put)
    pause = Blocking(Queues.pause)
    resume = Blocking(Queues.resume)
    delete = Blocking(Queues.delete)
    list = Blocking(Queues.list)
    get = Blocking(Queues.get)
    audit = Blocking(Queues.audit)

    def _reach(self) -> tuple[LoopThread, Queues]:
        return self._thread, self._queues
