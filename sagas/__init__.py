"""Sagas: multi-step work that either finishes or makes amends."""

from amends.persistence.approval_records import ApprovalStatus
from amends.persistence.codec import Codec
from amends.sagas.approval_links import ApprovalLinks
from amends.sagas.approving import Decision, approval
from amends.sagas.attributes import AttributeValue, Progress
from amends.sagas.check import DeterminismWarning
from amends.sagas.context import (
    CurrentRun,
    CurrentStep,
    continue_as_new,
    current_run,
    current_step,
    now,
    random,
    replaying,
    sleep,
    sleep_until,
    uuid4,
)
from amends.sagas.coordinator import Coordinator
from amends.sagas.deciding import Approval
from amends.sagas.errors import (
    ActionRefused,
    AmendsError,
    ApprovalNotFound,
    CommittedByStep,
    CoordinatorClosed,
    DatabaseNewer,
    DatabaseNotReady,
    DatabaseReadOnly,
    DatabaseUnavailable,
    DecisionRefused,
    DefinitionError,
    Fatal,
    InputInvalid,
    LinkInvalid,
    NoEffect,
    NonDeterminism,
    NotInBody,
    OtherDatabase,
    OutsideRun,
    PayloadTooLarge,
    QueueNotFound,
    RecordUnreadable,
    ResultInvalid,
    RetryAfter,
    RunEnded,
    RunFailed,
    RunNotFound,
    RunParked,
    RunRemoved,
    ScheduleNotFound,
    StartConflict,
    StepFailed,
    StepTimeout,
    UnknownSaga,
    UnsupportedDatabase,
    WaitsForItself,
    WebhooksMissing,
    WorkerLost,
)
from amends.sagas.fleet import Worker
from amends.sagas.handle import Run, RunInfo, Standing
from amends.sagas.handling import Report
from amends.sagas.health import Health
from amends.sagas.hooks import Hook, webhook
from amends.sagas.journal import Entry, Kind
from amends.sagas.linking import Linking
from amends.sagas.obligations import Owed
from amends.sagas.operators import Acted, Operator
from amends.sagas.outbox import Outbox
from amends.sagas.outcome import Effect, Landed, NotLanded, OnUnknown, Outcome
from amends.sagas.outgoing import Outgoing, outgoing
from amends.sagas.queues import Queue, Queues, Rate
from amends.sagas.receiving import Receiving, receive
from amends.sagas.replay_filter import ReplayFilter
from amends.sagas.retention import Collected
from amends.sagas.retry import Retry
from amends.sagas.run_filter import RunFilter
from amends.sagas.saga import Saga, saga
from amends.sagas.schedule_view import Schedule
from amends.sagas.schedules import Schedules
from amends.sagas.scopes import savepoint
from amends.sagas.showing import set_attributes, set_progress
from amends.sagas.states import Status
from amends.sagas.step import Compensation, Step, Undo, step
from amends.sagas.sync import SyncCoordinator, SyncOperator, SyncRun, SyncWatch
from amends.sagas.sync_queues import SyncQueues
from amends.sagas.sync_schedules import SyncSchedules
from amends.sagas.ticks import CatchUp, Overlap
from amends.sagas.transaction import Transaction, transaction
from amends.sagas.undo_plan import PlannedUndo, UndoPlan
from amends.sagas.watch import Change, Watch
from amends.sagas.webhook_urls import Webhooks

__all__ = [
    "Acted",
    "ActionRefused",
    "AmendsError",
    "Approval",
    "ApprovalLinks",
    "ApprovalNotFound",
    "ApprovalStatus",
    "AttributeValue",
    "CatchUp",
    "Change",
    "Codec",
    "Collected",
    "CommittedByStep",
    "Compensation",
    "Coordinator",
    "CoordinatorClosed",
    "CurrentRun",
    "CurrentStep",
    "DatabaseNewer",
    "DatabaseNotReady",
    "DatabaseReadOnly",
    "DatabaseUnavailable",
    "Decision",
    "DecisionRefused",
    "DefinitionError",
    "DeterminismWarning",
    "Effect",
    "Entry",
    "Fatal",
    "Health",
    "Hook",
    "InputInvalid",
    "Kind",
    "Landed",
    "LinkInvalid",
    "Linking",
    "NoEffect",
    "NonDeterminism",
    "NotInBody",
    "NotLanded",
    "OnUnknown",
    "Operator",
    "OtherDatabase",
    "Outbox",
    "Outcome",
    "Outgoing",
    "OutsideRun",
    "Overlap",
    "Owed",
    "PayloadTooLarge",
    "PlannedUndo",
    "Progress",
    "Queue",
    "QueueNotFound",
    "Queues",
    "Rate",
    "Receiving",
    "RecordUnreadable",
    "ReplayFilter",
    "Report",
    "ResultInvalid",
    "Retry",
    "RetryAfter",
    "Run",
    "RunEnded",
    "RunFailed",
    "RunFilter",
    "RunInfo",
    "RunNotFound",
    "RunParked",
    "RunRemoved",
    "Saga",
    "Schedule",
    "ScheduleNotFound",
    "Schedules",
    "Standing",
    "StartConflict",
    "Status",
    "Step",
    "StepFailed",
    "StepTimeout",
    "SyncCoordinator",
    "SyncOperator",
    "SyncQueues",
    "SyncRun",
    "SyncSchedules",
    "SyncWatch",
    "Transaction",
    "Undo",
    "UndoPlan",
    "UnknownSaga",
    "UnsupportedDatabase",
    "WaitsForItself",
    "Watch",
    "Webhooks",
    "WebhooksMissing",
    "Worker",
    "WorkerLost",
    "approval",
    "continue_as_new",
    "current_run",
    "current_step",
    "now",
    "outgoing",
    "random",
    "receive",
    "replaying",
    "saga",
    "savepoint",
    "set_attributes",
    "set_progress",
    "sleep",
    "sleep_until",
    "step",
    "transaction",
    "uuid4",
    "webhook",
]
