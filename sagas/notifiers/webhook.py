"""Telling people by a webhook: a signed POST, as Standard Webhooks describes it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from pydantic import TypeAdapter

from amends.sagas.errors import InputInvalid
from amends.sagas.http import call
from amends.sagas.notices import Notice
from amends.sagas.webhook_keys import Secrets
from amends.sagas.webhooks.standard import StandardWebhooks

NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)
TIMEOUT_S = 30.0


class WebhookNotifier:
    """POSTs each notice, as JSON, to `url`, signed with the first of `secrets` (`whsec_` and base64).

    The receiver verifies it by Standard Webhooks; `webhook-id` is the same for the same notice, so that it
    can tell repeats. An answer of 2xx ends it. No answer, 5xx and 429 (by its `Retry-After`) are tried again,
    and so is any other refusal: by then the receiver may be mended. `client` replaces the httpx client.
    Raises `InputInvalid` for a URL or a secret that can't be one: nothing is ever sent unsigned.

    >>> WebhookNotifier("https://ops.example/amends", os.environ["OPS_SECRET"])
    """

    def __init__(
        self,
        url: str,
        secrets: Secrets,
        *,
        name: str = "webhook",
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self._place = _checked(url)
        self.name = name
        self._url = url
        given = (secrets,) if isinstance(secrets, str | bytes) else tuple(secrets)
        self._signing = StandardWebhooks(*given)
        self._client = client

    def __repr__(self) -> str:
        return f"<WebhookNotifier {self.name!r} to {self._place}>"

    async def notify(self, notice: Notice) -> None:
        """Send it. Raises `amends.sagas.http.CallFailed`."""
        body = NOTICE.dump_json(notice)
        headers = self._signing.headers(_id_of(notice), body) | {"content-type": "application/json"}
        async with self._connected() as client:
            await call(client, "POST", self._url, content=body, headers=headers)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[httpx.AsyncClient]:
        if self._client is not None:
            yield self._client
        else:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
                yield client


def _id_of(notice: Notice) -> str:
    """Give a delivery's id: a run's own may hold what headers don't."""
    return f"msg_{hashlib.blake2b(notice.id.encode(), digest_size=16).hexdigest()}"


def _checked(url: object) -> str:
    """Check the URL; gives what may be shown of it. Raises `InputInvalid`."""
    try:
        parts = urlsplit(url) if isinstance(url, str) and url.isprintable() else None
        if parts is not None and parts.scheme in ("http", "https") and parts.hostname and not parts.username:
            return f"{parts.scheme}://{parts.netloc}{parts.path}"
    except ValueError:
        pass
    raise InputInvalid(
        "WebhookNotifier: url= is where notices are sent, such as 'https://ops.example/amends': http or "
        "https, with a host and without a user; the signature says who sends"
    )
