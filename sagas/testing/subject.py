"""What is tested: a saga, its input, and the world that it works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amends.sagas.errors import DefinitionError
from amends.sagas.executor import Executor, Settings
from amends.sagas.news import Attempted, Beat, Noted
from amends.sagas.outcome import Outcome
from amends.sagas.registry import SAGAS
from amends.sagas.saga import Saga
from amends.sagas.testing.ledger import Call
from amends.sagas.testing.mishaps import Mishaps
from amends.sagas.testing.post import Given, Letter, encoded
from amends.sagas.testing.stage import Stage
from amends.sagas.testing.world import World


@dataclass(frozen=True, slots=True)
class Subject:
    """A saga with its encoded input, its world, what its steps get as `resources`, and what it is sent."""

    saga: Saga[..., Any]
    data: bytes
    world: World | None
    resources: Any
    signals: tuple[Letter, ...] = ()

    @classmethod
    def of(
        cls, saga: Any, input: Any, world: World | None, resources: Any, signals: Sequence[Given] = ()
    ) -> Subject:
        """Check and encode. Raises `DefinitionError` and `InputInvalid`."""
        if not isinstance(saga, Saga):
            raise DefinitionError(f"{saga!r} is not a saga; decorate it with @saga")
        if SAGAS.get((saga.name, saga.version)) is not saga:
            raise DefinitionError(
                f"saga {saga.name!r} has been defined again since, and runs are of the one defined last; "
                "test that one, or give one of them another name (name=...)"
            )
        arguments = input if isinstance(input, tuple) else (input,)
        data = saga.arguments.encode(arguments, {})
        return cls(saga, data, world, world if resources is None else resources, encoded(saga, signals))

    def play(self, mishaps: Mishaps, workers: int = 1) -> Stage:
        """Play one run under mishaps."""
        return Stage(
            self.saga,
            self.data,
            world=self.world,
            resources=self.resources,
            mishaps=mishaps,
            workers=workers,
            signals=self.signals,
        ).play()

    def world_after_only(self, calls: list[Call]) -> Any:
        """Give the world as it is after nothing but these calls; None where they can't be made alone."""
        return _Alone(self, calls).snapshot()


class _Alone(Stage):
    """Makes some calls on a fresh world, and no run at all."""

    def __init__(self, subject: Subject, calls: list[Call]) -> None:
        super().__init__(
            subject.saga,
            subject.data,
            world=subject.world,
            resources=subject.resources,
            mishaps=Mishaps(),
        )
        self._attempts = [call.attempt for call in calls]
        self._failed = False
        self._left = 0

    def snapshot(self) -> Any:
        """Give the world after the calls; None where one of them failed."""
        self.play()
        return None if self._failed else self.after

    def _begin(self) -> None:
        executor = Executor(
            Settings(self._resources, 1, 1, 1 << 30),
            now=self.now,
            lease_good=lambda: True,
            report=self._done,
            room=self.room,
        )
        self._left = len(self._attempts)
        for attempt in self._attempts:
            executor.start(attempt)

    def _done(self, _run_id: str, item: Attempted | Beat | Noted) -> None:
        if isinstance(item, Beat | Noted):
            return
        self._failed = self._failed or item.outcome is not Outcome.LANDED
        self._left -= 1
        if not self._left:
            self.loop.stop()
