"""The planted bugs as files: what each breaks, which rule that is, and which test must notice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent
NAME = re.compile(r"([SLA])(\d{2})-[a-z0-9-]+")
CAUGHT_BY = re.compile(r"^Caught by: tests/(\S+::test_\w+)$", re.MULTILINE)


class PatchUnfit(Exception):
    """A patch file isn't what it should be, or no longer fits the code."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One planted bug: `test` is the test that catches it, below `tests/`."""

    file: Path
    rule: str
    bug: str
    test: str

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.file.stem


def read(file: Path) -> Patch:
    """Read a patch's name and head. Raises `PatchUnfit` where something is missing."""
    head = file.read_text(encoding="utf-8").partition("\ndiff --git ")[0]
    name, test = NAME.fullmatch(file.stem), CAUGHT_BY.search(head)
    bug = " ".join(head.partition("Caught by:")[0].split())
    if name is None or test is None or not bug:
        raise PatchUnfit(
            f"{file.name}: a patch is called S09-what-is-broken.patch, and says in its head what is broken,"
            " and `Caught by: tests/.../test_x.py::test_name`"
        )
    return Patch(file, f"{name[1]}{int(name[2])}", bug, test[1])


def planted() -> list[Patch]:
    """Give all patches, in the order of the rules."""
    return [read(file) for file in sorted(FOLDER.glob("*.patch"), key=_place)]


def apply(patch: Patch, root: Path, *options: str) -> None:
    """Apply a patch to a tree; `--check` only asks whether it would, `--reverse` takes it back.

    Raises `PatchUnfit` where it no longer fits, or git is missing.
    """
    git = shutil.which("git")
    if git is None:
        raise PatchUnfit("git is missing: planted bugs are applied by `git apply`, in a checkout or not")
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(root.parent)}
    command = [git, "apply", *options, str(patch.file)]
    made = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        raise PatchUnfit(f"{patch.name} doesn't fit the code any more: {made.stderr.strip()}")


def _place(file: Path) -> tuple[int, str]:
    return "SLA".index(file.name[0]), file.name
