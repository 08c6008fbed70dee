"""What a model's call raises, and with it what follows.

::

    ModelError                 transient, unless it is one of those below
    ├── ModelUnavailable       no answer, a cut one, or a server that can't just now; tried again
    ├── AnswerInvalid          an answer that can't be read; tried again
    ├── ModelBusy              "later": a RetryAfter, with the seconds that the server asks for
    └── ModelFatal             a Fatal: asking the same again is pointless
        ├── QuotaExhausted     the account has no money or quota left
        ├── KeyMissing         no API key was given
        ├── KeyRejected        the key isn't valid, or may not do this
        ├── ContentRefused     the provider's policy refuses what was sent
        ├── ContextTooLong     the transcript doesn't fit into the model
        ├── ModelUnknown       the server has no such model, or no such address
        └── RequestInvalid     the server can't read the request
            └── TranscriptInvalid   a call without its result; never sent
"""

from __future__ import annotations

from amends.sagas.errors import AmendsError, Fatal, RetryAfter

__all__ = [
    "AnswerInvalid",
    "ContentRefused",
    "ContextTooLong",
    "KeyMissing",
    "KeyRejected",
    "ModelBusy",
    "ModelError",
    "ModelFatal",
    "ModelUnavailable",
    "ModelUnknown",
    "QuotaExhausted",
    "RequestInvalid",
    "TranscriptInvalid",
]


class ModelError(AmendsError):
    """A model didn't answer, or not so that it can be used.

    `model` is its name, `status` that of the HTTP answer (None where there was none), `code` the server's
    word for the error or else ours, `seconds` how long the server asks to wait. No text holds an API key.
    """

    def __init__(
        self,
        message: str = "",
        model: str = "",
        status: int | None = None,
        code: str = "",
        seconds: float | None = None,
    ) -> None:
        AmendsError.__init__(self, message, model, status, code, seconds)
        self.model = model
        self.status = status
        self.code = code
        self.seconds = seconds

    def __str__(self) -> str:
        return str(self.args[0])


class ModelUnavailable(ModelError):
    """The server gave no answer, cut it off, or says that it can't just now. It may be asked again."""


class AnswerInvalid(ModelError):
    """The server's answer can't be read: no JSON, no choices, or things of the wrong kind in it."""


class ModelBusy(ModelError, RetryAfter):
    """The server asks to come again later; `seconds` is when, and sets the next attempt."""


class ModelFatal(ModelError, Fatal):
    """Asking the same again is pointless, so no attempt follows."""


class QuotaExhausted(ModelFatal):
    """The account has no money or no quota left."""


class KeyMissing(ModelFatal):
    """No API key was given, neither as `api_key=` nor where the official client looks for one."""


class KeyRejected(ModelFatal):
    """The API key isn't valid, or may not use this model."""


class ContentRefused(ModelFatal):
    """The provider's policy refuses what was sent."""


class ContextTooLong(ModelFatal):
    """The transcript doesn't fit into the model's context."""


class ModelUnknown(ModelFatal):
    """The server has no model of this name, or nothing at this address."""


class RequestInvalid(ModelFatal):
    """The server can't use the request as it is, or it can't be sent: an option without JSON form."""


class TranscriptInvalid(RequestInvalid):
    """A transcript has a tool call without its result, or a result without its call; never sent (A11)."""
