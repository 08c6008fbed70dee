"""Sagas that need a person; the file `trouble` names the calls that fail."""

from datetime import timedelta
from pathlib import Path

from amends.sagas import Landed, Retry, Undo, current_step, saga, step

ONCE = Retry(attempts=1)


def call(name: str) -> None:
    """Fail if the test says so."""
    path = Path("trouble")
    if path.exists() and name in path.read_text().split():
        raise OSError(f"{name}: no answer")


@step(retry=ONCE)
async def debit(account: str) -> str:
    return f"debit of {account}"


@debit.compensation(retry=ONCE)
async def refund(undo: Undo[str], account: str) -> None:
    call("refund")


@step(retry=ONCE, on_unknown="park")
async def wire(account: str) -> str:
    call("wire")
    return f"wired to {account}"


@step(retry=ONCE)
async def book(account: str) -> None:
    call("book")


@saga
async def transfer(account: str) -> str:
    await debit(account)
    number = await wire(account)
    await book(account)
    return number


@saga(name="close", version=2)
async def close(account: str) -> None:
    await debit(account)
    await debit(account)
    await book(account)


def find() -> Landed[str]:
    call("find")
    return Landed("found")


@step(retry=ONCE, on_unknown=find)
async def order_card() -> str:
    call("order_card")
    return "ordered"


@step(retry=Retry(attempts=2, wait=timedelta(0)), heartbeat=timedelta(seconds=30))
def scan() -> str:
    here = current_step()
    if here.details is None:
        here.heartbeat({"page": 1})
        here.heartbeat({"page": 2})
        raise OSError("paper jam")
    return f"went on from page {here.details['page']}"


@saga
async def open_account() -> list[str]:
    return [await order_card(), await scan()]


@step(effect="pivot")
async def sign() -> None: ...


@saga
async def contract(account: str) -> None:
    await debit(account)
    await sign()
