"""Links by which people decide: signed for one approval and one person, and worth nothing for any other."""

from __future__ import annotations

import base64
import binascii
import json
from contextvars import ContextVar
from dataclasses import InitVar, dataclass, field
from typing import Final

from amends.sagas.errors import InputInvalid
from amends.sagas.webhook_keys import Keys, Secrets
from amends.sagas.webhook_urls import check_base

LEAST_SECRET: Final = 32
"""Bytes: whoever guesses the secret decides everything."""
LONGEST_TOKEN: Final = 8_192
MAC: Final = 32
PURPOSE: Final = b"amends.approval.1\0"
"""What is signed begins with it, so that no signature made for another purpose fits."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a link says: which approval, who, of what was shown; when it was made and ends (ms)."""

    approval_id: str
    person: str
    digest: str
    issued: int
    expires: int | None


@dataclass(frozen=True, slots=True, eq=False)
class ApprovalLinks:
    """Where people reach the page on which they decide, and the secrets that sign its links.

    `url` is where the world reaches the path at which an `ApprovalApp` stands. `secrets` is one secret or
    several, each `whsec_` and base64 of 32 bytes or more: the first signs, all are accepted, so that one can
    be replaced. Raises `InputInvalid`.

    >>> ApprovalLinks("https://shop.example/decide", secrets=os.environ["LINK_SECRET"])
    """

    url: str
    secrets: InitVar[Secrets] = field(kw_only=True)
    keys: Keys = field(init=False, repr=False)

    def __post_init__(self, secrets: Secrets) -> None:
        check_base(self.url, "ApprovalLinks", "https://shop.example/decide")
        object.__setattr__(self, "keys", Keys(secrets, "ApprovalLinks: secrets=", least=LEAST_SECRET))

    def url_of(self, claim: Claim) -> str:
        """Give the link for a claim: the same one for the same claim."""
        return f"{self.url.rstrip('/')}/{self.token(claim)}"

    def token(self, claim: Claim) -> str:
        """Give the text that stands for a claim, which nobody without the key can make."""
        said = json.dumps(
            [claim.approval_id, claim.person, claim.digest, claim.issued, claim.expires],
            ensure_ascii=False,  # the longest names that there are must fit into LONGEST_TOKEN
            separators=(",", ":"),
        ).encode()
        return base64.urlsafe_b64encode(self.keys.sign(PURPOSE + said) + said).rstrip(b"=").decode()

    def read(self, token: str) -> Claim | None:
        """Give what a token stands for; None for one that none of the keys has made."""
        if not token.isascii() or len(token) > LONGEST_TOKEN:
            return None
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, said = data[:MAC], data[MAC:]
        # One token has one spelling: base64 leaves some bits of its last letter open.
        spelled = base64.urlsafe_b64encode(data).rstrip(b"=").decode() == token
        if not self.keys.accept(PURPOSE + said, [mac]) or not spelled:
            return None
        return Claim(*json.loads(said))


def checked_links(given: object) -> ApprovalLinks | None:
    """Check what a coordinator is given. Raises `InputInvalid`."""
    if given is None or isinstance(given, ApprovalLinks):
        return given
    raise InputInvalid(
        "approval_links= takes ApprovalLinks('https://shop.example/decide', secrets=...), or None"
    )


LINKS: ContextVar[ApprovalLinks | None] = ContextVar("amends.approval_links", default=None)
"""The `ApprovalLinks` of the coordinator whose attempt this is."""
