"""The planted bugs fit the code of today; `make planted` proves that they are caught."""

from __future__ import annotations

import pytest

from tests.planted import page
from tests.planted.patches import ROOT, Patch, PatchUnfit, apply, planted, read
from tests.planted.trial import uncited

PATCHES = planted()
RULES = [*(f"S{number}" for number in range(1, 28)), *(f"L{number}" for number in range(1, 5)), "A10"]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_a_planted_bug_fits_the_code(patch: Patch) -> None:
    apply(patch, ROOT, "--check")


def test_every_planted_bug_names_a_test_that_cites_its_rule() -> None:
    assert uncited(PATCHES) == []


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_planted_bug(rule: str) -> None:
    assert any(patch.rule == rule for patch in PATCHES)


def test_a_patch_whose_head_says_nothing_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("planted") / "S09-says-nothing.patch"
    file.write_text("diff --git a/sagas/keys.py b/sagas/keys.py\n", encoding="utf-8")
    with pytest.raises(PatchUnfit, match="says in its head what is broken"):
        read(file)


def test_a_patch_for_other_code_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(PatchUnfit, match="doesn't fit the code any more"):
        apply(PATCHES[0], tmp_path_factory.mktemp("empty"), "--check")


def test_the_page_tells_of_the_bugs_of_today() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(), "run python -m tests.planted.page"
