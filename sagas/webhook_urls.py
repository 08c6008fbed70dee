"""The URLs of webhooks that belong to runs: made by a worker, recognised without asking the database."""

from __future__ import annotations

import base64
import binascii
import re
from contextvars import ContextVar
from dataclasses import InitVar, dataclass, field
from typing import Final
from urllib.parse import urlsplit

from amends.sagas.errors import InputInvalid
from amends.sagas.webhook_keys import Keys, Secrets

LEAST_SECRET: Final = 16
"""Bytes: a shorter secret could be guessed from one URL."""
LONGEST_TOKEN: Final = 4_096
MAC: Final = 32
PURPOSE: Final = b"amends.webhook\0"
"""What is signed begins with it, so that no signature made for another purpose fits."""
FAMILY: Final = "webhook:"
"""The names of signals that come by webhooks of runs: `webhook:NAME:NUMBER`."""


@dataclass(frozen=True, slots=True, eq=False)
class Webhooks:
    """Where calls of a run's webhooks come in, and the secrets that sign their URLs.

    `url` is where the world reaches the path below which a `WebhookApp` takes them (`hooks=`). `secrets` is
    one secret or several, each `whsec_` and base64 of 16 bytes or more: the first signs, all are accepted,
    so that one can be replaced. Without a secret its URLs are worthless, so keep it as long as they are to
    work. Raises `InputInvalid`.

    >>> Webhooks("https://shop.example/hooks", secrets=os.environ["WEBHOOK_SECRET"])
    """

    url: str
    secrets: InitVar[Secrets] = field(kw_only=True)
    keys: Keys = field(init=False, repr=False)

    def __post_init__(self, secrets: Secrets) -> None:
        check_base(self.url, "Webhooks", "https://shop.example/hooks")
        object.__setattr__(self, "keys", Keys(secrets, "Webhooks: secrets=", least=LEAST_SECRET))

    def url_of(self, run_id: str, name: str) -> str:
        """Give the URL by which a run is sent the signal `name`."""
        return f"{self.url.rstrip('/')}/{token(self.keys, run_id, name)}"


def checked_webhooks(given: object) -> Webhooks | None:
    """Check what a coordinator is given. Raises `InputInvalid`."""
    if given is None or isinstance(given, Webhooks):
        return given
    raise InputInvalid("webhooks= takes Webhooks('https://shop.example/hooks', secrets=...), or None")


def check_base(url: object, what: str, example: str) -> None:
    """Check a base for URLs. Raises `InputInvalid`, without what may be a password in it."""
    try:
        parts = urlsplit(url) if isinstance(url, str) and url.isprintable() else None
        fits = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        if (
            fits
            and parts is not None
            and not (parts.username or parts.password or parts.query or parts.fragment)
        ):
            return
    except ValueError:
        pass
    raise InputInvalid(
        f"{what}: url= is where the world reaches them, such as {example!r}: "
        "http or https, with a host, without a user, a query or a fragment"
    )


def token(keys: Keys, run_id: str, name: str) -> str:
    """Name a run and a signal in a text that nobody without the key can make."""
    said = f"{name}\0{run_id}".encode()
    return base64.urlsafe_b64encode(keys.sign(PURPOSE + said) + said).rstrip(b"=").decode()


def read(keys: Keys, given: str) -> tuple[str, str] | None:
    """Give the run and the signal that a token names; None for one that none of the keys has made."""
    if not given.isascii() or len(given) > LONGEST_TOKEN:
        return None
    try:
        data = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    mac, said = data[:MAC], data[MAC:]
    # One token has one spelling: base64 leaves some bits of its last letter open.
    spelled = base64.urlsafe_b64encode(data).rstrip(b"=").decode() == given
    if not keys.accept(PURPOSE + said, [mac]) or not spelled:
        return None
    name, _, run_id = said.decode().partition("\0")
    return run_id, name


def family(name: str) -> str:
    """Give the name of a webhook's signals without its number; the names of other signals stay."""
    return re.sub(r":\d+$", "", name, flags=re.ASCII) if name.startswith(FAMILY) else name


def family_of(name: str) -> str:
    """Give the family of the webhooks that are called `name` in the code."""
    return f"{FAMILY}{name}"


CONFIGURED: ContextVar[Webhooks | None] = ContextVar("amends.webhooks", default=None)
"""The `Webhooks` of the coordinator whose attempt this is."""
