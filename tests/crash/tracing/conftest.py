from collections.abc import Iterator

import pytest

from tests.crash.children import Zygote
from tests.tracing.collector import Collector, collecting


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Give the back end, in a process of its own."""
    with collecting() as found:
        yield found


@pytest.fixture(scope="session")
def zygote(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Give a parent whose children export what they do."""
    with Zygote(tmp_path_factory.mktemp("traced"), "tests.crash.tracing.play") as opened:
        yield opened
