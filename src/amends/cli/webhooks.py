"""Where the webhooks of runs lead, as typed and as the environment says."""

from __future__ import annotations

import os
import re

from amends.cli.errors import CommandError
from amends.sagas.webhook_urls import Webhooks

SECRETS = "AMENDS_WEBHOOKS_SECRETS"


def webhooks_at(url: str | None) -> Webhooks | None:
    """Give the settings for a base of URLs; None without one. Raises `CommandError`, `InputInvalid`."""
    if not url:
        return None
    secrets = [secret for secret in re.split(r"[\s,]+", os.environ.get(SECRETS, "")) if secret]
    if not secrets:
        raise CommandError(f"--webhooks needs the secrets that sign its URLs, in {SECRETS}: the first signs")
    return Webhooks(url, secrets=secrets)
