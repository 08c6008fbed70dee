"""Every rule in force is proved by tests that cite it, and the page says by which."""

import pytest

from tests import rule_table

pytestmark = pytest.mark.xdist_group("rules")  # one process reads all tests, and no other has to


@pytest.mark.parametrize("rule", rule_table.RULES)
def test_the_rule_is_cited_by_a_test(rule: str) -> None:
    assert rule_table.table()[rule]


def test_the_page_names_the_tests_of_today() -> None:
    assert rule_table.PAGE.read_text(encoding="utf-8") == rule_table.page(), "run python -m tests.rule_table"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("S3, S13: as in L1.", {"S3", "S13", "L1"}),
        ("S1–S3, S24", {"S1", "S2", "S3", "S24"}),
        ("S1 to S2, at points", {"S1", "S2"}),
        ("S1 to S27, at points", set()),
        ("S27x and XS3", set()),
    ],
)
def test_citations_are_understood(text: str, rules: set[str]) -> None:
    assert rule_table.named(text) == rules
