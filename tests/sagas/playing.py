"""Playing a simulated run to its end: numbers choose what happens next, then everything goes well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from amends.persistence.records import Status
from tests.sagas.simulated import Simulation

PROGRESS, LAND, KILL, FREEZE, SHUT, STRAY_LANDS, BEFORE_WRITE, BEFORE_FIRST_WRITE, CANCEL = range(9)
TIME_PASSES, ONE_PIECE_OF_NEWS, LANDED_UNTOLD, UNREAD_MAIL, FLUSH, POST, POST_AGAIN = range(9, 16)


def play(simulation: Simulation, choices: Sequence[int] = (), most: int = 3_000) -> Simulation:
    """Play a run to its end: each number chooses what happens next, then everything goes well."""
    if not simulation.rows and simulation.live is None:
        simulation.claim()
    left = list(reversed(choices))
    for _ in range(most):
        if (simulation.ended or simulation.row.status is Status.PARKED) and not simulation.strays:
            break
        choice = left.pop() if left else PROGRESS
        simulation.ticks += 1
        if not _happen(simulation, choice % 16, choice // 16) and not left:
            break
    if simulation.live is not None:
        simulation.live.close()
    return simulation


def _happen(run: Simulation, kind: int, which: int) -> bool:
    """Let one thing happen, where it can; tell whether anything did."""
    possible = {
        LAND: bool(run.flying),
        STRAY_LANDS: bool(run.strays),
        BEFORE_WRITE: run.live is not None,
        BEFORE_FIRST_WRITE: run.due,
        CANCEL: which % 2 == 0,
        ONE_PIECE_OF_NEWS: bool(run.news),
        LANDED_UNTOLD: bool(run.flying),
        UNREAD_MAIL: bool(run.news),
        POST: not run.ended and run.posted < len(run.letters),
        POST_AGAIN: not run.ended and run.posted > 0,
    }
    if kind == TIME_PASSES:
        return run.advance() or bool(run.news) or run.posted < len(run.letters)
    if kind not in MISHAPS or not possible.get(kind, True):
        return _progress(run, which)
    MISHAPS[kind](run, which)
    return True


def _post(run: Simulation, again: int = 0) -> None:
    run.post(again)


def _landed_untold(run: Simulation, which: int) -> None:
    run.land(which % len(run.flying))
    run.kill(frozen=bool(which % 2))


MISHAPS: dict[int, Callable[[Simulation, int], None]] = {
    LAND: lambda run, which: run.land(which % len(run.flying)),
    KILL: lambda run, _: run.kill(),
    FREEZE: lambda run, _: run.kill(frozen=True),
    SHUT: lambda run, _: run.cut(),
    STRAY_LANDS: lambda run, which: run.land_stray(which % len(run.strays)),
    BEFORE_WRITE: lambda run, _: run.turn(write=False),
    BEFORE_FIRST_WRITE: lambda run, _: run.claim(write=False),
    CANCEL: lambda run, _: run.cancel(),
    ONE_PIECE_OF_NEWS: lambda run, _: run.turn(most=1),
    LANDED_UNTOLD: _landed_untold,
    UNREAD_MAIL: lambda run, _: run.turn(),
    FLUSH: lambda run, _: run.flush(),
    POST: lambda run, _: _post(run),
    POST_AGAIN: lambda run, which: _post(run, 1 + which),
}


def _progress(run: Simulation, which: int) -> bool:
    if run.live is not None:
        run.read_mail()
    if run.live is not None and (run.news or _is_due(run)):
        run.turn()
    elif run.due:
        run.claim()
    elif run.flying:
        run.land(which % len(run.flying))
    else:
        # Time passes first: a signal that nobody has sent by then comes too late for every timer.
        return run.advance() or run.post()
    return True


def _is_due(run: Simulation) -> bool:
    return run.wake_at is not None and run.wake_at <= run.now
