"""Keys made from the secrets of webhooks; nothing shows them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from amends.sagas.errors import InputInvalid

PREFIX: Final = "whsec_"

Secrets = str | bytes | Iterable[str | bytes]
"""One secret or several: `whsec_` and base64, base64 alone, or bytes."""


class Keys:
    """The keys that secrets stand for: the first one signs, all of them are accepted.

    Raises `InputInvalid` where there is no secret, or one that is empty, shorter than `least` bytes, or no
    base64; the message doesn't show it.
    """

    __slots__ = ("_keys",)

    def __init__(self, secrets: Secrets, what: str, *, least: int = 1) -> None:
        given = [secrets] if isinstance(secrets, str | bytes) else _listed(secrets, what)
        if not given:
            raise InputInvalid(f"{what} needs a secret: without one, anybody could call")
        self._keys = [_key(secret, what, least) for secret in given]

    def __repr__(self) -> str:
        return f"<{len(self._keys)} keys>"

    def sign(self, message: bytes) -> bytes:
        """Give the HMAC-SHA256 of a message under the first key."""
        return _mac(self._keys[0], message)

    def accept(self, message: bytes, macs: Iterable[bytes]) -> bool:
        """Tell whether one of `macs` is the message's under one of the keys, in a time that tells nothing."""
        wanted = [_mac(key, message) for key in self._keys]
        return sum(hmac.compare_digest(mac, one) for mac in macs for one in wanted) > 0


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def _listed(secrets: object, what: str) -> list[object]:
    if not isinstance(secrets, Iterable):
        raise InputInvalid(f"{what} takes secrets: texts such as 'whsec_…', not {type(secrets).__name__}")
    return list(secrets)


def _key(secret: object, what: str, least: int) -> bytes:
    if not isinstance(secret, str | bytes):
        raise InputInvalid(f"{what}: a secret is a text such as 'whsec_…', not {type(secret).__name__}")
    key = secret if isinstance(secret, bytes) else _decoded(secret.removeprefix(PREFIX), what)
    if len(key) < max(least, 1):
        raise InputInvalid(
            f"{what}: a secret stands for {len(key)} bytes and needs at least {max(least, 1)}; "
            f"an empty one would be an open door"
        )
    return key


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text.strip() + "=" * (-len(text.strip()) % 4), validate=True)
    except (binascii.Error, ValueError):
        # Without the cause, which may hold the secret.
        raise InputInvalid(f"{what}: a secret is 'whsec_' and base64, or bytes; this one isn't") from None
