"""Every block of Python in a page runs, and every console line that begins with `$ amends`.

A page becomes one script, in which blocks keep their line numbers: a traceback points into the page.
"""

import ast
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?P<exempt>^[ ]*<!--[ ]*no-run(?P<reason>[^\n]*?)-->[ ]*\n+)?"
    r"^(?P<indent>[ ]*)(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
COMMAND = "$ amends "
SECONDS = 100


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its lines without indentation, and where in the page they begin."""

    language: str
    first_line: int
    lines: list[str]
    exempt: bool
    reason: str


def blocks(page: str) -> Iterator[Block]:
    """Find the fenced blocks of a page's text."""
    for match in BLOCK.finditer(page):
        indent = len(match["indent"])
        yield Block(
            language=match["language"],
            first_line=page.count("\n", 0, match.start("body")),
            lines=[line[indent:] for line in match["body"].splitlines()],
            exempt=match["exempt"] is not None,
            reason=(match["reason"] or "").lstrip(":").strip(),
        )


def script(page: str) -> str:
    """Turn a page into a program; what isn't run is an empty line."""
    lines = [""] * (page.count("\n") + 1)
    for block in blocks(page):
        if block.exempt:
            continue
        if block.language == "python":
            lines[block.first_line : block.first_line + len(block.lines)] = block.lines
        elif block.language in ("bash", "console"):
            for number, command in commands(block):
                lines[number] = f"_command({command!r})"
    return "\n".join(lines)


def commands(block: Block) -> Iterator[tuple[int, str]]:
    """Give the block's calls of `amends`, continued lines joined, each with its line in the page."""
    for offset, line in enumerate(block.lines):
        if line.startswith(COMMAND):
            command, following = line.removeprefix("$ "), offset
            while command.endswith("\\"):
                following += 1
                command = command[:-1] + block.lines[following].strip().removeprefix("> ")
            yield block.first_line + offset, command


def run(page: str, directory: Path, name: str = "page.md") -> subprocess.CompletedProcess[str]:
    """Run a page's program in a directory, with the `amends` of this environment on the path."""
    path = directory / Path(name).with_suffix(".py").name.lower()
    path.write_text(script(page), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AMENDS_")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tests" / "page_runner.py", path],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_the_page_runs(name: str, tmp_path: Path) -> None:
    result = run((ROOT / name).read_text(encoding="utf-8"), tmp_path, name)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", PAGES)
def test_every_exempt_block_of_the_page_gives_its_reason(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    assert [f"{name}:{block.first_line}" for block in blocks(page) if block.exempt and not block.reason] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_exempt_block_of_python_can_be_parsed(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    for block in blocks(page):
        if block.exempt and block.language == "python":
            ast.parse(textwrap.dedent("\n".join(block.lines)), f"{name}:{block.first_line}")


def test_blocks_share_a_namespace_and_keep_their_line_numbers(tmp_path: Path) -> None:
    result = run("# Page\n\n```python\nx = 1\n```\n\n- in a list\n  ```python\n  x / 0\n  ```\n", tmp_path)
    assert "line 9, in <module>" in result.stdout
    assert "ZeroDivisionError" in result.stdout


def test_a_console_line_that_fails_fails_its_page(tmp_path: Path) -> None:
    assert run("```console\n$ amends no-such \\\n  command\n```\n", tmp_path).returncode != 0


def test_an_exempt_block_and_other_languages_do_not_run(tmp_path: Path) -> None:
    page = "<!-- no-run: it needs a key -->\n```python\n1 / 0\n```\n\n```text\n1 / 0\n```\n"
    assert [block.reason for block in blocks(page)] == ["it needs a key", ""]
    assert run(page, tmp_path).returncode == 0
