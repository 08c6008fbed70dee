"""Onboard customers over flaky APIs: all of it or nothing, however often something fails or this is killed.

`python onboarding.py DATABASE SERVICES [--customers 12]` starts a run for each customer and prints how it
ended; killed and started again it goes on. Every third customer wants a workspace that can't be built.
"""

import argparse
import asyncio
import logging
from datetime import timedelta

import httpx
from pydantic import BaseModel

from amends.sagas import (
    Coordinator,
    Fatal,
    Landed,
    NotLanded,
    Retry,
    Run,
    RunFailed,
    StepFailed,
    StepTimeout,
    Undo,
    current_step,
    http,
    saga,
    sleep,
    step,
)

FLAKY = Retry(attempts=8, wait=timedelta(milliseconds=50))
STUBBORN = Retry(attempts=50, wait=timedelta(milliseconds=50))
BRIEF = timedelta(seconds=1)
LOOKS = 100
BETWEEN_LOOKS = timedelta(milliseconds=100)


class Customer(BaseModel):
    """Who is to be onboarded."""

    id: str
    email: str


class Onboarded(BaseModel):
    """What the services call what was made for a customer; `counted` tells whether analytics knows of it."""

    account: str
    contact: str
    workspace: str
    counted: bool


class NotBuilt(Fatal):
    """The workspace can't be built."""


async def ask(method: str, path: str, body: dict[str, str] | None = None) -> dict[str, object]:
    """Call a service, with the step's key."""
    client: httpx.AsyncClient = current_step().resources
    response = await http.call(client, method, path, json=body)
    answer: dict[str, object] = response.json()
    return answer


@step(retry=FLAKY, timeout=BRIEF)
async def sign_up(customer: Customer) -> str:
    """Make an account. The service knows the key: a second call gives the first one's answer."""
    made = await ask("POST", "/accounts", {"customer": customer.id, "email": customer.email})
    return str(made["id"])


@sign_up.compensation(retry=STUBBORN, timeout=BRIEF)
async def close_account(undo: Undo[str], customer: Customer) -> None:
    """Close it, whether or not anybody heard that it was made."""
    await ask("DELETE", f"/accounts/{undo.forward_key}")


async def find_contact(customer: Customer) -> Landed[str] | NotLanded:
    """Look whether a call of which nobody heard has made the contact."""
    found = await ask("GET", f"/contacts?reference={current_step().idempotency_key}")
    match found["contacts"]:
        case [contact, *_]:
            return Landed(str(contact))
    return NotLanded("the CRM has no such contact")


@step(retry=FLAKY, timeout=BRIEF, on_unknown=find_contact)
async def add_contact(customer: Customer) -> str:
    """Make a contact. The CRM doesn't know keys, so before it is asked again somebody looks."""
    reference = current_step().idempotency_key
    made = await ask("POST", "/contacts", {"customer": customer.id, "reference": reference})
    return str(made["id"])


@add_contact.compensation(retry=STUBBORN, timeout=BRIEF)
async def remove_contact(undo: Undo[str], customer: Customer) -> None:
    """Remove whatever has the step's reference."""
    await ask("DELETE", f"/contacts?reference={undo.forward_key}")


@step(retry=FLAKY, timeout=BRIEF)
async def provision(customer: Customer) -> str:
    """Order a workspace; it is built later."""
    made = await ask("POST", "/workspaces", {"customer": customer.id})
    return str(made["id"])


@provision.compensation(retry=STUBBORN, timeout=BRIEF)
async def tear_down(undo: Undo[str], customer: Customer) -> None:
    """Take the workspace away, built or not."""
    await ask("DELETE", f"/workspaces/{undo.forward_key}")


@step(effect="read", retry=STUBBORN, timeout=BRIEF)
async def look_at(workspace: str) -> str:
    """Ask how far a workspace is."""
    seen = await ask("GET", f"/workspaces/{workspace}")
    return str(seen["state"])


@step(effect="irreversible", retry=STUBBORN, timeout=BRIEF)
async def welcome(customer: Customer) -> None:
    """Send the mail. Nothing takes it back, so it comes when all else stands; its key sends it once."""
    await ask("POST", "/mails", {"customer": customer.id, "to": customer.email})


@step(effect="plain", retry=Retry(attempts=5, wait=timedelta(milliseconds=50)), timeout=BRIEF)
async def count(customer: Customer) -> None:
    """Tell analytics, which drops an event that it knows. It can't be taken back, and needn't be."""
    await ask("POST", "/events", {"customer": customer.id, "name": "onboarded"})


async def built(workspace: str) -> None:
    """Wait until a workspace is there. Raises `NotBuilt`."""
    for _ in range(LOOKS):
        match await look_at(workspace):
            case "ready":
                return
            case "failed":
                raise NotBuilt(f"workspace {workspace} can't be built")
        await sleep(BETWEEN_LOOKS)
    raise NotBuilt(f"workspace {workspace} isn't there in time")


@saga
async def onboard(customer: Customer) -> Onboarded:
    """Give a customer an account, a contact in the CRM and a workspace; then say so."""
    account = await sign_up(customer)
    contact, workspace = await asyncio.gather(add_contact(customer), provision(customer))
    await built(workspace)
    await welcome(customer)
    try:
        await count(customer)
        counted = True
    except (http.CallFailed, StepTimeout, StepFailed):
        # No customer is sent away because a number is missing somewhere.
        counted = False
    return Onboarded(account=account, contact=contact, workspace=workspace, counted=counted)


def customers(number: int) -> list[Customer]:
    """Make up customers; every third wants a workspace that is too large."""
    names = [f"{'huge' if place % 3 == 2 else 'small'}-{place}" for place in range(number)]
    return [Customer(id=name, email=f"{name}@example.org") for name in names]


async def tell(run: Run[Onboarded], customer: Customer) -> None:
    """Wait for a run's end, and print it."""
    try:
        await run.result()
        why = ""
    except RunFailed as failed:
        why = f", because {failed.error}"
    print(f"onboarding: {customer.id} is {await run.status()}{why}", flush=True)


async def main(database: str, services: str, number: int) -> None:
    """Onboard them all."""
    async with (
        httpx.AsyncClient(base_url=services, timeout=10) as client,
        Coordinator(database, resources=client) as coordinator,
        asyncio.TaskGroup() as group,
    ):
        for customer in customers(number):
            run = await coordinator.start(onboard, customer, id=f"onboard-{customer.id}")
            group.create_task(tell(run, customer))


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", help="such as sqlite:///onboarding.db")
    parser.add_argument("services", help="such as http://127.0.0.1:5001")
    parser.add_argument("--customers", type=int, default=12, help="how many there are")
    given = parser.parse_args()
    asyncio.run(main(given.database, given.services, given.customers))
