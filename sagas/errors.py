"""Every error of amends, in one tree.

::

    AmendsError
    ├── DefinitionError            a saga or step that can't be defined as written
    ├── InputInvalid               arguments or input that don't fit their annotations
    ├── PayloadTooLarge            a payload over the limit
    ├── ResultInvalid              a result that can't be encoded
    ├── StartConflict              the id belongs to a run with other input
    ├── RunNotFound                no run has this id
    ├── RunEnded                   the run has ended already
    │   └── RunRemoved             and so long ago that its records were removed
    ├── ActionRefused              an operator's act doesn't fit the run as it stands
    │   └── DecisionRefused        a decision doesn't count: who, when, or of what
    ├── ApprovalNotFound           no approval has this id
    ├── LinkInvalid                a link to an approval that wasn't made here, or for something else
    ├── ScheduleNotFound           no schedule has this id
    ├── QueueNotFound              no queue has this name
    ├── UnknownSaga                no saga of this name is defined here
    ├── RunFailed                  the run ended without a result
    │   └── RunParked              the run waits for a person
    ├── StepFailed                 a step's error whose own class can't be rebuilt
    │   ├── StepTimeout            an attempt took longer than its time-out
    │   └── WorkerLost             the worker died during the attempt
    ├── NoEffect                   raised by a step: nothing happened in the world
    ├── Fatal                      raised by a step: don't try again
    ├── RetryAfter                 raised by a step: try again, after so many seconds
    ├── NonDeterminism             the body asks for something else than the journal says
    ├── NotInBody                  real I/O was tried in a saga's body
    ├── OutsideRun                 something that belongs in a run was called outside one
    ├── WaitsForItself             a write would wait for a transaction that its own caller holds open
    ├── CoordinatorClosed          the coordinator isn't open
    ├── WebhooksMissing            webhook() where nobody said where webhooks lead
    ├── (amends.sagas.http)        CallFailed: Unreachable, Refused, Postponed, Unclear
    ├── (amends.sagas.barrier)     CalledTooLate, KeyReused, BarrierBroken
    ├── (amends.sagas.webhooks)    SignatureInvalid
    ├── (amends.agents)            ModelError and what comes of it: see agents/model_errors.py
    └── (persistence)              UnsupportedDatabase, DatabaseNewer, DatabaseNotReady,
                                   DatabaseReadOnly, DatabaseUnavailable, OtherDatabase,
                                   CommittedByStep, RecordUnreadable
"""

from __future__ import annotations

from amends.persistence.errors import (
    AmendsError,
    CommittedByStep,
    DatabaseNewer,
    DatabaseNotReady,
    DatabaseReadOnly,
    DatabaseUnavailable,
    OtherDatabase,
    RecordUnreadable,
    UnsupportedDatabase,
)

__all__ = [
    "ActionRefused",
    "AmendsError",
    "ApprovalNotFound",
    "CommittedByStep",
    "CoordinatorClosed",
    "DatabaseNewer",
    "DatabaseNotReady",
    "DatabaseReadOnly",
    "DatabaseUnavailable",
    "DecisionRefused",
    "DefinitionError",
    "Fatal",
    "InputInvalid",
    "NoEffect",
    "NonDeterminism",
    "NotInBody",
    "OtherDatabase",
    "OutsideRun",
    "PayloadTooLarge",
    "RecordUnreadable",
    "ResultInvalid",
    "RetryAfter",
    "RunEnded",
    "RunFailed",
    "RunNotFound",
    "RunParked",
    "RunRemoved",
    "QueueNotFound",
    "ScheduleNotFound",
    "StartConflict",
    "StepFailed",
    "StepTimeout",
    "UnknownSaga",
    "UnsupportedDatabase",
    "WaitsForItself",
    "WebhooksMissing",
    "WorkerLost",
]


class DefinitionError(AmendsError):
    """A saga, step or compensation can't be defined as written."""


class InputInvalid(AmendsError):
    """What was given doesn't fit: arguments, a signal's payload, an option; nothing was started or sent."""


class PayloadTooLarge(AmendsError):
    """A payload is over the limit; `size` and `limit` are bytes of JSON."""

    def __init__(self, message: str, size: int = 0, limit: int = 0) -> None:
        super().__init__(message, size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return str(self.args[0])


class ResultInvalid(AmendsError):
    """A result can't be encoded as its annotation says. Where a step returned it, its effect has landed."""


class StartConflict(AmendsError):
    """The id given to `start` belongs to a run of another saga or with other input."""


class RunNotFound(AmendsError):
    """No run has this id."""


class RunEnded(AmendsError):
    """The run has ended, so it can't be told anything any more."""


class RunRemoved(RunEnded):
    """The run has ended, and what was on record of it was removed since; its id is never free again."""


class ActionRefused(AmendsError):
    """What an operator asked for doesn't fit the run as it stands, or somebody was quicker."""


class DecisionRefused(ActionRefused):
    """A decision about an approval doesn't count, and nothing has changed; the message says why."""


class LinkInvalid(AmendsError):
    """A link to an approval is damaged, was made with another secret, or for something else."""


class ApprovalNotFound(AmendsError):
    """No approval in this database has this id."""


class QueueNotFound(AmendsError):
    """Nobody has made a queue of this name in the coordinator's database, and no run is in one."""


class ScheduleNotFound(AmendsError):
    """No schedule has this id."""


class UnknownSaga(AmendsError):
    """No saga of this name (and version) is defined in this process."""


class RunFailed(AmendsError):
    """A run ended without a result.

    `run_id` and `status` say which run and how it ended, `cause` what ended it (`error`, `cancel`,
    `deadline`, `operator`), `error` is the exception that ended it, if one did.
    """

    def __init__(
        self, message: str, *, run_id: str, status: str, cause: str | None, error: BaseException | None
    ) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.status = status
        self.cause = cause
        self.error = error


class RunParked(RunFailed):
    """A run waits for a person; the message says why, and what can be done."""


class StepFailed(AmendsError):
    """A step failed with an exception whose own class can't be rebuilt here.

    `type` is the original's qualified name, `message` its text, `traceback` its traceback as text.
    """

    def __init__(self, message: str, *, type: str = "", traceback: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.type = type
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.type else self.message


class StepTimeout(StepFailed):
    """An attempt took longer than the step's time-out; whether its effect landed isn't known."""


class WorkerLost(StepFailed):
    """The worker that ran an attempt died; whether the attempt's effect landed isn't known."""


class NoEffect(AmendsError):
    """Raise it (or a subclass) in a step to say: nothing happened in the world, and nothing will."""


class Fatal(AmendsError):
    """Raise it (or a subclass) in a step to end its attempts at once."""


class RetryAfter(AmendsError):
    """Raise it in a step to ask for another attempt, `seconds` from now; None leaves that to the policy.

    One that is a `NoEffect` too, says that nothing happened and is tried again all the same.
    """

    def __init__(self, seconds: float | None, message: str = "") -> None:
        super().__init__(seconds, message)
        self.seconds = seconds

    def __str__(self) -> str:
        when = "later" if self.seconds is None else f"after {self.seconds} s"
        return self.args[1] or f"try again {when}"


class NonDeterminism(AmendsError):
    """The body asks for something else than the journal says; the message shows both sides."""


class NotInBody(AmendsError):
    """Real I/O was tried in a saga's body; it belongs in a step."""


class OutsideRun(AmendsError):
    """Something that only works in a run's body or in a step was called outside one."""


class WaitsForItself(AmendsError):
    """A write of the coordinator's would wait for a SQLite transaction that its own caller holds open."""


class CoordinatorClosed(AmendsError):
    """The coordinator isn't open; use it inside its `async with` block."""


class WebhooksMissing(AmendsError):
    """A body called `webhook()`, and the coordinator has no `webhooks=`."""
