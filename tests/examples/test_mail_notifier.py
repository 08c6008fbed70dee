"""The mail notifier against an SMTP server that is busy at first."""

import re
import socket
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from tests.examples.programs import Program

SECONDS = 60


class Mailbox:
    """A mail server on this machine; it takes what comes, but for the first mail."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.refused = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more mails."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(SECONDS)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as talk:
                self._talk(talk)

    def _talk(self, talk) -> None:  # type: ignore[no-untyped-def]  # a socket's file
        def say(line: bytes) -> None:
            talk.write(line + b"\r\n")
            talk.flush()

        say(b"220 here")
        while line := talk.readline():
            word = line[:4].upper()
            if word == b"DATA":
                say(b"354 go on")
                data = b"".join(iter(talk.readline, b".\r\n"))
                if self.refused:
                    self.mails.append(message_from_bytes(data))
                    say(b"250 taken")
                else:
                    self.refused += 1
                    say(b"451 busy")
            elif word == b"QUIT":
                say(b"221 bye")
                return
            else:
                say(b"250 fine")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Give a running mail server."""
    server = Mailbox()
    try:
        yield server
    finally:
        server.close()


def test_an_approval_is_told_by_mail_when_the_server_has_time(mailbox: Mailbox, tmp_path: Path) -> None:
    """The first attempt meets a busy server; the second one's mail has the approval's title."""
    while not mailbox.mails:
        with Program("mail_notifier.py", mailbox.address, "ops@shop.example", cwd=tmp_path) as program:
            program.line_with("payout-1:1 waits for ann: Pay out 900 EUR")
            assert program.end() == 0
    (mail,) = mailbox.mails
    assert mailbox.refused == 1
    assert (mail["To"], mail["Subject"]) == ("ops@shop.example", "Pay out 900 EUR")
    assert "to be decided by ann" in re.sub(r"=\s+", "", str(mail.get_payload()))
