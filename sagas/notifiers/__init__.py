"""Telling people: what a coordinator's `notifiers=` takes. `WebhookNotifier` needs `amends[http]`."""

from amends.sagas.notices import Notice, NoticeKind, Pending
from amends.sagas.notifier import Notifier
from amends.sagas.notifiers.log import LogNotifier
from amends.sagas.notifiers.webhook import WebhookNotifier

__all__ = ["LogNotifier", "Notice", "NoticeKind", "Notifier", "Pending", "WebhookNotifier"]
