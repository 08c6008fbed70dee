"""What the page about deploying shows works as it stands there."""

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml

from amends.cli.app import app
from tests.cli.conftest import forks, with_sagas
from tests.cli.forks import Forks
from tests.cli.processes import Amends
from tests.test_documents import blocks

__all__ = ["forks"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "deploying.md"


def shown(language: str) -> str:
    """Give the page's one block in a language."""
    (block,) = [block for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == language]
    return "\n".join(block.lines)


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read_string(shown("ini"))
    return parser


def container() -> dict[str, Any]:
    deployment, _ = yaml.safe_load_all(shown("yaml"))
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def seconds(arguments: list[str], option: str) -> float:
    return float(arguments[arguments.index(option) + 1])


def worker_arguments() -> list[list[str]]:
    """Give the arguments of `amends worker` in unit, image and manifest."""
    instructions = dict(line.split(" ", 1) for line in shown("dockerfile").splitlines())
    entry, command = yaml.safe_load(instructions["ENTRYPOINT"]), yaml.safe_load(instructions["CMD"])
    assert entry[:2] == ["amends", "worker"]
    started = shlex.split(unit()["Service"]["ExecStart"])
    assert started[0].endswith("/amends")
    assert started[1] == "worker"
    return [started[2:], [*entry[2:], *command], [*entry[2:], *container()["args"]]]


@pytest.mark.parametrize("arguments", worker_arguments())
def test_the_commands_are_understood(arguments: list[str]) -> None:
    worker = typer.main.get_command(app).commands["worker"]  # type: ignore[attr-defined]
    parsed = worker.make_context("worker", list(arguments))
    assert parsed.params["modules"] == ["shop"]
    assert parsed.params["grace"] == 30


def test_whoever_stops_a_worker_gives_it_time_to_drain() -> None:
    deployment, _ = yaml.safe_load_all(shown("yaml"))
    by_systemd, _, by_kubernetes = worker_arguments()
    assert float(unit()["Service"]["TimeoutStopSec"]) >= seconds(by_systemd, "--grace") + 5
    allowed = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert allowed >= seconds(by_kubernetes, "--grace") + 5


def test_the_budget_is_for_the_workers() -> None:
    deployment, budget = yaml.safe_load_all(shown("yaml"))
    assert (deployment["kind"], budget["kind"]) == ("Deployment", "PodDisruptionBudget")
    selected = budget["spec"]["selector"]["matchLabels"]
    assert selected == deployment["spec"]["template"]["metadata"]["labels"]
    assert selected == deployment["spec"]["selector"]["matchLabels"]


def test_the_probes_of_the_manifest_are_answered(tmp_path: Path, forks: Forks) -> None:
    amends = Amends(with_sagas(tmp_path), "sqlite:///shop.db", forks)
    spec = container()
    arguments = ["0.0.0.0:0" if word == "0.0.0.0:8080" else word for word in worker_arguments()[2]]
    env = {each["name"]: each["value"] for each in spec["env"] if "value" in each}
    with amends.worker(*arguments, env=env) as worker:
        found = re.search(r"on port (\d+) of", worker.line_with("probes are answered"))
        assert found is not None
        worker.line_with(" serves ")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = spec[probe]["httpGet"]
            headers = {header["name"]: header["value"] for header in asked["httpHeaders"]}
            answer = httpx.get(f"http://127.0.0.1:{found[1]}{asked['path']}", headers=headers)
            assert answer.status_code == 200, probe
