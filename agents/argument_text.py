"""Arguments as a model writes them, read without mercy: one JSON object, whose meaning is beyond doubt."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, Final

from pydantic import ValidationError

from amends.sagas.errors import AmendsError

LARGEST: Final = 1 << 20
"""Bytes of JSON that a model may write as the arguments of one call."""
TOLD: Final = 20
"""Things that don't fit, of one call, that a model is told at once."""


class Misfit(AmendsError, ValueError):
    """What a model wrote can't be the arguments; the text is for the model."""


def object_in(text: str) -> bytes:
    """Give the JSON object that a text holds, as plain JSON. Raises `Misfit`.

    Names that are said twice, NaN, numbers beyond a float, lone surrogates, more than a megabyte and endless
    nesting are refused: two readers could take them for different things.
    """
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise Misfit(f"the arguments are too long: more than {LARGEST} bytes")
    try:
        given = json.loads(
            text or "{}", object_pairs_hook=_once, parse_constant=no_constant, parse_float=_finite
        )
        plain = json.dumps(given, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Misfit("the arguments hold a character that is no text (a lone surrogate)") from None
    except RecursionError:
        raise Misfit("the arguments are nested too deep") from None
    except Misfit:
        raise
    except json.JSONDecodeError as problem:
        raise Misfit(f"the arguments are no JSON: {problem}") from None
    except ValueError:
        raise Misfit("the arguments hold a whole number with too many digits") from None
    if not isinstance(given, dict):
        raise Misfit(f"the arguments are one JSON object, not {type(given).__name__}")
    return plain


def no_constant(word: str) -> Any:
    """Refuse NaN and the infinities, which aren't JSON. Raises `Misfit`."""
    raise Misfit(f"{word} is no JSON; numbers are finite")


def words_of(problem: ValidationError, what: str) -> str:
    """Say in one line what doesn't fit, for a model that is to do better."""
    told = [
        f"{'.'.join(map(str, error['loc'])) or what}: {error['msg']}"
        for error in problem.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = f"; and {len(told) - TOLD} more" if len(told) > TOLD else ""
    return f"{what} can't be taken: {'; '.join(told[:TOLD])}{more}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Misfit(f"the arguments say {twice!r} twice")
    return made


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Misfit(f"{text[:40]} is beyond the numbers that can be told apart")
    return value
