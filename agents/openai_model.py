"""Models behind OpenAI's APIs: OpenAI's own, and servers that speak like it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from amends.agents.answer_parts import decoded
from amends.agents.chat_answer import chat_answer
from amends.agents.chat_request import chat_request
from amends.agents.model import ModelAnswer, ModelRequest
from amends.agents.model_failures import error_for, refuses, told_by
from amends.agents.request_parts import OURS
from amends.agents.responses_answer import responses_answer
from amends.agents.responses_request import responses_request
from amends.agents.structured import Structured
from amends.agents.texts import as_json, plain
from amends.sagas import checked
from amends.sagas.errors import DefinitionError

if TYPE_CHECKING:
    import openai

    from amends.agents.openai_clients import Reply

__all__ = ["OpenAIModel"]

PATHS = {"chat": "/chat/completions", "responses": "/responses"}


class OpenAIModel:
    """A model behind OpenAI's Responses API or Chat Completions.

    `base_url` is another server that speaks like OpenAI: it is asked by Chat Completions unless `api` says
    `"responses"`, and needs no key. `api_key` is a text or an async function that gives one; left out, the
    official client looks for `OPENAI_API_KEY`, but never sends that to a `base_url`. `options` go with every
    request (temperature, reasoning, …); a request's own win. `timeout` is for one whole call. `structured`
    is how a form of the answer is asked for: `"schema"`, `"tool"`, `"prompt"`, or None for the first of these
    that the server doesn't refuse. `client` is an `openai.AsyncOpenAI` of your own, which you close.

    Each loop of each process gets a client of its own; it is closed with its loop, or by `aclose()`.
    Raises `DefinitionError` for an option that means nothing, and `ImportError` without the openai package.

    >>> local = OpenAIModel("qwen3", base_url="http://localhost:11434/v1")
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        api: Literal["responses", "chat"] | None = None,
        options: Mapping[str, Any] | None = None,
        timeout: timedelta = timedelta(minutes=5),
        structured: Literal["schema", "tool", "prompt"] | None = None,
        client: openai.AsyncOpenAI | None = None,
    ) -> None:
        openai_clients = _loaded()
        self._name = checked.name(name, "OpenAIModel: a model's name")
        self._base_url = _url(base_url)
        if client is not None and (base_url is not None or api_key is not None):
            raise DefinitionError("OpenAIModel: client= brings its own base_url and api_key; leave them out")
        if api not in (None, *PATHS):
            raise DefinitionError(f'OpenAIModel: api={api!r} must be "responses" or "chat"')
        self._api = api or ("responses" if base_url is None else "chat")
        self._options = _options(options)
        self._timeout = checked.duration(timeout, "OpenAIModel: timeout", DefinitionError).total_seconds()
        if structured is not None and structured not in tuple(Structured):
            raise DefinitionError(
                f'OpenAIModel: structured={structured!r} is none of "schema", "tool", "prompt"'
            )
        self._structured = None if structured is None else Structured(structured)
        self._refused: set[tuple[Structured, str]] = set()
        self._given = client
        self._clients = openai_clients.Clients(self._name, self._base_url, _key(api_key))
        self._send = openai_clients.send
        url = self._base_url if client is None else str(client.base_url)
        self._provider = "openai" if url is None else _place(url)

    def __repr__(self) -> str:
        place = "" if self._base_url is None else f", base_url={self._base_url!r}"
        return f"OpenAIModel({self._name!r}{place}, api={self._api!r})"

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def provider(self) -> str:
        """Whose API it speaks, as traces name it."""
        return "openai"

    async def answer(self, request: ModelRequest) -> ModelAnswer:
        """Ask once, and give the answer.

        Where a server refuses the way in which it is asked for the output's form, nothing was generated, and
        the next way follows at once. Raises a `ModelError`: `ModelBusy` sets the next attempt, a `ModelFatal`
        ends them, any other may be tried again.
        """
        while True:
            way = self._way(request)
            body = self._body(request, way)
            client = self._given or await self._clients.client()
            reply = await self._send(client, PATHS[self._api], body, model=self._name, timeout=self._timeout)
            if reply.refused is None:
                return self._read(reply, request, way, len(as_json(body).encode()))
            if self._structured is None and way is not None and refuses(reply.refused, way):
                self._refused.add((way, _form(request)))
                continue
            raise error_for(reply.refused, self._name, reply.secrets)

    async def aclose(self) -> None:
        """Close this loop's connections. The next call opens new ones; a client of yours is left alone."""
        await self._clients.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _way(self, request: ModelRequest) -> Structured | None:
        """Choose how to ask for the output: the surest way that the server hasn't refused for this form."""
        if request.output is None or self._structured is not None:
            return None if request.output is None else self._structured
        form = _form(request)
        return next((way for way in Structured if (way, form) not in self._refused), Structured.PROMPT)

    def _body(self, request: ModelRequest, way: Structured | None) -> dict[str, Any]:
        if self._api == "chat":
            return chat_request(self._name, request, way=way, options=self._options)
        return responses_request(self._name, request, way=way, options=self._options, provider=self._provider)

    def _read(self, reply: Reply, request: ModelRequest, way: Structured | None, sent: int) -> ModelAnswer:
        found = decoded(reply.body, self._name)
        failed = found.get("error")
        said = found.get("choices") or found.get("output")
        if failed and (not said or found.get("status") == "failed"):
            raise error_for(told_by(None, {}, found), self._name, reply.secrets)
        if self._api == "chat":
            return chat_answer(found, request, model=self._name, sent=sent, way=way)
        provider = self._provider
        return responses_answer(found, request, model=self._name, sent=sent, way=way, provider=provider)


def _form(request: ModelRequest) -> str:
    """Give what a refusal of a form is remembered by: the form, and whether there are tools beside it."""
    output = request.output
    shown = as_json(plain([bool(request.tools), output and [output.name, output.schema]]))
    return hashlib.sha256(shown.encode()).hexdigest()


def _loaded() -> ModuleType:
    """Load the official client, for those who make a model. Raises `ImportError` without it."""
    try:
        return import_module("amends.agents.openai_clients")
    except ImportError as error:
        raise ImportError(
            f"OpenAIModel needs the openai package ({error}); install it with amends[agents]"
        ) from error


def _place(url: str) -> str:
    """Name a server, without what may be secret in its URL."""
    parts = urlsplit(url)
    return "openai" if parts.hostname == "api.openai.com" else parts.netloc.rpartition("@")[2]


def _url(url: Any) -> str | None:
    if url is None:
        return None
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DefinitionError("OpenAIModel: base_url= is a URL such as http://localhost:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise DefinitionError("OpenAIModel: base_url= holds a user or a password; give api_key= instead")
    return str(url)


def _options(options: Any) -> dict[str, Any]:
    if not isinstance(options, Mapping | None):
        raise DefinitionError(f"OpenAIModel: options={options!r} must be a mapping of names to values")
    taken = sorted(OURS & set(options or ()))
    if taken:
        raise DefinitionError(f"OpenAIModel: options= must not hold {', '.join(taken)}: a request says that")
    try:
        kept: dict[str, Any] = plain(dict(options or {}))
    except (TypeError, RecursionError) as error:
        raise DefinitionError(f"OpenAIModel: options= has no JSON form: {error}") from None
    return kept


def _key(key: Any) -> Any:
    from amends.agents.openai_clients import fit_key  # noqa: PLC0415 - heavy

    if key is None or callable(key):
        return key
    if not isinstance(key, str) or not key or not fit_key(key):
        raise DefinitionError(
            "OpenAIModel: api_key= is a text without spaces or line ends, or an async function giving one"
        )
    return key
