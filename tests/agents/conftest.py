from collections.abc import Iterator

import pytest

from examples.model_server.running import ModelServer


@pytest.fixture(scope="session")
def running_server() -> Iterator[ModelServer]:
    """Give a model server in a process of its own, for all tests of this process."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def server(running_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """Give the model server with nothing asked and nothing to answer, and an environment without keys."""
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_ADMIN_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_ORG_ID",
        "OPENAI_PROJECT_ID",
    ):
        monkeypatch.delenv(name, raising=False)
    running_server.script(forget=True)
    return running_server
