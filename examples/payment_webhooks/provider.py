"""A fake payment provider: it repeats and reorders what it tells, and somebody forges deliveries in its name.

`PAYMENTS_SECRET=whsec_… python provider.py http://127.0.0.1:8000/payments [--payments 20] [--seed 1]`
exits with 1 if a forgery was let in.
"""

import argparse
import asyncio
import json
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass

import httpx

from amends.sagas.webhooks import StandardWebhooks

AT_ONCE = 8
AGAIN_AFTER = 0.1
"""Seconds; a real provider waits for minutes, and longer each time."""
TRIES = 600


@dataclass(frozen=True, slots=True)
class Sending:
    """One delivery on its way: what is said, its id, who signs it, and whether it is changed on its way."""

    id: str
    body: bytes
    signs: StandardWebhooks
    genuine: bool = True


def deliveries(payments: int, secret: str, dice: random.Random) -> list[Sending]:
    """Make two events for each payment, each told once or several times, with forgeries among them."""
    signs, forger = StandardWebhooks(secret), StandardWebhooks(dice.randbytes(24))
    stale = StandardWebhooks(secret, clock=lambda: 1_600_000_000.0)
    made: list[Sending] = []
    for number in range(payments):
        amount = dice.randrange(100, 100_000)
        for kind in ("authorized", "captured"):
            said = {"type": kind, "payment": f"p-{number}", "amount": amount}
            body, id_ = json.dumps(said).encode(), f"evt_{number}_{kind}"
            made += [Sending(id_, body, signs)] * dice.randint(1, 3)
            forged = json.dumps({**said, "amount": amount * 10}).encode()
            made.append(Sending(id_, forged, dice.choice([forger, stale]), genuine=False))
    dice.shuffle(made)
    return made


async def deliver(client: httpx.AsyncClient, url: str, sending: Sending) -> int:
    """Send a delivery until it is taken or refused; give the last answer's status."""
    for _ in range(TRIES):
        try:
            headers = sending.signs.headers(sending.id, sending.body)
            answer = await client.post(url, content=sending.body, headers=headers)
            if answer.status_code < 500:
                return answer.status_code
        except httpx.TransportError:
            # Nobody there, or cut off before the answer: it may or may not have been taken, so it goes again.
            pass
        await asyncio.sleep(AGAIN_AFTER)
    return 0


async def main(url: str, payments: int, seed: int, secret: str) -> int:
    """Send everything, tell how it was answered, and give the exit code."""
    sendings = deliveries(payments, secret, random.Random(seed))  # noqa: S311 - no secrets
    places = asyncio.Semaphore(AT_ONCE)
    answers: Counter[tuple[bool, int]] = Counter()

    async with httpx.AsyncClient(timeout=30) as client:

        async def send(sending: Sending) -> None:
            async with places:
                answers[sending.genuine, await deliver(client, url, sending)] += 1

        async with asyncio.TaskGroup() as group:
            for sending in sendings:
                group.create_task(send(sending))
    for (genuine, status), count in sorted(answers.items()):
        print(f"provider: {count} {'genuine' if genuine else 'forged'} deliveries were answered {status}")
    return 0 if set(answers) <= {(True, 200), (False, 401)} else 1


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="where the listener listens")
    parser.add_argument("--payments", type=int, default=20, help="how many there are to tell of")
    parser.add_argument("--seed", type=int, default=1, help="for the order, the repeats and the amounts")
    return parser.parse_args()


if __name__ == "__main__":
    given = options()
    key = os.environ.get("PAYMENTS_SECRET") or sys.exit("provider: PAYMENTS_SECRET is needed")
    sys.exit(asyncio.run(main(given.url, given.payments, given.seed, key)))
