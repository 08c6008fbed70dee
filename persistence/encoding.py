"""The payloads of a write, passed through the codec on their way into the database."""

from __future__ import annotations

from dataclasses import replace

from amends.persistence.codec import Codec, PlainCodec
from amends.persistence.records import Write


class Encoder:
    """Encode the payloads of writes; with a `PlainCodec` that costs nothing."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._plain = isinstance(codec, PlainCodec)

    def encoded(self, write: Write) -> Write:
        """Return `write` as it is to be stored.

        Raises:
            ValueError: no database can hold its ids, or the codec can't encode a payload.
        """
        _check_ids(write)
        if self._plain:
            return write
        try:
            return self._encoded(write)
        except Exception as error:
            words = f"{type(error).__name__}: {error}".rstrip(": ")
            raise ValueError(f"the codec can't encode a payload ({words})") from error

    def _encoded(self, write: Write) -> Write:
        encode = self._codec.encode
        start, change, inbox, schedule = write.start, write.change, write.inbox, write.schedule
        return replace(
            write,
            start=None if start is None else replace(start, input=encode(start.input)),
            entries=tuple(replace(entry, payload=self._some(entry.payload)) for entry in write.entries),
            change=None
            if change is None
            else replace(change, result=self._some(change.result), error=self._some(change.error)),
            inbox=None if inbox is None else replace(inbox, payload=self._some(inbox.payload)),
            starts=tuple(replace(child, input=encode(child.input)) for child in write.starts),
            tells=tuple(
                replace(told, row=replace(told.row, payload=self._some(told.row.payload)))
                for told in write.tells
            ),
            schedule=None
            if schedule is None
            else replace(schedule, row=replace(schedule.row, input=encode(schedule.row.input))),
            asks=tuple(replace(new, request=encode(new.request)) for new in write.asks),
            vote=None if write.vote is None else replace(write.vote, payload=encode(write.vote.payload)),
        )

    def _some(self, data: bytes | None) -> bytes | None:
        return None if data is None else self._codec.encode(data)


def _check_ids(write: Write) -> None:
    """Refuse before the batch what can't be looked for in the database."""
    ids = [write.run_id]
    if write.start is not None:
        ids.append(write.start.id)
    if write.inbox is not None:
        ids += (write.inbox.run_id, write.inbox.key)
    if write.schedule is not None:
        ids.append(write.schedule.row.id)
    ids += [child.id for child in write.starts]
    if write.vote is not None:
        ids += (write.vote.approval_id, write.vote.by)
    for text in ids:
        if not storable(text):
            raise ValueError(f"{text!r} holds NUL or half of a surrogate pair, which databases don't store")


def storable(text: str) -> bool:
    """Tell whether a database can hold `text` at all: no NUL, no half of a surrogate pair."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
