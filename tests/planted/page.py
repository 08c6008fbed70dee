"""The page about planted bugs: `python -m tests.planted.page` writes it from the patches' heads."""

from __future__ import annotations

from tests.planted.patches import ROOT, planted

PAGE = ROOT / "docs" / "design" / "planted.md"
HEAD = """\
# Planted bugs

A test that can't fail proves nothing. `tests/planted/` holds one patch for each way in which a rule's code
could plausibly be broken: a condition forgotten, an order swapped, a key that changes by attempt. Each names
the test that catches it, one that cites the rule. `make planted` proves that:

1. It copies the working tree, and makes sure that Python imports the copy's code there. The environment is
   shared; what is made is removed in the end.
2. It runs all the named tests without any bug: they pass.
3. It runs `make check` on the bugs, as many together as fit beside each other, and on each alone where that
   complains: linters and type checkers notice none of them, so that the tests have to.
4. It plants each bug alone, and runs its test, which must fail by what it asserts, or because a run ended
   otherwise than the test claims. An import that breaks, an error in a fixture, or a run of pytest that never
   ends doesn't count; a test that hangs counts once pytest-timeout has failed it.

`make planted ARGS="S09 L"` does it for some, `ARGS="--no-check S09"` without the third step. `make test`
only sees that every patch fits the code, and that its test is there and cites the rule.

**A patch that no longer fits** after a change of the code is planted anew by hand, in the new code:
`git diff -U1` of the bug, below a head that says in a sentence or two what is broken, and
`Caught by: tests/…/test_x.py::test_name`. The file is called `S09-what-is-broken.patch`. So little context
keeps patches alive when the code around them changes.

**A bug that escapes** means a missing test: write that, don't choose a louder bug.

This page is made by `python -m tests.planted.page`; a test keeps it current. Paths are below `tests/`.

| rule | what is broken | patch | caught by |
|---|---|---|---|
"""


def page() -> str:
    """Give the page."""
    rows = [f"| **{patch.rule}** | {patch.bug} | `{patch.name}` | `{patch.test}` |\n" for patch in planted()]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
