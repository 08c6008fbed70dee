"""Five flaky services of other people, in one process: accounts, workspaces, contacts, mails, events.

`python services.py [--book services.db] [--port 0] [--trouble 0.3] [--seed 1] [--down events]`

Trouble is: "too many requests" with Retry-After; an error before anything was done; a connection cut when it
was done; an answer that comes long after it was done. A caller meets it at most three times with one request.
"""

import argparse
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    insert,
    select,
    update,
)
from sqlalchemy.pool import NullPool

from amends.sagas.barrier import Barrier, CalledTooLate, barrier_table

METADATA = MetaData()
BARRIER = Barrier(barrier_table(METADATA))
EFFECTS = Table(
    "effects",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("collection", Text, nullable=False),
    Column("reference", Text, nullable=False, comment="the caller's name for it: its key, mostly"),
    Column("customer", Text, nullable=False),
    Column("stands", Boolean, nullable=False),
)
TROUBLES = ("busy", "broken", "cut", "slow")
MOST_TROUBLE = 3
SLOW_SECONDS = 1.2
KEYED = ("accounts", "workspaces", "mails", "events")
"""What knows a call that comes again. The contacts don't: every call makes one more."""
UNDONE_BY_KEY = ("accounts", "workspaces")
UNBUILDABLE = "huge"

Answer = tuple[int, Mapping[str, object]]
GONE: Answer = (404, {"error": "nothing of that kind is here"})


@dataclass
class Trouble:
    """Decides what goes wrong with a request: the same for the same seed, however the requests come."""

    share: float
    seed: int
    down: str
    met: Counter[str] = field(default_factory=Counter)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def of(self, request: str) -> str | None:
        """Give the trouble that this request meets now, if any."""
        if self.down and f" /{self.down}" in request:
            return "broken"
        with self.guard:
            self.met[request] += 1
            count = self.met[request]
        dice = random.Random(f"{self.seed} {request} {count}")  # noqa: S311 - no secrets
        return dice.choice(TROUBLES) if count <= MOST_TROUBLE and dice.random() < self.share else None


class Services:
    """What the five services do, with one book for all of them."""

    def __init__(self, book: Path) -> None:
        url = URL.create("sqlite", database=str(book))
        self._engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 30})
        self._looks: Counter[str] = Counter()
        METADATA.create_all(self._engine)

    def post(self, collection: str, key: str, body: Mapping[str, Any]) -> Answer:
        """Make something: under the caller's key, or, with contacts, once more each time."""
        with self._engine.begin() as db:
            if collection in KEYED:
                made = BARRIER.forward(db, key, lambda: self._make(db, collection, key, body), request=body)
            else:
                made = self._make(db, collection, str(body["reference"]), body)
        return 201, made

    def delete(self, collection: str, key: str) -> Answer:
        """Undo what was made under a key; if it comes later than this, it is refused."""
        if collection not in UNDONE_BY_KEY:
            return GONE
        with self._engine.begin() as db:
            BARRIER.compensate(db, key, lambda _made: self._take_away(db, collection, key))
        return 200, {}

    def find(self, reference: str) -> Answer:
        """Look for contacts by the caller's reference."""
        with self._engine.begin() as db:
            numbers = list(
                db.execute(select(EFFECTS.c.number).where(_standing("contacts", reference))).scalars()
            )
        return 200, {"contacts": [str(number) for number in numbers]}

    def remove(self, reference: str) -> Answer:
        """Remove all contacts with this reference."""
        with self._engine.begin() as db:
            self._take_away(db, "contacts", reference)
        return 200, {}

    def look(self, key: str) -> Answer:
        """Say how far a workspace is: it takes two looks to build one, and a huge one can't be built."""
        with self._engine.begin() as db:
            customer = db.execute(select(EFFECTS.c.customer).where(_standing("workspaces", key))).scalar()
        if customer is None:
            return GONE
        self._looks[key] += 1
        built = "failed" if customer.startswith(UNBUILDABLE) else "ready"
        return 200, {"state": built if self._looks[key] > 1 else "building"}

    def books(self) -> Answer:
        """Give all that stands: for each customer, how often there is what."""
        standing: dict[str, Counter[str]] = {}
        with self._engine.begin() as db:
            for row in db.execute(select(EFFECTS).where(EFFECTS.c.stands)):
                standing.setdefault(row.customer, Counter())[row.collection] += 1
        return 200, standing

    def _make(
        self, db: Connection, collection: str, reference: str, body: Mapping[str, Any]
    ) -> dict[str, str]:
        row = {"collection": collection, "reference": reference, "customer": body["customer"], "stands": True}
        number = db.execute(insert(EFFECTS).values(row).returning(EFFECTS.c.number)).scalar_one()
        say(f"{collection}: one for {body['customer']}")
        return {"id": reference if collection in KEYED else str(number)}

    def _take_away(self, db: Connection, collection: str, reference: str) -> None:
        gone = update(EFFECTS).where(_standing(collection, reference)).values(stands=False)
        for customer in db.execute(gone.returning(EFFECTS.c.customer)).scalars():
            say(f"{collection}: {customer}'s is gone")


def _standing(collection: str, reference: str) -> Any:
    return (EFFECTS.c.collection == collection) & (EFFECTS.c.reference == reference) & EFFECTS.c.stands


def say(line: str) -> None:
    """Print a line in one piece."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Handler(BaseHTTPRequestHandler):
    """Translates HTTP into what the services do, and makes the trouble."""

    services: ClassVar[Services]
    trouble: ClassVar[Trouble]
    timeout = 60

    def serve_request(self) -> None:
        """Answer a request, or fail to."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        key = self.headers.get("Idempotency-Key", "")
        if self.path == "/books":
            self._give(*self.services.books())
            return
        trouble = self.trouble.of(f"{self.command} {self.path} {key}")
        if trouble == "busy":
            self._give(429, {"error": "too many requests"}, {"Retry-After": "1"})
        elif trouble == "broken":
            self._give(500, {"error": "something broke"})
        else:
            answer = self._answer(key, body)
            if trouble == "cut":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            time.sleep(SLOW_SECONDS if trouble == "slow" else 0)
            self._give(*answer)

    do_GET = do_POST = do_DELETE = serve_request  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent about requests; what counts are the effects."""

    def _answer(self, key: str, body: Mapping[str, Any]) -> Answer:
        url = urlsplit(self.path)
        reference = parse_qs(url.query).get("reference", [""])[0]
        collection, *names = (unquote(part) for part in url.path.strip("/").split("/"))
        try:
            match self.command, collection, names:
                case "POST", "accounts" | "workspaces" | "contacts" | "mails" | "events", []:
                    answer = self.services.post(collection, key, body)
                case "GET", "workspaces", [name]:
                    answer = self.services.look(name)
                case "GET", "contacts", []:
                    answer = self.services.find(reference)
                case "DELETE", "contacts", []:
                    answer = self.services.remove(reference)
                case "DELETE", _, [name]:
                    answer = self.services.delete(collection, name)
                case _:
                    answer = GONE
        except CalledTooLate as error:
            answer = 409, {"error": str(error)}
        return answer

    def _give(
        self, status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> None:
        content = json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            return


class Server(ThreadingHTTPServer):
    """A thread for each request, and quiet about callers that have gone."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Print any other error than a connection's."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main() -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(description="Five flaky services.")
    parser.add_argument("--book", type=Path, default=Path("services.db"), help="their SQLite file")
    parser.add_argument("--port", type=int, default=0, help="a port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--trouble", type=float, default=0.3, help="the share of requests that meet trouble")
    parser.add_argument("--seed", type=int, default=1, help="which ones do")
    parser.add_argument("--down", default="", help="one of the services, such as events, which never works")
    options = parser.parse_args()
    Handler.services = Services(options.book)
    Handler.trouble = Trouble(options.trouble, options.seed, options.down)
    with Server(("127.0.0.1", options.port), Handler) as server:
        say(f"services: listening on http://127.0.0.1:{server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
