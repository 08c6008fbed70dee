"""The cases of the kill matrix: a saga, what the world answers, and how the run may end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

COMPLETED = ("completed",)
UNDONE = ("compensated",)

Directives = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Case:
    """One scenario.

    An unkilled run ends as the first of `ends` says, and leaves `stands` in the world; a killed one may end
    as any of them says: what was in flight may have landed. `directives` are for forward calls, `undoing`
    for compensations. `act` is what a person does: `cancel` or `abort` once the call `stop_at` was sent,
    `undo` when the run has completed, the others (see `people.py`) when it is parked. `signals` are sent by
    whoever drives it, again by each that comes after a killed one: at once, or once the run is dormant
    (`to_dormant`); `by_webhook` as calls of a webhook, each delivered twice. `decisions` say who decides what
    of whatever the run asks, one after the other.
    """

    name: str
    saga: str
    ends: tuple[str, ...]
    stands: tuple[str, ...] = ()
    directives: Directives = field(default_factory=dict)
    undoing: Directives = field(default_factory=dict)
    act: str | None = None
    stop_at: str | None = None
    signals: tuple[tuple[str, str], ...] = ()
    to_dormant: bool = False
    by_webhook: bool = False
    decisions: tuple[tuple[str, bool], ...] = ()


BOOKED = ("car", "flight", "hotel")
SOLD = ("goods", "hotel", "money")
NO = ("refuse*",)
TOLD = (("book", "flight"), ("book", "car"))
AGREED = (("cy", True), ("ann", True), ("ann", True), ("bob", True))
"""What is decided by somebody who may not, twice by another, and by as many as are needed."""
ALONE = (("ann", True),)

CASES = (
    Case("linear", "linear", COMPLETED, BOOKED),
    Case("first refused", "linear", ("failed", "compensated"), directives={"hotel": NO}),
    Case("middle refused", "linear", UNDONE, directives={"flight": NO}),
    Case("last refused", "linear", UNDONE, directives={"car": NO}),
    Case("last fails for good", "linear", UNDONE, directives={"car": ("fail*",)}),
    Case("answer of the first lost", "linear", COMPLETED, BOOKED, {"hotel": ("silent",)}),
    Case("answer of the middle lost", "linear", COMPLETED, BOOKED, {"flight": ("close",)}),
    Case("answer of the last lost", "linear", COMPLETED, BOOKED, {"car": ("silent", "close")}),
    Case("error after landing", "linear", COMPLETED, BOOKED, {"flight": ("break",)}),
    Case("lands late", "linear", COMPLETED, BOOKED, {"flight": ("late:150",)}),
    Case("lands late, last refused", "linear", UNDONE, directives={"flight": ("late:150",), "car": NO}),
    Case(
        "all answers lost",
        "linear",
        UNDONE,
        directives={"hotel": ("close",), "flight": ("close",), "car": ("break*",)},
    ),
    Case("retry", "linear", COMPLETED, BOOKED, {"flight": ("fail", "fail")}),
    Case("threads", "in_threads", COMPLETED, BOOKED, {"flight": ("close",)}),
    Case(
        "thread outlives its time-out",
        "in_threads",
        COMPLETED,
        BOOKED,
        {"flight": ("slow:450",), "car": ("slow:250",)},
    ),
    Case("threads refused", "in_threads", UNDONE, directives={"car": NO}),
    Case(
        "gather",
        "gathered",
        COMPLETED,
        ("car", "dinner", "flight", "hotel", "tour"),
        {"flight": ("slow:40",)},
    ),
    Case("gather with one failing", "gathered", UNDONE, directives={"car": NO, "tour": ("slow:100",)}),
    Case("group with one failing", "grouped", UNDONE, directives={"car": NO, "hotel": ("slow:100",)}),
    Case("fork refused at the end", "forked", UNDONE, directives={"home": NO, "oslo": ("slow:30",)}),
    Case("race", "race", COMPLETED, ("fast", "prize"), {"slow": ("slow:150",)}),
    Case("race refused", "race", UNDONE, directives={"slow": ("late:150",), "prize": NO}),
    Case("asyncio.timeout", "impatient", COMPLETED, ("hotel", "other"), {"slow": ("slow:250",)}),
    Case(
        "asyncio.timeout refused",
        "impatient",
        ("compensated", "completed"),
        (),
        {"slow": ("late:200",), "other": NO},
    ),
    Case("sleep", "naps", COMPLETED, ("flight", "hotel")),
    Case("dormant sleep", "dozes", COMPLETED, ("flight", "hotel")),
    Case("cancel", "waits", ("compensated", "cancelled"), act="cancel", stop_at="flight"),
    Case(
        "cancel in mid-step",
        "waits",
        ("compensated", "cancelled"),
        directives={"flight": ("late:120",)},
        act="cancel",
        stop_at="flight",
    ),
    Case("deadline", "hurried", ("compensated", "failed")),
    Case("except", "either", COMPLETED, ("master",), {"visa": ("silent*",)}),
    Case("except, both lost", "either", UNDONE, (), {"visa": ("silent*",), "master": ("close*",)}),
    Case("steps in except", "apologises", UNDONE, directives={"flight": NO}),
    Case("unknown compensated", "decided_in_haste", COMPLETED, ("hotel", "train"), {"flight": ("silent*",)}),
    Case("result not serialisable", "unencoded", UNDONE),
    Case("plain step stays", "noted", ("partially_compensated",), ("letter",), {"flight": NO}),
    Case("reads", "looks", COMPLETED, ("flight", "hotel")),
    Case(
        "compensation retried",
        "linear",
        UNDONE,
        directives={"car": NO},
        undoing={"flight": ("fail", "break")},
    ),
    Case(
        "compensation unanswered",
        "linear",
        UNDONE,
        directives={"car": NO},
        undoing={"hotel": ("silent", "close")},
    ),
    Case("savepoint undone", "retraced", COMPLETED, ("hotel", "train"), {"car": NO, "tour": ("slow:40",)}),
    Case(
        "savepoint undone, then refused",
        "retraced",
        UNDONE,
        directives={"car": NO, "train": NO, "flight": ("close",)},
    ),
    Case("probe finds it", "bought", COMPLETED, BOOKED, {"hotel": ("close",), "flight": ("silent",)}),
    Case("probe finds nothing", "bought", COMPLETED, BOOKED, {"flight": ("fail", "fail")}),
    Case("probed, then refused", "bought", UNDONE, directives={"flight": ("break",), "car": NO}),
    Case("pivot", "paid", COMPLETED, SOLD, {"money": ("silent", "close")}),
    Case("pivot refused", "paid_once", UNDONE, directives={"money": NO}),
    Case("tail fails again and again", "paid_once", COMPLETED, SOLD, {"goods": ("fail",) * 5}),
    Case(
        "cancel at the pivot",
        "paid",
        ("completed", "compensated", "cancelled"),
        SOLD,
        {"money": ("late:120",)},
        act="cancel",
        stop_at="money",
    ),
    Case("child", "nested", COMPLETED, BOOKED),
    Case("child refused", "nested", UNDONE, directives={"flight": NO}),
    Case("finished child undone", "nested_twice", UNDONE, directives={"car": NO}),
    Case("child's answer lost", "nested", COMPLETED, BOOKED, {"flight": ("close",)}),
    Case(
        "children side by side",
        "beside",
        COMPLETED,
        ("car", "flight", "hotel", "tour"),
        {"tour": ("slow:40",)},
    ),
    Case("one child of two refused", "beside", UNDONE, directives={"car": NO, "hotel": ("slow:100",)}),
    Case("child refused, then another", "nested_and_caught", COMPLETED, ("train",), {"flight": NO}),
    Case(
        "cancel above a child",
        "nested_twice",
        ("compensated", "cancelled"),
        directives={"flight": ("late:120",)},
        act="cancel",
        stop_at="flight",
    ),
    Case("undone with its child", "nested", UNDONE, act="undo"),
    Case("pivot below", "sells", COMPLETED, ("desk", *SOLD), {"money": ("silent", "close")}),
    Case(
        "cancel above a pivot below",
        "sells",
        ("completed", "compensated", "cancelled"),
        ("desk", *SOLD),
        {"money": ("late:120",)},
        act="cancel",
        stop_at="money",
    ),
    Case("begun anew", "begun_anew", COMPLETED, BOOKED),
    Case("begun anew, then refused", "begun_anew", UNDONE, directives={"car": NO}),
    Case("aborted", "waits", ("compensated", "cancelled", "failed"), act="abort", stop_at="flight"),
    Case("undone when it had completed", "linear", UNDONE, act="undo"),
    Case(
        "stuck, then retried",
        "fragile",
        UNDONE,
        directives={"flight": NO},
        undoing={"letter": ("fail",)},
        act="retry",
    ),
    Case(
        "stuck, then skipped",
        "fragile",
        ("partially_compensated",),
        ("letter",),
        {"flight": NO},
        {"letter": ("fail*",)},
        act="skip",
    ),
    Case(
        "in doubt, then resolved",
        "asked",
        ("completed", "compensated"),
        SOLD,
        {"money": ("close",)},
        act="resolve",
    ),
    Case("signals, waited for", "told", COMPLETED, BOOKED, signals=TOLD, to_dormant=True),
    Case("signals, sent early", "told", COMPLETED, BOOKED, signals=TOLD),
    Case("signals, then refused", "told", UNDONE, directives={"car": NO}, signals=TOLD),
    Case("signal against a timer", "told_in_time", COMPLETED, ("flight", "hotel"), signals=TOLD[:1]),
    Case("signals, begun anew", "told_anew", COMPLETED, BOOKED, signals=(("book", "hotel"), *TOLD)),
    Case("webhook deliveries", "told", COMPLETED, BOOKED, signals=TOLD, by_webhook=True),
    Case("approved by two", "approved", COMPLETED, BOOKED, decisions=AGREED),
    Case("approved, then refused", "approved", UNDONE, directives={"car": NO}, decisions=AGREED),
    Case("rejected", "approved", UNDONE, decisions=(("bob", False),)),
    Case("approval expires", "expires", COMPLETED, ("hotel", "train")),
    Case("decision against the expiry", "asks_in_time", COMPLETED, ("flight", "hotel"), decisions=ALONE),
    Case(
        "cancel against a decision",
        "asks_and_waits",
        ("compensated", "cancelled"),
        act="cancel",
        stop_at="desk",
        decisions=ALONE,
    ),
    Case("rows of its own", "entered", COMPLETED, ("car", "hotel", "line", "sum")),
    Case("rows of its own, refused", "entered", UNDONE, directives={"car": NO}),
)

CORE = (
    "linear",
    "last refused",
    "gather with one failing",
    "race",
    "compensation unanswered",
    "cancel in mid-step",
    "unknown compensated",
    "savepoint undone, then refused",
    "pivot",
    "aborted",
    "finished child undone",
    "pivot below",
)
"""The scenarios that are killed twice, the second time at every write of the recovery."""
