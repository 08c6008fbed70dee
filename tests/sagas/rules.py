"""The safety rules, checked on a run's whole journal against what the world holds."""

from __future__ import annotations

from collections.abc import Sequence

from amends.persistence.records import Status
from amends.sagas.compensation import standing
from amends.sagas.journal import Entry, Kind
from amends.sagas.outcome import Effect
from amends.sagas.reloading import reload
from amends.sagas.run import LiveRun
from amends.sagas.step_record import StepRecord, Undoing
from tests.sagas.programs import HEARD, Node, letters, program
from tests.sagas.simulated import LIMITS, Simulation, fold
from tests.sagas.world import World


def simulate(
    node: Node,
    forward: Sequence[Sequence[str]] = (),
    backward: Sequence[Sequence[str]] = (),
    deadline: int | None = None,
) -> Simulation:
    """Make a run of a random saga, with a script for each of its calls by number."""
    world = World(dict(enumerate(forward, 1)), dict(enumerate(backward, 1)))
    return Simulation(program, {"node": node}, world, deadline_ms=deadline, letters=letters(node))


def shown(run: Simulation) -> str:
    """Show a run's journal, an entry a line."""
    return "\n".join(
        f"{entry.seq:3} {entry.at - run.row.created_at:7} {entry.kind} {entry.ref} {entry.attempt} "
        f"{entry.name} {entry.meta}"
        for entry in run.journal
    )


def check_end(run: Simulation) -> None:
    """Check that a played run has come to an end, or waits for a person, and that no rule is broken."""
    assert complaints(run) == []


def complaints(run: Simulation) -> list[str]:
    """Give what is wrong with a played run, in words."""
    if not run.ended and run.row.status is not Status.PARKED:
        return ["the run neither ends nor parks"]
    return broken_rules(run)


def broken_rules(run: Simulation) -> list[str]:
    """Give every rule that an ended or parked run has broken, in words."""
    entries = run.journal
    found = [*run.wrongs, *run.world.wrongs]
    found += _one_way(entries) + _never_again(entries) + _order(entries) + _settled_before_told(entries)
    found += _keys(run) + _forward_behind_pivot(run) + _received(run)
    if run.row.status is Status.PARKED:
        return found + _parked_names_owed(run)
    return found + _truthful(run) + _nothing_owed(run)


def _one_way(entries: list[Entry]) -> list[str]:
    """S4: no forward intent after the switch, and one switch."""
    switches = [entry.seq for entry in entries if entry.kind is Kind.SWITCH]
    if not switches:
        return []
    wrong = [
        e.seq for e in entries if e.kind in (Kind.INTENT, Kind.RETRY, Kind.FIRED) and e.seq > switches[0]
    ]
    found = [f"forward entries {wrong} after the switch {switches[0]} (S4)"] if wrong else []
    return found + ([f"{len(switches)} switches (S4)"] if len(switches) > 1 else [])


def _never_again(entries: list[Entry]) -> list[str]:
    """S9: after a recorded success a compensation is never tried again; S22: none starts twice."""
    done: set[int] = set()
    begun: set[int] = set()
    found = []
    for entry in entries:
        ref = entry.ref or 0
        if entry.kind in (Kind.UNDO, Kind.UNDO_RETRY, Kind.UNDO_LOST, Kind.UNDONE) and ref in done:
            found.append(f"{ref}: {entry.kind} after it was undone (S9)")
        if entry.kind is Kind.UNDO and ref in begun:
            found.append(f"{ref}: undone twice (S9)")
        if entry.kind is Kind.UNDO:
            begun.add(ref)
        if entry.kind is Kind.UNDONE:
            done.add(ref)
    return found


def _order(entries: list[Entry]) -> list[str]:
    """S7: what began after an outcome was delivered is settled before that effect is undone."""
    if not any(entry.kind is Kind.SWITCH for entry in entries):
        return []
    steps = fold(entries).steps.values()
    undone_at = {e.ref: e.seq for e in entries if e.kind is Kind.UNDONE}
    begun_at = {e.ref: e.seq for e in entries if e.kind is Kind.UNDO}
    switched = next(e.seq for e in entries if e.kind is Kind.SWITCH)
    found = []
    for first in steps:
        begun = begun_at.get(first.ref)
        if first.delivered_seq is None or begun is None or begun < switched:
            continue
        for later in steps:
            if later.handler is None or later.intent_seq < first.delivered_seq:
                continue
            owed_then = begun_at.get(later.ref) is not None or later.owed
            if owed_then and not undone_at.get(later.ref, len(entries) + 1) < begun:
                found.append(f"{first.ref} is undone before {later.ref}, which came after it (S7)")
    return found


def _settled_before_told(entries: list[Entry]) -> list[str]:
    """S27: an effect that failed for good, and may stand, is undone before the body gets its error."""
    found = []
    for step in fold(entries).steps.values():
        told = step.delivered_seq
        if told is None or step.handler is None or step.phase != "failed":
            continue
        before = fold([entry for entry in entries if entry.seq <= told]).steps[step.ref]
        if before.owed:
            found.append(f"the body is told of the failed {step.ref} while its effect may stand (S27)")
    return found


def _keys(run: Simulation) -> list[str]:
    """S9: one key an occurrence, the same for every attempt."""
    steps = run.history.steps.values()
    keys = [step.key for step in steps if step.key]
    found = [] if len(keys) == len(set(keys)) else ["two steps share a key (S9)"]
    strange = set(run.world.effects) - set(keys)
    return found + ([f"effects under keys that no journal has: {strange} (S1)"] if strange else [])


def _parked_names_owed(run: Simulation) -> list[str]:
    """S12, S3: a parked run names what is owed, and parks only for a reason it can tell."""
    reason = run.history.park_reason
    if "look at what the participant holds and say so" in reason:
        told = all(f"({ref})" in reason for ref in run.history.doubts)
        return (
            [] if told and run.history.doubts else [f"parked, and in doubt is {run.history.doubts}: {reason}"]
        )
    if "stuck forward" in reason:
        return [] if _landed_pivots(run) else [f"no pivot has landed, and it is parked: {reason} (S14)"]
    if "failed for good" not in reason:
        return [f"parked: {reason}"]
    meta = run.journal[-1].meta
    named = {int(name.rpartition("(")[2].rstrip(")")) for name in meta["owed"]}
    owed = {step.ref for step in run.history.steps.values() if step.owed}
    return [] if named == owed else [f"parked naming {named}, owed are {owed} (S12)"]


def _landed_pivots(run: Simulation) -> list[int]:
    return [
        step.ref
        for step in run.history.steps.values()
        if step.effect is Effect.PIVOT and run.world.stands(step.key)
    ]


def _forward_behind_pivot(run: Simulation) -> list[str]:
    """S14: what was asked for before a pivot isn't undone once that has landed, or while nobody knows."""
    found = []
    ends = (Status.COMPLETED, Status.PARKED)
    if _landed_pivots(run) and run.row.status not in ends:
        found.append(f"the pivots {_landed_pivots(run)} landed, and the run {run.row.status} (S14)")
    pivots = {step.ref: step for step in run.history.steps.values() if step.effect is Effect.PIVOT}
    switch = next((entry.seq for entry in run.journal if entry.kind is Kind.SWITCH), None)
    if switch is None:
        return found
    before = fold([entry for entry in run.journal if entry.seq < switch]).steps
    open_still = [ref for ref in pivots if ref in before and before[ref].may_stand]
    return found + [
        f"the run turned round in {switch} while its pivot {ref} may stand (S14)" for ref in open_still
    ]


def _truthful(run: Simulation) -> list[str]:
    """S13, S3, S24: the status says what the world holds."""
    steps = run.history.steps.values()
    left = (
        {step.key for step in standing(run.history.steps)}
        if run.row.status is not Status.COMPLETED
        else set()
    )
    found = []
    for step in steps:
        found += _truthful_of(run, step, listed=step.key in left)
    reversible = [step for step in steps if step.handler is not None]
    undone = any(step.undoing is Undoing.DONE for step in reversible)
    happened = any(run.world.effects[s.key].landed for s in reversible if s.key in run.world.effects)
    match run.row.status:
        case Status.COMPLETED:
            wrong = any(entry.kind is Kind.SWITCH for entry in run.journal)
        case Status.COMPENSATED:
            wrong = not undone or bool(left)
        case Status.PARTIALLY_COMPENSATED:
            wrong = not undone or not left
        case _:
            wrong = undone or happened
    return found + ([f"{run.row.status} isn't the truth (S13)"] if wrong else [])


def _truthful_of(run: Simulation, step: StepRecord, *, listed: bool) -> list[str]:
    if step.effect is Effect.READ:
        return []
    stands = run.world.stands(step.key)
    completed = run.row.status is Status.COMPLETED
    if step.handler is not None:
        rolled_back = {entry.ref for entry in run.journal if entry.kind is Kind.ROLLBACK}
        taken_back = step.abandoned or bool(rolled_back.intersection(step.scopes))
        wanted = completed and step.phase == "landed" and not taken_back
        if stands and not wanted:
            return [f"the effect of {step.ref} stands in a run that {run.row.status} (S3)"]
        return [] if stands or not wanted else [f"the effect of {step.ref} is gone from a completed run (S3)"]
    if not completed and stands and not listed and (step.landed or step.effect is Effect.IRREVERSIBLE):
        return [f"the effect of {step.ref} stands and isn't listed (S13)"]
    return []


def _received(run: Simulation) -> list[str]:
    """Section 3: signals are taken once and in order of sending, and received so by whoever asks."""
    taken: dict[str, list[int]] = {}
    for entry in run.journal:
        if entry.kind is Kind.SIGNAL:
            taken.setdefault(entry.name or "", []).append(int(entry.payload or b"0"))
    found = [
        f"the signals {name!r} were taken as {numbers}"
        for name, numbers in taken.items()
        if numbers != list(range(1, len(numbers) + 1))
    ]
    if run.row.status is not Status.COMPLETED:
        return found
    # The bodies that did it, one after the other: each has what the one before hasn't received.
    ends = [entry.seq for entry in run.journal if entry.kind in (Kind.FLOOR, Kind.ENDED)]
    heard: dict[str, list[int]] = {}
    left: dict[str, list[int]] = {}
    for seq in ends:
        HEARD.clear()
        live = LiveRun(program, run.row, LIMITS)
        entries = [entry for entry in run.journal if entry.seq < seq]
        reload(live, entries, [], entries[-1].at if entries else run.row.created_at)
        if live.body is None:
            return [*found, f"the body doesn't come to entry {seq}: {live.park_reason}"]
        for loop, name, number in HEARD:
            # Before a floor the replay begins anew too: that body's turn comes next.
            if seq == ends[-1] or loop is not live.body.loop:
                heard.setdefault(name, []).append(number)
        left = {}
        for letter in live.body.mailbox.left:
            left.setdefault(letter.name, []).append(int(letter.payload))
        live.close()
    return found + [
        f"of the signals {name!r}, {numbers}, the body got {heard.get(name)}, and left {left.get(name)}"
        for name, numbers in taken.items()
        if heard.get(name, []) + left.get(name, []) != numbers
    ]


def _nothing_owed(run: Simulation) -> list[str]:
    """S13, S27: an ended run owes nothing, and nothing of it is under way."""
    history = run.history
    found = [f"ended with {step.ref} under way (S13)" for step in history.active.values()]
    found += [f"ended with {step.ref} unsettled (S27)" for step in history.unsettled.values()]
    if run.row.status is not Status.COMPLETED:
        found += [f"ended owing {step.ref} (S13)" for step in history.steps.values() if step.owed]
    if run.row.owner is not None or run.row.due_at is not None:
        found.append("an ended run is due again")
    return found
