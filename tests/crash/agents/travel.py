"""The agent that is killed, with its tools, its sub-agent, and the way to its model.

Imported by the children that are killed, not by the tests: what is defined here stays out of their process.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx2
import openai

from amends.agents import Agent, ApprovalPolicy, ModelAnswer, ModelRequest, OpenAIModel, agent_tool, tool
from amends.sagas import Retry, Undo, current_step
from tests.crash.participant import Participant
from tests.crash.points import Points

QUICK = timedelta(milliseconds=500)
SOON = timedelta(milliseconds=20)
AGAIN = Retry(attempts=8, wait=SOON)
STUBBORN = Retry(attempts=50, wait=SOON)
MOMENTS = {
    "http11.send_request_headers.started": "ask",
    "http11.send_request_body.complete": "asked",
    "http11.receive_response_body.complete": "told",
}
"""What the client's transport says of a request, and the points that it makes."""


def world() -> Participant:
    found: Participant = current_step().resources
    return found


class Line:
    """A model that is asked by the official client over HTTP; each request has points to die at."""

    name = "qwen"

    def __init__(self) -> None:
        self._model: OpenAIModel | None = None

    def open(self, url: str, api: Any, run: str, points: Points) -> None:
        """Say which server is asked, by which API, and for which run."""

        async def reach(moment: str, _details: Any) -> None:
            if moment in MOMENTS:
                points.reach(MOMENTS[moment])

        async def watched(request: httpx2.Request) -> None:
            request.extensions["trace"] = reach

        client = openai.AsyncOpenAI(
            api_key="none",
            base_url=url,
            max_retries=0,
            default_headers={"x-run": run},
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"request": [watched]}),
        )
        self._model = OpenAIModel(self.name, client=client, api=api)

    async def answer(self, request: ModelRequest) -> ModelAnswer:
        """Ask."""
        assert self._model is not None
        return await self._model.answer(request)


LINE = Line()


@tool(name="trip_book", retry=AGAIN, timeout=QUICK)
async def book(what: str) -> str:
    """Book something."""
    return await world().apply(what)


@book.compensation(name="trip_unbook", retry=STUBBORN)
async def unbook(undo: Undo[str], what: str) -> None:
    await world().undo(what, undo)


@tool(name="trip_try", retry=Retry(attempts=2, wait=SOON), timeout=QUICK)
async def attempt(what: str) -> str:
    """Book something that is hard to get."""
    return await world().apply(what)


@attempt.compensation(name="trip_untry", retry=STUBBORN)
async def unattempt(undo: Undo[str], what: str) -> None:
    await world().undo(what, undo)


@tool(name="trip_look", effect="read", timeout=QUICK)
async def look(what: str) -> str:
    """Look something up."""
    return await world().read(what)


@tool(name="trip_pay", approval=ApprovalPolicy(remind_every=timedelta(days=7)), retry=AGAIN, timeout=QUICK)
async def pay(what: str) -> str:
    """Pay. People have to approve it."""
    return await world().apply(what)


@pay.compensation(name="trip_refund", retry=STUBBORN)
async def refund(undo: Undo[str], what: str) -> None:
    await world().undo(what, undo)


GUIDE = Agent(
    "guide",
    model=LINE,
    instructions="You are the guide.",
    tools=[book],
    retry=Retry(attempts=8, wait=SOON),
)
TRIP = Agent(
    "trip",
    model=LINE,
    instructions="You plan trips.",
    tools=[book, attempt, look, pay, agent_tool(GUIDE)],
    output_type=list[str],
    review=ApprovalPolicy(title="Accept the trip"),
    retry=Retry(attempts=8, wait=SOON),
)
