"""Call the services over HTTP, and tell refusals apart.

What an answer, and what an error, says about the effect is told by `amends.sagas.http`; here, what the shop
knows better: the reason for which a service refuses.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from amends.sagas import Undo, current_step, http

logger = logging.getLogger(__name__)


class OutOfStock(Exception):
    """There aren't enough articles on the shelf."""


class CardDeclined(Exception):
    """The bank doesn't pay."""


class AddressNotServed(Exception):
    """The courier doesn't go there."""


Request = Mapping[str, object]
REFUSALS: Mapping[str, type[Exception]] = {
    "out_of_stock": OutOfStock,
    "card_declined": CardDeclined,
    "address_not_served": AddressNotServed,
}


@dataclass(frozen=True, slots=True)
class Services:
    """What the steps need from the worker: an HTTP client, and where each collection is served."""

    client: httpx.AsyncClient
    addresses: Mapping[str, str]


async def post(collection: str, request: Request) -> str:
    """Ask a service for an effect, under the step's own key, and give the name of what it made."""
    try:
        response = await _call("POST", collection, request)
    except http.Refused as refused:
        refusal = refused.response.json() if refused.response else {}
        kind = REFUSALS.get(str(refusal.get("code")))
        if kind is None:
            raise
        raise kind(refusal["error"]) from refused
    return str(response.json()["id"])


async def delete(collection: str, undo: Undo[str]) -> None:
    """Ask a service to undo an effect, whether or not it landed: its name is the key that the step used."""
    await _call("DELETE", f"{collection}/{undo.forward_key}")


async def _call(method: str, path: str, request: Request | None = None) -> httpx.Response:
    step = current_step()
    services: Services = step.resources
    collection, _, _ = path.partition("/")
    doing = "undo " if method == "DELETE" else ""
    logger.info("order %s: %s%s, attempt %d", step.run_id, doing, step.name, step.attempt)
    url = f"{services.addresses[collection]}/{path}"
    # 409 is always a refusal: these services answer a key that is still being worked on when it is done.
    return await http.call(services.client, method, url, json=request, no_effect=http.REFUSALS)
