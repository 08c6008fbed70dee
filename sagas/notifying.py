"""The saga that tells people; imported where a coordinator has notifiers."""

from __future__ import annotations

import asyncio
import inspect

from amends.sagas.errors import AmendsError
from amends.sagas.notices import NOTIFY, Notice
from amends.sagas.notifier import NOTIFIERS
from amends.sagas.outgoing import outgoing
from amends.sagas.saga import saga


@outgoing(name="amends.tell")
async def tell(notifier: str, notice: Notice) -> None:
    """Hand a notice to one notifier."""
    found = (NOTIFIERS.get() or {}).get(notifier)
    if found is None:
        raise AmendsError(
            f"this worker's coordinator has no notifier {notifier!r}; give it one by notifiers=, or cancel "
            "the run if nobody needs to be told any more"
        )
    if inspect.iscoroutinefunction(found.notify):
        await found.notify(notice)
    else:
        made = await asyncio.to_thread(found.notify, notice)
        if inspect.isawaitable(made):
            await made


@saga(name=NOTIFY[0], version=NOTIFY[1])
async def notify(notice: Notice, notifiers: list[str]) -> None:
    """Tell a notice by each notifier; one that fails is tried again by itself."""
    async with asyncio.TaskGroup() as group:
        for name in notifiers:
            group.create_task(tell(name, notice))
