"""Serve a participant over HTTP: `POST /charges`, `DELETE /charges/KEY`; `GET /charges` reads its book."""

import argparse
import json
import sys
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from amends.sagas.barrier import CalledTooLate, KeyReused
from participant import Answer, BadRequest, Participant

LONGEST_BODY = 64 * 1024
LONGEST_KEY = 255


def serve(service: type[Participant]) -> None:
    """Run `service` as a process until it is stopped; its first line of output says where it listens."""
    parser = argparse.ArgumentParser(description=service.__doc__)
    parser.add_argument("--book", type=Path, default=Path(f"{service.name}.db"), help="its SQLite file")
    parser.add_argument("--port", type=int, default=0, help="a port on 127.0.0.1 (default: any free one)")
    options = parser.parse_args()
    try:
        Handler.service = service(options.book)
        with Server(("127.0.0.1", options.port), Handler) as server:
            say(f"{service.name}: listening on http://127.0.0.1:{server.server_port}")
            server.serve_forever()
    except (OSError, OverflowError, SQLAlchemyError) as error:
        sys.exit(f"{service.name}: can't serve {options.book} on port {options.port}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def say(line: str) -> None:
    """Print a line in one piece, so that several services may share a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Server(ThreadingHTTPServer):
    """A thread for each request, and quiet about callers that go away in the middle of one."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - given by socketserver
        """Print any other error."""
        if not isinstance(sys.exception(), ConnectionError):
            traceback.print_exc()


class NotServed(Exception):
    """A request that isn't one of the three that a participant serves."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """Translate HTTP requests into the participant's calls, and its answers into JSON."""

    service: ClassVar[Participant]
    timeout = 60
    error_content_type = "application/json"
    error_message_format = '{"code": "not_served", "error": "the service does not understand the request"}'

    def serve_request(self) -> None:
        """Answer one request; whatever is wrong with it is said in JSON."""
        try:
            answer = self._ask_the_service()
        except NotServed as error:
            answer = _refusal(error.status, "not_served", str(error))
        except BadRequest as error:
            answer = _refusal(400, "bad_request", str(error))
        except CalledTooLate as error:
            answer = _refusal(409, "undone", str(error))
        except KeyReused as error:
            answer = _refusal(422, "key_reused", str(error))
        except SQLAlchemyError:
            traceback.print_exc()
            answer = _refusal(500, "broken", "the service failed; its output says why")
        self._give(answer)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = serve_request  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent about requests; what counts are the effects."""

    def _ask_the_service(self) -> Answer:
        service = self.service
        match self.command, urlsplit(self.path).path.strip("/").split("/"):
            case "GET", [service.collection]:
                return Answer(200, {service.collection: service.entries()}, note="")
            case "POST", [service.collection]:
                return service.post(self._key(), self._body())
            case "DELETE", [service.collection, forward_key]:
                self._key()
                return service.delete(unquote(forward_key))
            case _, [service.collection, *_]:
                raise NotServed(405, f"{self.command} {self.path} isn't something that {service.name} does")
        raise NotServed(404, f"{service.name} has /{service.collection} and nothing else")

    def _key(self) -> str:
        key = self.headers.get("Idempotency-Key", "").strip()
        if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
            raise BadRequest(f"the header Idempotency-Key must hold 1 to {LONGEST_KEY} printable characters")
        return key

    def _body(self) -> dict[str, object]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise NotServed(411, "the header Content-Length must say how long the body is")
        if len(length) > len(str(LONGEST_BODY)) or int(length) > LONGEST_BODY:
            raise NotServed(413, f"the body is longer than {LONGEST_BODY} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body isn't JSON: {error}") from error
        if not isinstance(body, dict):
            raise BadRequest("the body must be a JSON object")
        return body

    def _give(self, answer: Answer) -> None:
        if answer.note:
            say(f"{self.service.name}: {answer.note}")
        time.sleep(max(answer.seconds, 0.0))
        body = json.dumps(answer.body).encode()
        try:
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            say(f"{self.service.name}: the caller went away without waiting for the answer")


def _refusal(status: int, code: str, error: str) -> Answer:
    return Answer(status, {"code": code, "error": error}, note="")
