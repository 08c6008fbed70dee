"""The services' own books, and whether they bear out what amends says."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from pydantic import BaseModel

ENDED = ("completed", "compensated", "partially_compensated", "failed", "cancelled")
COLLECTIONS = ("reservations", "charges", "deliveries", "receipts")


class Entry(BaseModel):
    """An effect in a service's book: whether it still stands, and how often it was asked for."""

    key: str
    order_id: str
    what: str
    state: str
    stands: bool
    asked: int


@dataclass(frozen=True, slots=True)
class End:
    """How an order ended, and what came of its steps, as amends has it on record."""

    order_id: str
    status: str
    steps: Sequence[str]


Books = Mapping[str, Sequence[Entry]]


async def read_books(addresses: Mapping[str, str]) -> Books:
    """Ask each service for its book."""
    async with httpx.AsyncClient(timeout=10) as client:
        return {name: await _read_book(client, f"{addresses[name]}/{name}", name) for name in COLLECTIONS}


def half_done(ends: Sequence[End], books: Books) -> list[str]:
    """List what is half done: a completed order has one of each effect standing, any other none at all."""
    findings = [f"order {end.order_id} hasn't ended: {end.status}" for end in ends if end.status not in ENDED]
    wanted = {end.order_id: int(end.status == "completed") for end in ends}
    for collection in COLLECTIONS:
        standing = Counter(entry.order_id for entry in books[collection] if entry.stands)
        findings += [
            f"order {id_}: {standing[id_]} standing {collection} instead of {wanted.get(id_, 0)}"
            for id_ in sorted(wanted.keys() | standing.keys())
            if standing[id_] != wanted.get(id_, 0)
        ]
    return findings


async def _read_book(client: httpx.AsyncClient, url: str, collection: str) -> list[Entry]:
    response = await client.get(url)
    response.raise_for_status()
    return [Entry.model_validate(entry) for entry in response.json()[collection]]
