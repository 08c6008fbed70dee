"""Call the services over HTTP, and tell what an error says about the effect.

There are three answers to "did it happen?". Yes: the service said so. No: it refused, or the request never
reached it; that is a `NoEffect`. Nobody knows: it broke, or didn't answer; any other error says that.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from amends.sagas import NoEffect, Undo, current_step

logger = logging.getLogger(__name__)


class Unreachable(NoEffect):
    """The service didn't take the connection: the request was never sent."""


class Refused(NoEffect):
    """The service said no."""


class OutOfStock(Refused):
    """There aren't enough articles on the shelf."""


class CardDeclined(Refused):
    """The bank doesn't pay."""


class AddressNotServed(Refused):
    """The courier doesn't go there."""


Request = Mapping[str, object]
REFUSALS: Mapping[str, type[Refused]] = {
    "out_of_stock": OutOfStock,
    "card_declined": CardDeclined,
    "address_not_served": AddressNotServed,
    "bad_request": Refused,
    "undone": Refused,
}


@dataclass(frozen=True, slots=True)
class Services:
    """What the steps need from the worker: an HTTP client, and where each collection is served."""

    client: httpx.AsyncClient
    addresses: Mapping[str, str]


async def post(collection: str, request: Request) -> str:
    """Ask a service for an effect, under the step's own key, and give the name of what it made."""
    made = await _send("POST", collection, current_step().idempotency_key, request)
    return str(made["id"])


async def delete(collection: str, undo: Undo[str]) -> None:
    """Ask a service to undo an effect, whether or not it landed: its name is the key that the step used."""
    await _send("DELETE", f"{collection}/{undo.forward_key}", undo.key)


async def _send(method: str, path: str, key: str, request: Request | None = None) -> dict[str, object]:
    step = current_step()
    services: Services = step.resources
    collection, _, _ = path.partition("/")
    url = f"{services.addresses[collection]}/{path}"
    doing = "undo " if method == "DELETE" else ""
    logger.info("order %s: %s%s, attempt %d", step.run_id, doing, step.name, step.attempt)
    try:
        headers = {"Idempotency-Key": key}
        response = await services.client.request(method, url, json=request, headers=headers)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Unreachable(f"{url} can't be reached") from error
    if response.is_client_error:
        _refuse(response)
    answer: dict[str, object] = response.raise_for_status().json()
    return answer


def _refuse(response: httpx.Response) -> None:
    refusal = response.json()
    kind = REFUSALS.get(refusal["code"])
    if kind is not None:
        raise kind(refusal["error"])
