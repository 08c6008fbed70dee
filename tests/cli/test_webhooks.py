"""Webhooks of runs under `amends worker`."""

from tests.cli.processes import Amends

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - for tests
BASE = "https://shop.example/hooks"


def test_a_worker_is_told_where_webhooks_lead(amends_on_both: Amends) -> None:
    amends = amends_on_both
    amends.says("start", "hands_out", "--module", "desk", "--id", "h-1")
    said = {"AMENDS_WEBHOOKS_URL": BASE, "AMENDS_WEBHOOKS_SECRETS": f"{SECRET} {SECRET}"}
    result = amends("worker", "desk", "--until-idle", env=said)
    assert result.returncode == 0, result.stderr
    assert amends.tells("show", "h-1")["result"].startswith(f"{BASE}/")
    assert SECRET not in result.stdout + result.stderr


def test_without_being_told_a_run_that_asks_for_one_fails_and_says_why(amends: Amends) -> None:
    amends.says("start", "hands_out", "--module", "desk", "--id", "h-1")
    amends.work_off("desk")
    assert "Coordinator(url, webhooks=" in amends.says("show", "h-1")


def test_a_place_without_a_secret_is_refused(amends: Amends) -> None:
    worker = ("worker", "desk", "--until-idle", "--webhooks")
    assert "AMENDS_WEBHOOKS_SECRETS" in amends.refuses(*worker, BASE)
    said = {"AMENDS_WEBHOOKS_SECRETS": "c2hvcnQ="}
    assert "needs at least 16" in amends.refuses(*worker, BASE, env=said)
    assert "http or https" in amends.refuses(*worker, "shop", env={"AMENDS_WEBHOOKS_SECRETS": SECRET})
