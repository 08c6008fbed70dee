"""Decisions as they shouldn't be given, and forms as they are written: refused, or understood (A10)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import unicodedata
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, field_serializer

from amends.sagas import (
    Coordinator,
    DecisionRefused,
    DefinitionError,
    InputInvalid,
    PayloadTooLarge,
    Status,
    approval,
    saga,
    step,
)
from amends.sagas import forms as forms_of
from tests.sagas.running import failure, on_a_loop


class Aliased(BaseModel):
    amount: int = Field(alias="theAmount")


class Folder(BaseModel):
    name: str = ""
    folders: list[Folder] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    amount: int = 0


class Sum(BaseModel):
    amount: float = 1.0


class Numbers(RootModel[list[int]]): ...


class Locked(BaseModel):
    password: SecretStr


@dataclasses.dataclass
class Note:
    text: str = ""


FORMS: dict[str, Any] = {
    "aliased": Aliased(theAmount=4),
    "folder": Folder(name="a", folders=[Folder(name="b")]),
    "open": Open.model_validate({"amount": 1, "of": "ten"}),
    "sum": Sum(),
    "numbers": Numbers([1]),
    "locked": Locked,
    "note": Note(),
    "none": None,
}


@saga(name="hostile.asks")
async def asks(form: str, details: str = "") -> str:
    decision = await approval(FORMS[form], title="Well?", details=details)
    return f"{decision.status} {decision.values!r}"


@saga(name="hostile.asks_two")
async def asks_two(people: list[str], asked_by: str) -> str:
    return str((await approval(title="Both?", approvers=people, requested_by=asked_by, quorum=2)).status)


async def asked(coordinator: Coordinator, form: str) -> tuple[Any, str]:
    """Start a run that asks; give it, and the id of its approval."""
    run = await coordinator.start(asks, form)
    await coordinator.run_until_idle()
    (pending,) = await coordinator.approvals(run_id=run.id)
    return run, pending.id


NAMES = (5, True, None, b"ann", "", " ann", "ann\n", "a\0", "\ud800", "an\u200bn", "x" * 501)


@on_a_loop
async def test_only_true_and_false_decide(database_url: str) -> None:
    """A form's "no" is a text, and would count as yes."""
    async with Coordinator(database_url) as coordinator:
        _, asked_for = await asked(coordinator, "none")
        approved: Any
        for approved in ("no", "false", None, 0, 1):
            with pytest.raises(InputInvalid, match="must be True or False"):
                await coordinator.decide(asked_for, approved=approved, by="ann")
        assert (await coordinator.approval(asked_for)).status == "pending"


@on_a_loop
async def test_no_id_decides_nothing(database_url: str) -> None:
    """Whoever lost the id doesn't decide the oldest approval of all."""
    async with Coordinator(database_url) as coordinator:
        _, asked_for = await asked(coordinator, "none")
        nothing: Any
        for nothing in (None, 5, b"x", ["x"]):
            with pytest.raises(InputInvalid, match="an approval's id is a text"):
                await coordinator.decide(nothing, approved=True, by="ann")
            with pytest.raises(InputInvalid, match="an approval's id is a text"):
                await coordinator.approval(nothing)
            with pytest.raises(InputInvalid, match="a run's id is a text"):
                await coordinator.signal(nothing, "name")
            with pytest.raises(InputInvalid, match="a schedule's id is a text"):
                await coordinator.schedules.delete(nothing)
        assert (await coordinator.approval(asked_for)).status == "pending"


@on_a_loop
async def test_who_decides_has_a_name_that_people_can_read(database_url: str) -> None:
    async with Coordinator(database_url) as coordinator:
        _, asked_for = await asked(coordinator, "none")
        by: Any
        for by in NAMES:
            with pytest.raises(InputInvalid, match="who decides is a printable text") as caught:
                await coordinator.decide(asked_for, approved=True, by=by)
            assert len(str(caught.value)) < 400
        assert (await coordinator.approval(asked_for)).status == "pending"


@on_a_loop
async def test_two_spellings_of_a_name_are_one_person(database_url: str) -> None:
    """So nobody makes up a quorum alone, or decides what they have asked for."""
    composed, apart = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    async with Coordinator(database_url) as coordinator:
        run = await coordinator.start(asks_two, [composed, "Zoë", "ann"], unicodedata.normalize("NFD", "Zoë"))
        await coordinator.run_until_idle()
        (pending,) = await coordinator.approvals(run_id=run.id)
        await coordinator.decide(pending.id, approved=True, by=apart)
        for by, why in ((composed, "has approved it already"), ("Zoë", "has asked for it")):
            with pytest.raises(DecisionRefused, match=why):
                await coordinator.decide(pending.id, approved=True, by=by)
        await coordinator.decide(pending.id, approved=True, by="ann")
        assert await run.result(30) == "approved"


@on_a_loop
async def test_what_is_said_of_a_decision_is_a_text_of_bounded_length(database_url: str) -> None:
    async with Coordinator(database_url, max_payload=2_000) as coordinator:
        _, asked_for = await asked(coordinator, "note")
        with pytest.raises(InputInvalid, match="the reason is a text"):
            await coordinator.decide(asked_for, approved=True, by="ann", reason=5)  # type: ignore[arg-type]
        given: Any
        for given in ({"reason": "x" * 2_000}, {"values": {"text": "x" * 2_000}}):
            with pytest.raises(PayloadTooLarge, match="the values and the reason"):
                await coordinator.decide(asked_for, approved=True, by="ann", **given)
        assert (await coordinator.approval(asked_for)).status == "pending"
        too_much = await failure(await coordinator.start(asks, "none", "x" * 1_950))
        assert "what is shown" in str(too_much.error)


@pytest.mark.parametrize(
    ("form", "shown", "given", "heard"),
    [
        ("aliased", {"amount": 4}, None, "Aliased(amount=4)"),
        ("aliased", {"amount": 4}, {"amount": 5}, "Aliased(amount=5)"),
        ("open", {"amount": 1, "of": "ten"}, {"by": "me"}, "Open(amount=1, of='ten', by='me')"),
        (
            "folder",
            {"name": "a", "folders": [{"name": "b", "folders": []}]},
            {"folders": []},
            "Folder(name='a', folders=[])",
        ),
    ],
)
@pytest.mark.parametrize("known", [True, False])
@on_a_loop
async def test_what_a_form_shows_can_be_approved(
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    shown: Any,
    given: Any,
    heard: str,
    *,
    known: bool,
) -> None:
    """Aliases, fields of its own kind, fields that nobody knew of: by its class and by its schema."""
    async with Coordinator(sqlite_url) as coordinator:
        run, asked_for = await asked(coordinator, form)
        assert (await coordinator.approval(asked_for)).values == shown
        if not known:
            monkeypatch.setattr(forms_of, "KNOWN", {})
        await coordinator.decide(asked_for, approved=True, by="ann", values=given)
        assert await run.result(30) == f"approved {heard}"


@on_a_loop
async def test_values_that_cannot_be_recorded_are_refused_before_they_count(sqlite_url: str) -> None:
    """JSON has no infinity: the body would hear of a value that doesn't fit, after the decision."""
    async with Coordinator(sqlite_url) as coordinator:
        run, asked_for = await asked(coordinator, "sum")
        with pytest.raises(InputInvalid, match="amount"):
            await coordinator.decide(asked_for, approved=True, by="ann", values={"amount": float("inf")})
        await coordinator.decide(asked_for, approved=True, by="ann", values={"amount": 2})
        assert await run.result(30) == "approved Sum(amount=2.0)"


@pytest.mark.parametrize(("form", "why"), [("numbers", "has no fields"), ("locked", "written as stars")])
@on_a_loop
async def test_what_nobody_could_fill_in_is_refused_before_anybody_is_asked(
    sqlite_url: str, form: str, why: str
) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        run = await coordinator.start(asks, form)
        found = await failure(run)
        assert why in str(found.error)
        assert await coordinator.approvals(None) == []


def test_a_secret_that_would_be_recorded_as_stars_is_refused_at_its_definition() -> None:
    """A step would be called with ten stars for a password."""

    class Login(BaseModel):
        password: SecretStr

    class Written(BaseModel):
        password: SecretStr

        @field_serializer("password")
        def _plain(self, value: SecretStr) -> str:
            return value.get_secret_value()

    with pytest.raises(DefinitionError, match="written as stars"):

        @step
        async def logs_in(login: Login) -> None: ...

    with pytest.raises(DefinitionError, match="written as stars"):

        @saga
        async def begins(passwords: dict[str, SecretStr | None]) -> None: ...

    @step
    async def logs_in_openly(login: Written) -> None: ...

    assert logs_in_openly.arguments.encode((Written(password=SecretStr("abc")),), {}) == (
        b'{"login":{"password":"abc"}}'
    )


@on_a_loop
async def test_whoever_acts_on_a_run_or_schedule_has_a_name(sqlite_url: str) -> None:
    """The audit trail names them: None, nothing and a megabyte are no names."""
    async with Coordinator(sqlite_url) as coordinator:
        run, _ = await asked(coordinator, "none")
        await coordinator.schedules.put("s", asks, "none", cron="0 0 1 1 *")
        by: Any
        for by in (None, "", 5, "x" * 1_000_000):
            for act in (
                lambda by=by: coordinator.cancel(run.id, by=by),
                lambda by=by: run.wake_up(by=by),
                lambda by=by: coordinator.undo(run.id, by=by),
                lambda by=by: coordinator.schedules.pause("s", by=by),
                lambda by=by: coordinator.schedules.trigger("s", by=by),
            ):
                with pytest.raises(InputInvalid, match="is a printable text"):
                    await act()
        assert await run.audit() == []
        with pytest.raises(InputInvalid, match="paused='no' must be True or False"):
            await coordinator.schedules.put("t", asks, "none", cron="0 0 1 1 *", paused="no")  # type: ignore[arg-type]


@on_a_loop
async def test_nobody_is_reminded_more_often_than_once_a_second(sqlite_url: str) -> None:
    """Each reminder is an entry: every millisecond is a loop that never rests (L3)."""

    @saga
    async def nags() -> None:
        await approval(title="Well?", remind_every=dt.timedelta(milliseconds=1))

    async with Coordinator(sqlite_url) as coordinator:
        assert "remind_every" in str((await failure(await coordinator.start(nags))).error)


@on_a_loop
async def test_listing_takes_no_nonsense(sqlite_url: str) -> None:
    async with Coordinator(sqlite_url) as coordinator:
        given: Any
        for given in ({"run_id": 5}, {"after": b"x"}, {"limit": 0}, {"limit": "all"}):
            with pytest.raises(InputInvalid):
                await coordinator.approvals(**given)
        assert await coordinator.list(status=Status.PARKED) == []
