import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"requirements.lock": "dev", "benchmarks/peers/requirements.lock": "peers"}
PACKAGES = ("agents", "persistence", "sagas", "tracing")
SOURCES = (*PACKAGES, "src", "pyproject.toml", "README.md", "LICENSE")
DATA = {".css", ".html", ".ico", ".js", ".mako", ".svg", ".typed", ".woff2"}
SAGA = """
import sys

from amends.sagas import Coordinator, saga, step


@step
async def add(left: int, right: int) -> int:
    return left + right


@saga
async def total(start: int) -> int:
    return await add(start, 2)


with Coordinator.sync(sys.argv[1]) as coordinator:
    print(coordinator.run(total, 40))
"""

# Built once for all tests here, and so by one worker.
pytestmark = pytest.mark.xdist_group("packaging")


@dataclass(frozen=True, slots=True)
class Installed:
    """A wheel, and an environment that holds what it holds and its dependencies."""

    wheel: Path
    python: Path

    def run(self, program: str, directory: Path, *arguments: str) -> str:
        """Run a program in a directory and return what it prints."""
        path = directory / "program.py"
        path.write_text(program)
        return call(self.python, path, *arguments, directory=directory)


def call(*command: str | Path, directory: Path) -> str:
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build a copy of the sources, directly or by way of an sdist; install it in a clean environment."""
    directory = tmp_path_factory.mktemp(request.param)
    checkout = copy_of_the_checkout(directory / "checkout")
    # Without --wheel, `build` makes the sdist and then the wheel from that alone.
    how = ["--wheel"] if request.param == "wheel" else []
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), *how]
    call(*build, directory=checkout)
    (wheel,) = directory.glob("*.whl")
    return Installed(wheel, environment_with(wheel, directory / "environment"))


def copy_of_the_checkout(target: Path) -> Path:
    target.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(ROOT / name, target / name)
    return target


def environment_with(wheel: Path, environment: Path) -> Path:
    """Make a clean environment that borrows this one's libraries, but not its editable amends."""
    uv = [sys.executable, "-m", "uv", "--quiet", "--offline", "--no-cache", "--no-config"]
    call(*uv, "venv", "--python", sys.executable, environment, directory=environment.parent)
    python = environment / "bin" / "python"
    call(*uv, "pip", "install", "--python", python, "--no-deps", wheel, directory=environment.parent)
    paths = "import sysconfig; print(sysconfig.get_path('purelib'))"
    theirs = Path(call(python, "-c", paths, directory=environment).strip())
    ours = call(sys.executable, "-c", paths, directory=environment).strip()
    # A folder named in a .pth file is searched last, and .pth files inside it are not read.
    (theirs / "borrowed.pth").write_text(ours)
    return python


def test_all_packages_import_from_the_wheel_itself(installed: Installed, tmp_path: Path) -> None:
    names = ", ".join(f"amends.{package}" for package in PACKAGES)
    program = f"import amends, {names}\nfor module in ({names}): print(module.__file__)"
    files = installed.run(program, tmp_path).split()
    assert len(files) == len(PACKAGES)
    assert all(Path(file).is_relative_to(installed.python.parent.parent) for file in files)


def test_the_wheel_holds_every_source_file_and_nothing_else(installed: Installed) -> None:
    folders = [(ROOT / "src/amends", "amends"), *((ROOT / name, f"amends/{name}") for name in PACKAGES)]
    expected = {
        f"{prefix}/{path.relative_to(folder).as_posix()}"
        for folder, prefix in folders
        for path in folder.rglob("*")
        if path.suffix in DATA | {".py"}
    }
    with zipfile.ZipFile(installed.wheel) as wheel:
        assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected


def test_a_saga_runs_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    assert installed.run(SAGA, tmp_path, f"sqlite:///{tmp_path / 'amends.db'}") == "42\n"


def test_the_pytest_plugin_loads_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    program = (
        "from importlib.metadata import entry_points\n"
        "(plugin,) = entry_points(group='pytest11', name='amends')\n"
        "print(plugin.load().__file__)"
    )
    file = Path(installed.run(program, tmp_path).strip())
    assert file.is_relative_to(installed.python.parent.parent)


@pytest.mark.parametrize(("lock", "group"), LOCKS.items())
def test_the_lock_pins_every_dependency_that_the_project_names(lock: str, group: str) -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, extras = document["project"], document["project"]["optional-dependencies"]
    some = extras if group == "dev" else {"postgres": extras["postgres"]}
    named = [project["dependencies"], *some.values(), document["dependency-groups"][group]]
    wanted = {re.split(r"[^\w.-]", requirement)[0] for group in named for requirement in group}
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
    assert wanted - {"amends"} <= pinned


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_names_no_address(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()
