"""A transfer between two accounts: debit, then credit, and no cent is made or lost.

Each posting is named by the step's key, so that a call which is made again posts nothing more. A debit that
the account doesn't cover is refused before anything happens.
"""

import logging
from contextlib import suppress
from datetime import timedelta
from tempfile import TemporaryDirectory

from amends.sagas import Coordinator, NoEffect, Retry, RunFailed, Undo, current_step, saga, step

TWICE = Retry(attempts=2, wait=timedelta(milliseconds=20))


class InsufficientFunds(NoEffect):
    """The account doesn't hold that much; nothing was posted."""


class NoSuchAccount(NoEffect):
    """Nobody has this account; nothing was posted."""


class Bank:
    """The world: balances in cents, postings by key, and `told`: what happened.

    `silent` names the account whose postings are made without an answer.
    """

    def __init__(self, *, silent: str = "") -> None:
        self.silent = silent
        self.reset()

    def reset(self) -> None:
        """Bring everything back to the beginning."""
        self.balances = {"ann": 100_00, "ben": 20_00}
        self.postings: dict[str, tuple[str, int]] = {}
        self.told: list[str] = []

    def snapshot(self) -> dict[str, int]:
        """Tell the balances."""
        return dict(self.balances)

    def post(self, account: str, amount: int) -> None:
        """Add to an account under the step's key; the same key again adds nothing more."""
        key = current_step().idempotency_key
        if account not in self.balances:
            raise NoSuchAccount(account)
        if key not in self.postings:
            if self.balances[account] + amount < 0:
                raise InsufficientFunds(account)
            self.postings[key] = account, amount
            self._add(account, amount)
        if account == self.silent:
            raise ConnectionError(f"no answer about {account}'s account")

    def reverse(self, undo: Undo[None]) -> None:
        """Take a posting back, if it was made, and let its key post nothing from now on."""
        account, amount = self.postings.setdefault(undo.forward_key, ("", 0))
        if amount and undo.key not in self.postings:
            self.postings[undo.key] = account, -amount
            self._add(account, -amount)

    def _add(self, account: str, amount: int) -> None:
        self.balances[account] += amount
        self.told.append(f"{amount / 100:+.2f} on {account}'s account")


def bank() -> Bank:
    """Give the world that the coordinator was opened with."""
    found: Bank = current_step().resources
    return found


@step(retry=TWICE)
async def debit(account: str, amount: int) -> None:
    """Take the money."""
    bank().post(account, -amount)


@debit.compensation
async def give_back(undo: Undo[None], account: str, amount: int) -> None:
    """Give it back, if it was taken."""
    bank().reverse(undo)


@step(retry=TWICE)
async def credit(account: str, amount: int) -> None:
    """Hand the money over."""
    bank().post(account, amount)


@credit.compensation
async def take_back(undo: Undo[None], account: str, amount: int) -> None:
    """Take it back, if it was handed over."""
    bank().reverse(undo)


@saga
async def transfer(source: str, target: str, amount: int) -> None:
    """Move an amount, in cents, from one account to another."""
    await debit(source, amount)
    await credit(target, amount)


def show(title: str, world: Bank, target: str, amount: int) -> None:
    """Transfer from Ann's account in this world, and print what happened."""
    with (
        TemporaryDirectory() as folder,
        Coordinator.sync(f"sqlite:///{folder}/bank.db", resources=world) as coordinator,
    ):
        run = coordinator.start(transfer, "ann", target, amount, id="transfer-1")
        with suppress(RunFailed):
            run.result(timeout=30)
        print(f"{title}: {run.status()}")
    print("".join(f"  {line}\n" for line in world.told), end="")
    balances = ", ".join(f"{name} {cents / 100:.2f}" for name, cents in world.snapshot().items())
    print(f"  what stands: {balances}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    show("ann pays ben 30.00", Bank(), "ben", 30_00)
    show("ann pays ben more than she has", Bank(), "ben", 300_00)
    show("ann pays somebody without an account", Bank(), "cat", 30_00)
    show("ben's bank posts and doesn't answer", Bank(silent="ben"), "ben", 30_00)
