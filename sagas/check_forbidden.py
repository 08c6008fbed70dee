"""The functions whose answer differs on replay, and what takes their place."""

import asyncio
import datetime as dt
import os
import random
import secrets
import time
import uuid
from types import BuiltinMethodType, MethodType, ModuleType
from typing import Any

NOW = "amends.sagas.now()"
RANDOM = "amends.sagas.random()"

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_CLASS_CLOCKS = ("now", "today", "utcnow")
_NAMES: list[tuple[ModuleType, tuple[str, ...], str]] = [
    (time, _CLOCKS + tuple(f"{name}_ns" for name in _CLOCKS), NOW),
    (time, ("sleep",), "amends.sagas.sleep()"),
    (uuid, ("uuid1", "uuid4", "uuid6", "uuid7"), "amends.sagas.uuid4()"),
    (secrets, (*secrets.__all__, "randbits"), f"{RANDOM}, or a step for a secret"),
    (os, ("urandom", "getrandom"), f"{RANDOM}, or a step for a secret"),
    (os, ("environ", "environb", "getenv", "getenvb"), "the saga's input, or a step that returns it"),
    (asyncio, ("all_tasks",), "a list of the tasks that the body made"),
]
_KNOWN: list[tuple[Any, str, str]] = [
    (vars(module)[name], f"{module.__name__}.{name}", instead)
    for module, names, instead in _NAMES
    for name in names
    if name in vars(module) and name != "compare_digest"
]


def forbidden(found: Any) -> tuple[str, str] | None:
    """Return the name of an object that a body mustn't use and what to use instead, or None."""
    for known, name, instead in _KNOWN:
        if found is known:
            return name, instead
    if not isinstance(found, BuiltinMethodType | MethodType):
        return None
    owner, name = found.__self__, found.__name__
    if isinstance(owner, random.Random) and not type(owner).__module__.startswith("amends"):
        return f"random.{name}", RANDOM
    if isinstance(owner, type) and issubclass(owner, dt.date) and name in _CLASS_CLOCKS:
        return f"{owner.__module__}.{owner.__qualname__}.{name}", NOW
    return None
