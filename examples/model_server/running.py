"""Run the model server as a process of its own, tell it what to answer, and ask it what it was asked."""

import http.client
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

SERVER = Path(__file__).resolve().parent / "server.py"
SECONDS = 60


class ModelServer:
    """A model server, running inside the `with` block. `url` is the `base_url` for clients.

    >>> with ModelServer({"text": "Hello."}) as server:
    ...     model = OpenAIModel("any", base_url=server.url)
    """

    def __init__(self, *answers: dict[str, Any], **options: Any) -> None:
        self._script = {"answers": list(answers), **options}
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, SERVER], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip().removeprefix("model server: ")
        self.script(*self._script.pop("answers"), **self._script)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        with self._process as process:
            process.kill()

    def script(self, *answers: dict[str, Any], **options: Any) -> None:
        """Say what to answer from now on."""
        self._ask("PUT", "/control/script", {"answers": answers, **options})

    def requests(self, at_least: int = 0) -> list[dict[str, Any]]:
        """Give what was asked; waits, up to half a minute, until it is so many."""
        found: list[dict[str, Any]] = self._ask("GET", f"/control/requests?at_least={at_least}")
        return found

    def held(self, at_least: int = 0) -> list[str]:
        """Give the names of the answers that are held back; waits, up to half a minute, for so many."""
        found: list[str] = self._ask("GET", f"/control/held?at_least={at_least}")
        return found

    def release(self, name: str | None = None) -> None:
        """Let the answers of this name go, those to come included; or all that are held now."""
        self._ask("POST", "/control/release", None if name is None else {"name": name})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        place = urlsplit(self.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=SECONDS)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Connection": "close"})
            answer = connection.getresponse()
            told = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the model server refuses: {told['error']}")
        return told
