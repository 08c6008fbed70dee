import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.examples.programs import Program

ORDER: Mapping[str, Mapping[str, Any]] = {
    "reservations": {"order_id": "1", "article": "kettle", "quantity": 2},
    "charges": {"order_id": "1", "card": "4242424242424242", "amount": "49.90"},
    "deliveries": {"order_id": "1", "postcode": "EH1 1YZ"},
    "receipts": {"order_id": "1", "recipient": "ada@example.org", "message": "thank you"},
}
SERVICES = {"reservations": "stock", "charges": "payments", "deliveries": "courier", "receipts": "mail"}
UNDOABLE = ["reservations", "charges", "deliveries"]
NOT_UNDERSTOOD: Mapping[str, tuple[str, str, str | None, bytes, int]] = {
    "no key": ("POST", "", None, b"{}", 400),
    "an empty key": ("POST", "", "", b"{}", 400),
    "a key that is too long": ("POST", "", "k" * 256, b"{}", 400),
    "half a body": ("POST", "", "key", b"{", 400),
    "a body that is no object": ("POST", "", "key", b"[]", 400),
    "a body that is no text": ("POST", "", "key", b"\xff", 400),
    "half a letter": ("POST", "", "key", b'{"order_id": "\\ud800"}', 400),
    "a body too deep": ("POST", "", "key", b"[" * 60_000, 400),
    "a body too long": ("POST", "", "key", b" " * 70_000, 413),
    "a path below": ("POST", "/key", "key", b"{}", 405),
    "another method": ("PUT", "", "key", b"{}", 405),
    "undoing without a key": ("DELETE", "/key", None, b"", 400),
    "undoing nothing": ("DELETE", "", "key", b"", 405),
    "another path": ("GET", "/../elsewhere", "key", b"", 404),
    "an unknown method": ("BREW", "", "key", b"", 501),
}
SLOW_CARD = "4000 0000 0000 3220"


@dataclass(frozen=True, slots=True)
class Service:
    """A running service, seen through HTTP."""

    url: str
    collection: str
    program: Program

    def post(self, key: str, **changes: object) -> httpx.Response:
        return self.post_json(key, {**ORDER[self.collection], **changes})

    def post_json(self, key: str, request: object, timeout: float = 30) -> httpx.Response:
        return httpx.post(self.url, json=request, headers={"Idempotency-Key": key}, timeout=timeout)

    def delete(self, key: str, undo_key: str) -> httpx.Response:
        return httpx.delete(f"{self.url}/{key}", headers={"Idempotency-Key": undo_key}, timeout=30)

    def book(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = httpx.get(self.url, timeout=30).json()[self.collection]
        return entries

    def standing(self) -> int:
        return sum(entry["stands"] for entry in self.book())


@contextmanager
def running(collection: str, folder: Path) -> Iterator[Service]:
    name = SERVICES[collection]
    with Program(f"order_fulfilment/services/{name}.py", cwd=folder) as program:
        address = program.line_with("listening on").split()[-1]
        yield Service(f"{address}/{collection}", collection, program)


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a payment service that refuses all that is asked of it."""
    with running("charges", tmp_path_factory.mktemp("payments")) as service:
        yield service


def at_once(service: Service, keys: list[str]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(keys)) as threads:
        return list(threads.map(service.post, keys))


@pytest.mark.parametrize("collection", ORDER)
def test_a_key_that_comes_twenty_times_at_once_has_one_effect(collection: str, tmp_path: Path) -> None:
    with running(collection, tmp_path) as service:
        answers = at_once(service, ["key"] * 20)
        assert {(answer.status_code, answer.text) for answer in answers} == {(201, '{"id": "key"}')}
        assert [(entry["key"], entry["asked"]) for entry in service.book()] == [("key", 20)]


def test_twenty_orders_at_once_get_no_more_than_is_on_the_shelf(tmp_path: Path) -> None:
    with running("reservations", tmp_path) as service, ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda number: service.post(f"key-{number}", article="lamp"), range(20)))
        assert sorted(answer.status_code for answer in answers) == [201] * 10 + [409] * 10
        assert service.standing() == 10


@pytest.mark.parametrize("collection", UNDOABLE)
def test_a_call_that_comes_after_its_compensation_is_refused(collection: str, tmp_path: Path) -> None:
    with running(collection, tmp_path) as service:
        assert service.delete("late", "undo").json() == {"undone": False}
        late = service.post("late")
        assert (late.status_code, late.json()["code"]) == (409, "undone")
        assert service.book() == []


@pytest.mark.parametrize("collection", UNDOABLE)
def test_the_barrier_survives_a_crash_of_the_service(collection: str, tmp_path: Path) -> None:
    with running(collection, tmp_path) as service:
        service.delete("late", "undo")
        service.program.send(signal.SIGKILL)
    with running(collection, tmp_path) as service:
        assert service.post("late").status_code == 409


@pytest.mark.parametrize("collection", ORDER)
def test_a_service_that_crashes_keeps_its_book_and_its_answers(collection: str, tmp_path: Path) -> None:
    with running(collection, tmp_path) as service:
        before = service.post("key").json()
        service.program.send(signal.SIGKILL)
    with running(collection, tmp_path) as service:
        assert service.post("key").json() == before
        assert [(entry["key"], entry["asked"]) for entry in service.book()] == [("key", 2)]


@pytest.mark.parametrize("collection", UNDOABLE)
def test_a_compensation_that_comes_again_undoes_nothing_twice(collection: str, tmp_path: Path) -> None:
    with running(collection, tmp_path) as service:
        service.post("key")
        again = [service.delete("key", undo).json() for undo in ("undo", "undo", "another undo")]
        assert again == [{"undone": True}] * 3
        assert service.standing() == 0


def test_released_articles_can_be_reserved_again(tmp_path: Path) -> None:
    with running("reservations", tmp_path) as service:
        for number in range(3):
            assert service.post(f"key-{number}", article="teapot", quantity=3).status_code == 201
            service.delete(f"key-{number}", f"undo-{number}")


@pytest.mark.parametrize("collection", UNDOABLE)
def test_undoing_what_was_refused_changes_nothing(collection: str, tmp_path: Path) -> None:
    refused = {
        "reservations": {"article": "clock"},
        "charges": {"card": "4000000000000002"},
        "deliveries": {"postcode": "XX1"},
    }
    with running(collection, tmp_path) as service:
        codes = [service.post("key", **refused[collection]).json()["code"] for _ in range(2)]
        assert codes[0] == codes[1]
        assert service.delete("key", "undo").json() == {"undone": False}
        assert service.book() == []


def test_a_key_that_comes_with_another_request_is_refused(tmp_path: Path) -> None:
    with running("charges", tmp_path) as service:
        service.post("key")
        other = service.post("key", amount="1.00")
        assert (other.status_code, other.json()["code"]) == (422, "key_reused")
        assert [(entry["what"], entry["asked"]) for entry in service.book()] == [("49.90", 1)]


def test_a_held_charge_is_in_the_book_before_its_answer_comes(tmp_path: Path) -> None:
    with running("charges", tmp_path) as service:
        request = {**ORDER["charges"], "card": SLOW_CARD}
        with pytest.raises(httpx.ReadTimeout):
            service.post_json("key", request, timeout=0.5)
        assert service.standing() == 1
        assert service.post_json("key", request).json() == {"id": "key"}
        assert service.standing() == 1


def test_a_receipt_that_is_sent_stays_sent(tmp_path: Path) -> None:
    with running("receipts", tmp_path) as service:
        service.post("key")
        assert service.delete("key", "undo").status_code == 400
        assert service.standing() == 1


@pytest.mark.parametrize(
    ("collection", "changes", "said"),
    [
        ("reservations", {"quantity": 0}, "quantity must be a whole number above zero, not 0"),
        ("reservations", {"quantity": True}, "quantity must be a whole number above zero, not true"),
        ("reservations", {"quantity": "2"}, 'quantity must be a whole number above zero, not "2"'),
        ("reservations", {"article": None}, "article must be a line of text, not null"),
        ("reservations", {"order_id": "1\nstock: a lie"}, "order_id must be a line of text"),
        ("charges", {"amount": 49.9}, "amount must be a line of text, not 49.9"),
        ("charges", {"amount": "0.00"}, "amount must be above zero"),
        ("charges", {"amount": "1e3"}, "amount must be above zero"),
        ("charges", {"card": "tomorrow"}, "card must be a number of 12 to 19 digits"),
        ("deliveries", {"postcode": " "}, 'postcode must be a line of text, not " "'),
        ("receipts", {"recipient": "ada"}, "recipient must be an e-mail address, not ada"),
    ],
)  # fmt: skip
def test_a_senseless_request_is_refused_with_the_field_that_is_wrong(
    collection: str, changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    with running(collection, tmp_path) as service:
        answer = service.post("key", **changes)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
        assert said in answer.json()["error"]
        assert service.post("key").status_code == 201


@pytest.mark.parametrize("named", NOT_UNDERSTOOD)
def test_what_a_service_does_not_understand_it_refuses_in_json(named: str, payments: Service) -> None:
    method, path, key, content, status = NOT_UNDERSTOOD[named]
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = httpx.request(method, payments.url + path, headers=headers, content=content)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert payments.book() == []


def test_a_body_without_a_length_is_refused(payments: Service) -> None:
    answer = httpx.post(payments.url, headers={"Idempotency-Key": "key"}, content=iter([b"{}"]))
    assert answer.status_code == 411


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with running("charges", tmp_path) as service:
        port = str(httpx.URL(service.url).port)
        with Program("order_fulfilment/services/mail.py", "--port", port, cwd=tmp_path) as second:
            assert second.end() == 1
            assert len(second.lines) == 1
            assert f"can't serve mail.db on port {port}" in second.lines[0]
