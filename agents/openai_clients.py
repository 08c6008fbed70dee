"""The official client, one for each event loop of this process, and what a call through it gives."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import openai

from amends.agents.model_errors import KeyMissing, KeyRejected, ModelUnavailable
from amends.agents.model_failures import Told, hidden, told
from amends.agents.texts import excerpt

NO_KEY: Final = "none"
"""Sent to a server of one's own, which asks for no key; never the key that is meant for OpenAI."""
LONGEST_CONNECT: Final = 10.0

Key = str | Callable[[], Awaitable[str]] | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a request: the bytes of an answer, or what the server said instead.

    `secrets` must not stand in any text made of it.
    """

    body: bytes = b""
    refused: Told | None = None
    secrets: tuple[str, ...] = ()


class Clients:
    """Makes clients when they are needed, and closes them with their loop or by `aclose`.

    A client belongs to the loop that it was made on. Those of closed loops, and those that came over by a
    fork, are never used again; the latter aren't closed either: their connections are the parent's.
    """

    def __init__(self, model: str, base_url: str | None, api_key: Key) -> None:
        self._model = model
        self._base_url = base_url
        self._api_key = api_key
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._held: dict[asyncio.AbstractEventLoop, _Held] = {}
        self._inherited: list[object] = []

    async def client(self) -> openai.AsyncOpenAI:
        """Give the client of the running loop. Raises `KeyMissing`."""
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            # The parent may have held the lock, in a thread that the child doesn't have.
            self._lock = threading.Lock()
            self._inherited.append(self._held)
            self._held, self._pid = {}, os.getpid()
        with self._lock:
            held = self._held.get(loop)
            if held is None or held.client.is_closed():
                self._held = {other: kept for other, kept in self._held.items() if not other.is_closed()}
                held = self._held[loop] = _Held(self._made())
        await held.begin()
        return held.client

    async def aclose(self) -> None:
        """Close the client of the running loop; the next call makes another."""
        with self._lock:
            held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.end()

    def _made(self) -> openai.AsyncOpenAI:
        own = self._base_url is not None
        try:
            client = openai.AsyncOpenAI(
                api_key=self._api_key if self._api_key is not None or not own else NO_KEY,
                base_url=self._base_url,
                max_retries=0,
                # The default kind closes itself when it is collected, on whatever loop runs then.
                http_client=openai.DefaultAsyncHttpxClient(),
            )
        except openai.OpenAIError:
            raise key_missing(self._model) from None
        if own:
            # What the environment says of an account with OpenAI is nobody else's business.
            client.organization = client.project = client.admin_api_key = None
        if not client.api_key and not callable(self._api_key):
            raise key_missing(self._model)
        if not fit_key(client.api_key):
            raise key_unfit(self._model)
        return client


def fit_key(key: str) -> bool:
    """Tell whether a key can stand in a header."""
    return key.isascii() and key.isprintable() and " " not in key


class _Held:
    """A client with the asynchronous generator that closes it: a loop ends those before it is closed."""

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self.client = client
        self._closing = self._until_the_end()
        self._begun = False

    async def begin(self) -> None:
        """Let the loop know of the generator, once."""
        if not self._begun:
            self._begun = True
            await anext(self._closing)

    async def end(self) -> None:
        """Close the client."""
        await self._closing.aclose()
        await self.client.close()

    async def _until_the_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.client.close()


def key_missing(model: str) -> KeyMissing:
    """Make the error for a call without a key."""
    return KeyMissing(
        f"{model!r}: there is no API key. To do: give api_key=, or set OPENAI_API_KEY where the worker runs;"
        " a server of your own (base_url=) needs none",
        model,
        code="key_missing",
    )


def key_unfit(model: str) -> KeyRejected:
    """Make the error for a key that no header can hold; it isn't shown."""
    return KeyRejected(
        f"{model!r}: the API key has spaces, line ends or other characters that no key has. To do: look"
        " where it comes from; often the line end of a file is read with it",
        model,
        code="key_unfit",
    )


async def send(
    client: openai.AsyncOpenAI, path: str, body: dict[str, Any], *, model: str, timeout: float
) -> Reply:
    """Make one call, without a second try, and give what came back. Raises `ModelUnavailable` for nothing."""
    limits = httpx2.Timeout(timeout, connect=min(timeout, LONGEST_CONNECT))
    failed = ""
    try:
        async with asyncio.timeout(timeout):
            response = await client.post(
                path, cast_to=httpx2.Response, body=body, options={"max_retries": 0, "timeout": limits}
            )
            return Reply(response.content, None, secrets_of(client))
    except openai.APIStatusError as error:
        answered = error.response
        refused = told(answered.status_code, answered.headers, answered.content)
        return Reply(b"", refused, secrets_of(client))
    except (TimeoutError, openai.APITimeoutError):
        failed = f"there was no whole answer within {timeout:g} s"
    except openai.OpenAIError as error:
        failed = _why(error, secrets_of(client))
    except UnicodeEncodeError:
        pass
    except RuntimeError:
        if not client.is_closed():
            raise
        failed = "the client was closed before the call"
    # Raised here and not above, so that it doesn't carry the client's error, which may quote the key.
    if not failed:
        raise key_unfit(model)
    raise ModelUnavailable(f"{model!r}: {failed}. Asking again may help", model, code="no_answer")


def _why(error: BaseException, secrets: tuple[str, ...]) -> str:
    """Give the words of an error and of what lies under it."""
    words = [str(error) or type(error).__name__]
    if error.__cause__ is not None:
        words.append(f"{type(error.__cause__).__name__} {error.__cause__}")
    return excerpt(hidden(": ".join(word.strip(". ") for word in words), secrets))


def secrets_of(client: openai.AsyncOpenAI) -> tuple[str, ...]:
    """Give what must not stand in any text."""
    return tuple(key for key in (client.api_key, client.admin_api_key) if key and key != NO_KEY)
