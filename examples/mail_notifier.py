"""Telling people by mail: a notifier of one's own, on the standard library's smtplib.

python examples/mail_notifier.py localhost:1025 ops@shop.example    asks for an approval, and sends a mail
"""

import asyncio
import smtplib
import sys
from email.message import EmailMessage

from amends.sagas import Coordinator, approval, saga
from amends.sagas.notifiers import Notice


class MailNotifier:
    """Sends each notice as a mail; a repeat of one has the same Message-ID."""

    def __init__(self, server: str, sender: str, recipient: str, *, name: str = "mail") -> None:
        self.name = name
        self.server = server
        self.sender = sender
        self.recipient = recipient

    def notify(self, notice: Notice) -> None:
        """Send the mail. What smtplib raises is tried again."""
        mail = EmailMessage()
        mail["Subject"] = notice.approval.title if notice.approval else f"Run {notice.run_id} needs a person"
        mail["From"], mail["To"] = self.sender, self.recipient
        mail["Message-ID"] = f"<{notice.id.encode().hex()}@amends>"
        mail.set_content(notice.text)
        with smtplib.SMTP(self.server, timeout=30) as smtp:
            smtp.send_message(mail)


@saga
async def pay_out(amount: int) -> bool:
    """Pay, if Ann says so."""
    decision = await approval(title=f"Pay out {amount} EUR", approvers=["ann"])
    return decision.approved


async def main(server: str, recipient: str) -> None:
    """Ask for an approval and tell of it."""
    mail = MailNotifier(server, "amends@shop.example", recipient)
    async with Coordinator("sqlite:///mail_notifier.db", notifiers=[mail]) as coordinator:
        await coordinator.start(pay_out, 900, id="payout-1")
        await coordinator.run_until_idle()
        for waiting in await coordinator.approvals():
            print(f"{waiting.id} waits for {', '.join(waiting.approvers or ())}: {waiting.title}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
