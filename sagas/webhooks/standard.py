"""The Standard Webhooks scheme: signing deliveries, and telling whether one is genuine and of now."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from amends.sagas import checked
from amends.sagas.errors import AmendsError, InputInvalid
from amends.sagas.webhook_keys import Keys

WINDOW: Final = dt.timedelta(minutes=5)
VERSION: Final = "v1"
SECONDS: Final = re.compile(r"[0-9]{1,11}")
ID: Final = re.compile(r"[\x21-\x7e]{1,200}")


class SignatureInvalid(AmendsError):
    """A delivery isn't signed as it must be, or not of now; nothing was done."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a verified call says of itself: its `id`, the same when it is sent again, and when it was signed.

    `at` is aware, UTC; None where the scheme signs no time.
    """

    id: str
    at: dt.datetime | None = None


Verify = Callable[[Mapping[str, str], bytes], Delivery]
"""Takes the headers, their names in lower case, and the body; raises `SignatureInvalid`."""


class StandardWebhooks:
    """Verifies and signs deliveries as https://www.standardwebhooks.com describes (symmetric, `v1`).

    Give the secret that the sender shows, `whsec_` and base64, or several while one is replaced: all are
    accepted, the first signs. A delivery signed more than `window` before or after now is refused; `clock`
    gives now in seconds since the epoch.
    Raises `InputInvalid` for a missing, empty or malformed secret: nothing is ever accepted unsigned.

    >>> Route(Payment, book, verify=StandardWebhooks(os.environ["PROVIDER_SECRET"]))
    """

    def __init__(
        self,
        *secrets: str | bytes,
        window: dt.timedelta = WINDOW,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = Keys(secrets, "StandardWebhooks")
        self._window = checked.duration(window, "StandardWebhooks: window", InputInvalid)
        self._clock = clock

    def __repr__(self) -> str:
        return f"<StandardWebhooks, {self._keys!r}>"

    def __call__(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Tell which delivery it is. Raises `SignatureInvalid`."""
        delivery, timestamp = headers.get("webhook-id"), headers.get("webhook-timestamp")
        signatures = headers.get("webhook-signature")
        if not delivery or not timestamp or not signatures:
            raise SignatureInvalid("webhook-id, webhook-timestamp and webhook-signature are needed")
        if not ID.fullmatch(delivery) or not SECONDS.fullmatch(timestamp):
            raise SignatureInvalid("webhook-id is printable ASCII, webhook-timestamp a number of seconds")
        if not self._keys.accept(_signed(delivery, timestamp, body), _macs(signatures)):
            raise SignatureInvalid("no signature fits")
        at = int(timestamp)
        if abs(self._clock() - at) > self._window.total_seconds():
            raise SignatureInvalid("webhook-timestamp is too far from now; is a clock wrong?")
        return Delivery(delivery, dt.datetime.fromtimestamp(at, dt.UTC))

    def headers(self, id: str, body: bytes) -> dict[str, str]:
        """Sign a delivery: give the headers to send with `body`, byte for byte. Raises `InputInvalid`."""
        if not ID.fullmatch(id):
            raise InputInvalid(f"a delivery's id is printable ASCII of 1 to 200 characters, not {id!r}")
        timestamp = str(int(self._clock()))
        signature = base64.b64encode(self._keys.sign(_signed(id, timestamp, body))).decode()
        return {
            "webhook-id": id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"{VERSION},{signature}",
        }


def _signed(id: str, timestamp: str, body: bytes) -> bytes:
    return f"{id}.{timestamp}.".encode() + body


def _macs(signatures: str) -> Iterator[bytes]:
    """Give what the signatures of our version say; those of others may stand beside them."""
    for one in signatures.split(" "):
        version, _, text = one.partition(",")
        if version == VERSION:
            try:
                yield base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                continue
