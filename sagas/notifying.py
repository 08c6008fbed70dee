"""The saga that tells people; imported where a coordinator has notifiers."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace

from amends.sagas.approval_links import LINKS, Claim
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
    notice = replace(notice, links=links_of(notice))
    if inspect.iscoroutinefunction(found.notify):
        await found.notify(notice)
    else:
        made = await asyncio.to_thread(found.notify, notice)
        if inspect.isawaitable(made):
            await made


def links_of(notice: Notice) -> dict[str, str]:
    """Make the links of a notice: the same ones when it is told again."""
    made, approval = LINKS.get(), notice.approval
    if made is None or approval is None:
        return {}
    issued = round(notice.at.timestamp() * 1000)
    ends = None if approval.expires_at is None else round(approval.expires_at.timestamp() * 1000)
    people = [person for person in approval.approvers or () if person != approval.requested_by]
    return {
        person: made.url_of(Claim(approval.id, person, approval.digest, issued, ends)) for person in people
    }


@saga(name=NOTIFY[0], version=NOTIFY[1])
async def notify(notice: Notice, notifiers: list[str]) -> None:
    """Tell a notice by each notifier; one that fails is tried again by itself."""
    async with asyncio.TaskGroup() as group:
        for name in notifiers:
            group.create_task(tell(name, notice))
