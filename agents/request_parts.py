"""What requests of every form have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amends.agents.model_errors import RequestInvalid
from amends.agents.texts import as_json, is_object, plain

OURS = frozenset(
    {"background", "conversation", "input", "instructions", "messages", "model", "n", "previous_response_id"}
    | {"stream", "stream_options", "tools"}
)
"""What a request says itself, or what an answer in one piece can't have: no options."""


def note(text: str) -> str:
    """Tell a note so that a model doesn't take it for a person's words."""
    return f"[Note from the system, not from the user]\n{text}"


def called_with(arguments: str) -> str:
    """Give a call's arguments as they can be sent again.

    Servers that read them fail for ever on a transcript that holds no JSON object there, so what isn't one is
    wrapped; the model sees what it wrote.
    """
    return arguments if is_object(arguments) else as_json({"not_a_json_object": plain(arguments)})


def finished(body: dict[str, Any], options: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Add the options, in the order of their names, and make all of it sendable."""
    for name in sorted(options):
        if name in OURS:
            raise RequestInvalid(
                f"the option {name!r} is what the request says itself, or isn't supported; leave it out",
                model,
                code="option",
            )
        given, mine = options[name], body.get(name)
        if isinstance(mine, dict) and isinstance(given, Mapping):
            body[name] = {**given, **mine}
        else:
            body.setdefault(name, given)
    try:
        sendable: dict[str, Any] = plain(body)
    except (TypeError, RecursionError) as error:
        raise RequestInvalid(
            f"a schema or an option for {model!r} can't be sent: {error}", model, code="no_json"
        ) from None
    return sendable
