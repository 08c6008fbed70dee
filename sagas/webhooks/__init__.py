"""Webhooks in: an ASGI app that turns signed calls from outside into signals and starts, once each.

It needs no web framework, stands by itself under any ASGI server, and can be mounted in any ASGI application.
See docs/webhooks.md.
"""

from amends.sagas.webhooks.actions import Signal, SignalOrStart, Start
from amends.sagas.webhooks.app import WebhookApp
from amends.sagas.webhooks.routes import Call, Route
from amends.sagas.webhooks.standard import Delivery, SignatureInvalid, StandardWebhooks

__all__ = [
    "Call",
    "Delivery",
    "Route",
    "Signal",
    "SignalOrStart",
    "SignatureInvalid",
    "StandardWebhooks",
    "Start",
    "WebhookApp",
]
