"""The ASGI app: a GET shows what is asked, a POST decides, and nothing else changes anything."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from amends.persistence.approval_records import ApprovalStatus
from amends.sagas import checked
from amends.sagas.approval_links import Claim
from amends.sagas.approval_pages import page
from amends.sagas.approval_pages.fields import fields_of, values_of
from amends.sagas.coordinator import Coordinator
from amends.sagas.deciding import Approval
from amends.sagas.errors import (
    ApprovalNotFound,
    CoordinatorClosed,
    DatabaseReadOnly,
    DatabaseUnavailable,
    DecisionRefused,
    InputInvalid,
    LinkInvalid,
    PayloadTooLarge,
)
from amends.sagas.webhooks.exchange import (
    Disconnected,
    Receive,
    Refusal,
    Scope,
    Send,
    body_of,
    headers_of,
    places_of,
)

_log: Final = logging.getLogger("amends.sagas.approval_pages")

TIMEOUT: Final = dt.timedelta(seconds=10)
METHODS: Final = "GET, HEAD, POST"
JSON: Final = "application/json"
AWAY: Final = (DatabaseUnavailable, DatabaseReadOnly, CoordinatorClosed)
NO_LINK: Final = "This link leads nowhere. It may be damaged; ask for another one."


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, its page, and what it says to a program."""

    status: int
    html: bytes
    json: Mapping[str, Any]


class ApprovalApp:
    """An ASGI app for the links that a coordinator makes: `coordinator.links.url_of(approval_id, person)`.

    Below the path at which it stands, which `ApprovalLinks(url)` names, a GET shows what is asked, and a POST
    decides as the person whom the link was made for. It works without JavaScript; who asks for
    `application/json` gets that. `coordinator` must be open in the same event loop; `work=False` is enough.
    `max_body` bounds a body in bytes, `timeout` the time that it may take to come.
    Raises `InputInvalid` for a bound that isn't one, and where the coordinator has no `approval_links=`.

    >>> app = Starlette(routes=[Mount("/decide", ApprovalApp(coordinator))])
    """

    def __init__(
        self, coordinator: Coordinator, *, max_body: int = 1 << 20, timeout: dt.timedelta = TIMEOUT
    ) -> None:
        if coordinator.links.configured is None:
            raise InputInvalid("ApprovalApp: the coordinator makes no links; give it approval_links=")
        self._links = coordinator.links
        self._most = checked.count(max_body, "max_body")
        self._seconds = checked.duration(timeout, "timeout", InputInvalid).total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one ASGI connection."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            for done in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{done}.complete"})
        else:
            await receive()
            await send({"type": "websocket.close"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        try:
            answer = await self._answered(scope, headers, receive)
        except Disconnected:
            return
        except Refusal as refusal:
            answer = _told(refusal.answer.status, "This can't be taken", refusal.answer.said)
        except LinkInvalid:
            answer = _told(404, "No such link", NO_LINK)
        except ApprovalNotFound:
            answer = _told(404, "No such approval", "What this link was made for is no longer there.")
        except AWAY:
            answer = _told(503, "Try again in a moment", "The database can't be reached just now.")
        except Exception:  # noqa: BLE001 - whatever it is, the person is told
            # Without the path, which holds the link.
            _log.exception("a link to an approval met an error of ours")
            answer = _told(500, "Something went wrong here", "Look again whether your decision counts.")
        await _reply(send, answer, as_json=JSON in headers.get("accept", ""), head=scope["method"] == "HEAD")

    async def _answered(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> Answer:
        token = places_of(scope)[1].strip("/")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return _told(405, "This can't be done", "A link shows what is asked, and takes one decision.")
        claim, approval = await self._links.show(token)
        if scope["method"] != "POST":
            return await self._shown(token, claim, approval, None, "")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return _told(403, "This can't be taken", "Open the link, and decide on its own page.")
        body = await body_of(headers, receive, most=self._most, seconds=self._seconds)
        return await self._decided(token, claim, approval, headers, body)

    async def _shown(
        self, token: str, claim: Claim, approval: Approval, given: Mapping[str, str] | None, error: str
    ) -> Answer:
        over = await self._links.objection(token)
        facts = _facts(approval, claim)
        asked = page.shown(approval, claim.person)
        if over:
            pending = approval.status is ApprovalStatus.PENDING
            became = page.said(over) if pending else page.outcome(approval)
            return Answer(410, page.page(approval.title, asked, became), {**facts, "error": over})
        form = page.form(approval, given, error)
        status, told = (422, {"error": error}) if error else (200, {})
        return Answer(status, page.page(approval.title, asked, form), {**facts, **told})

    async def _decided(
        self, token: str, claim: Claim, approval: Approval, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        is_json = headers.get("content-type", "").split(";")[0].strip() == JSON
        given = None if is_json else _form(body)
        try:
            approved, reason, values = _of_json(body) if is_json else _of_form(given or {}, approval)
            after = await self._links.decide(token, approved=approved, reason=reason, values=values)
        except (InputInvalid, PayloadTooLarge) as problem:
            return await self._shown(token, claim, approval, given, str(problem))
        except DecisionRefused as problem:
            claim, now = await self._links.show(token)
            counted = now.decided_by == claim.person or claim.person in now.voters
            pending, asked = now.status is ApprovalStatus.PENDING, page.shown(now, claim.person)
            told = page.said(str(problem)) if pending else page.outcome(now)
            facts = {**_facts(now, claim), "error": str(problem)}
            return Answer(200 if counted else 409, page.page(now.title, asked, told), facts)
        thanks = page.said("Your decision counts. You can close this page.")
        waits = "" if after.status is ApprovalStatus.PENDING else page.outcome(after)
        asked = page.shown(after, claim.person)
        return Answer(200, page.page(after.title, thanks, waits, asked), _facts(after, claim))


def _form(body: bytes) -> dict[str, str]:
    """Read what a page's form sends."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1_000))
    except ValueError:
        raise Refusal(400, "the form can't be read") from None


def _of_form(given: Mapping[str, str], approval: Approval) -> tuple[bool, str | None, Any]:
    """Give the decision that a form holds. Raises `InputInvalid`."""
    decision = given.get("decision")
    if decision not in ("approve", "reject"):
        raise InputInvalid("choose: approve, or reject")
    approved, fields = decision == "approve", fields_of(approval.form)
    values = values_of(fields, given, approval.values) if approved and fields else None
    return approved, given.get("reason") or None, values


def _of_json(body: bytes) -> tuple[bool, str | None, Any]:
    """Give the decision that a program sends. Raises `InputInvalid`."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise InputInvalid("the body is no JSON") from None
    if not isinstance(given, dict) or not isinstance(given.get("approved"), bool):
        raise InputInvalid('the body is {"approved": true or false, "reason": …, "values": {…}}')
    reason = given.get("reason")
    if reason is not None and not isinstance(reason, str):
        raise InputInvalid("the reason is a text")
    return given["approved"], reason, given.get("values")


def _facts(approval: Approval, claim: Claim) -> dict[str, Any]:
    """Give what a program is told of an approval."""
    return {
        "id": approval.id,
        "title": approval.title,
        "details": approval.details,
        "form": approval.form,
        "values": approval.values,
        "status": approval.status.value,
        "person": claim.person,
        "decided_by": approval.decided_by,
        "expires_at": None if approval.expires_at is None else approval.expires_at.isoformat(),
    }


def _told(status: int, title: str, words: str) -> Answer:
    return Answer(status, page.page(title, page.said(words, error=True)), {"error": words})


async def _reply(send: Send, answer: Answer, *, as_json: bool, head: bool) -> None:
    body = json.dumps(answer.json).encode() if as_json else answer.html
    headers = {**page.HEADERS, "content-length": str(len(body))}
    if as_json:
        headers["content-type"] = JSON
    if answer.status == 405:  # noqa: PLR2004 - method not allowed
        headers["allow"] = METHODS
    if answer.status == 503:  # noqa: PLR2004 - unavailable
        headers["retry-after"] = "5"
    coded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": coded})
    await send({"type": "http.response.body", "body": b"" if head else body})
