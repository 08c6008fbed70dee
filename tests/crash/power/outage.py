"""A power failure: of all that a process wrote, what the disk may still have."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ACKS = "acks"
"""The file in which the process says what it was told to be durable."""
SECTOR = 512
_HEADER = struct.Struct("<cHqQ")
_SHARED_MEMORY = "-shm"


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done to a file: made (c), written (w), cut (t), removed (u), flushed (s).

    A directory that was flushed (d) has no name.
    """

    kind: str
    name: str
    offset: int
    data: bytes


def deeds(log: Path) -> list[Deed]:
    """Read what the recorder wrote, but for memory that processes share: it doesn't outlive them."""
    content, found, at = log.read_bytes(), list[Deed](), 0
    while at < len(content):
        kind, name_length, offset, length = _HEADER.unpack_from(content, at)
        at += _HEADER.size
        name = content[at : at + name_length].decode()
        at += name_length
        data = b""
        if kind == b"w":
            data = content[at : at + length]
            at += length
        if not name.endswith(_SHARED_MEMORY):
            found.append(Deed(kind.decode(), name, offset, data))
    return found


@dataclass(slots=True)
class File:
    """A file as it is on the disk for certain, and what was done to it since its last flush."""

    flushed: bytearray = field(default_factory=bytearray)
    since: list[Deed] = field(default_factory=list)
    named: bool = False
    """Its name is on the disk for certain."""
    removed: bool = False
    """Its name was removed, which may not be on the disk yet."""

    def flush(self) -> None:
        """Put everything onto the disk."""
        for deed in self.since:
            _do(self.flushed, deed)
        self.since.clear()

    def left(self, chance: random.Random) -> bytearray | None:
        """Give what a power failure leaves of it; None where its name isn't there."""
        if (not self.named or self.removed) and chance.random() < 0.5:
            return None
        content = bytearray(self.flushed)
        kept = chance.choice((0.0, 0.5, 0.9, 1.0))
        whole = chance.choice((0.5, 1.0))
        for deed in self.since:
            if chance.random() < kept:
                for part in _torn(deed, whole, chance):
                    _do(content, part)
        return content


class Disk:
    """The files of a directory while deeds are done to them, one after the other."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.acks: list[str] = []

    def do(self, deed: Deed) -> None:
        """Do the next deed."""
        if deed.name == ACKS:
            self.acks += deed.data.decode().split("\n")[:-1]
        elif deed.kind == "d":
            self._settle_names()
        else:
            self._do_to(deed, self.files.setdefault(deed.name, File()))

    def after_a_power_failure(self, directory: Path, chance: random.Random) -> None:
        """Write into a directory what may be left."""
        directory.mkdir()
        for name, file in self.files.items():
            content = file.left(chance)
            if content is not None:
                (directory / name).write_bytes(content)

    def _do_to(self, deed: Deed, file: File) -> None:
        if deed.kind == "c" and file.removed:
            # Another file under the name of one whose removal may not be on the disk.
            self.files[deed.name] = File()
        elif deed.kind == "u":
            file.removed = True
        elif deed.kind == "s":
            file.flush()
        elif deed.kind in "wt":
            file.since.append(deed)

    def _settle_names(self) -> None:
        self.files = {name: file for name, file in self.files.items() if not file.removed}
        for file in self.files.values():
            file.named = True


def failures(done: Sequence[Deed], after: Sequence[int]) -> Iterator[tuple[int, Disk]]:
    """Give the disk as it is after so many deeds, for each of these numbers in ascending order."""
    disk, at = Disk(), 0
    for number in after:
        for deed in done[at:number]:
            disk.do(deed)
        at = number
        yield number, disk


def _do(content: bytearray, deed: Deed) -> None:
    if deed.kind == "t":
        del content[deed.offset :]
        content.extend(bytes(deed.offset - len(content)))
        return
    end = deed.offset + len(deed.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[deed.offset : end] = deed.data


def _torn(deed: Deed, whole: float, chance: random.Random) -> Iterator[Deed]:
    """Give the sectors of a write that reached the disk."""
    if deed.kind == "t" or chance.random() < whole:
        yield deed
        return
    at = 0
    while at < len(deed.data):
        upto = at + SECTOR - (deed.offset + at) % SECTOR
        if chance.random() < 0.5:
            yield Deed("w", deed.name, deed.offset + at, deed.data[at:upto])
        at = upto
