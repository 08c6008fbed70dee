from collections.abc import Iterator

import pytest

from examples.model_server.running import ModelServer
from tests.crash.children import Zygote


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    """Give the model's server, in a process of its own."""
    with ModelServer() as opened:
        yield opened


@pytest.fixture(scope="session")
def zygote(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Give a parent whose children can be agents."""
    with Zygote(tmp_path_factory.mktemp("agents"), "tests.crash.agents.play") as opened:
        yield opened
