import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "persistence", "sagas", "tracing")
OPTIONAL = {
    "alembic",
    "httpx",
    "jinja2",
    "openai",
    "opentelemetry.sdk",
    "rich",
    "starlette",
    "typer",
    "uvicorn",
}
SOURCES = [
    path
    for folder in (*PACKAGES, "src/amends", "tests", "examples", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def loaded_by(statement: str, directory: Path) -> set[str]:
    program = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    command = [sys.executable, "-c", program]
    plain = {**os.environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"}  # Others import what they like.
    answer = subprocess.run(
        command, cwd=directory, env=plain, capture_output=True, text=True, check=True
    ).stdout
    return set(json.loads(answer))


def test_importing_sagas_loads_no_optional_library(tmp_path: Path) -> None:
    assert not OPTIONAL & loaded_by("import amends.sagas", tmp_path)


def test_importing_sagas_loads_neither_the_barrier_nor_http_nor_webhooks(tmp_path: Path) -> None:
    by_themselves = {"amends.sagas.barrier", "amends.sagas.http", "amends.sagas.webhooks"}
    assert not by_themselves & loaded_by("import amends.sagas", tmp_path)


@pytest.mark.parametrize("module", ["barrier", "webhooks"])
def test_importing_this_alone_loads_no_optional_library(module: str, tmp_path: Path) -> None:
    assert not OPTIONAL & loaded_by(f"import amends.sagas.{module}", tmp_path)


def test_importing_agents_loads_no_client_of_a_model_until_one_is_made(tmp_path: Path) -> None:
    clients = {"openai", "httpx", "httpx2"}
    assert not clients & loaded_by("import amends.agents", tmp_path)
    assert "openai" in loaded_by("import amends.agents; amends.agents.OpenAIModel('gpt-5')", tmp_path)


def test_importing_everything_loads_no_package_under_its_bare_name(tmp_path: Path) -> None:
    statement = "import " + ", ".join(f"amends.{package}" for package in PACKAGES)
    assert not set(PACKAGES) & loaded_by(statement, tmp_path)


@pytest.mark.parametrize("package", [*PACKAGES, "sagas.barrier", "sagas.http", "sagas.webhooks"])
def test_the_public_names_are_sorted_and_exist(package: str) -> None:
    module = importlib.import_module(f"amends.{package}")
    assert module.__all__ == sorted(set(module.__all__))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_no_source_imports_a_package_under_its_bare_name() -> None:
    assert [
        f"{path.relative_to(ROOT)}: {module}"
        for path in SOURCES
        for module in imported(path)
        if module.partition(".")[0] in PACKAGES
    ] == []


def imported(path: Path) -> list[str]:
    """List the modules that a file imports by absolute name."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.append(node.module)
    return modules
