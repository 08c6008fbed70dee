"""What the demo shows: lines as they come, and at the end the books beside the records."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from books import COLLECTIONS, Books, End, Entry

COLOURS = {
    "demo": "bold red",
    "amends": "bold",
    "worker": "cyan",
    "stock": "yellow",
    "payments": "green",
    "courier": "magenta",
    "mail": "blue",
}


class Screen:
    """A terminal, or whatever stands in for one."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = 110

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._console.print()
        self._console.print(Text(text, style="bold"), soft_wrap=True)

    def line(self, line: str) -> None:
        """Show a line, `who: what`, with its beginning in the colour of who says it."""
        who, _, what = line.partition(": ")
        if who not in COLOURS:
            who, what = "", line
        self._console.print(Text.assemble((f"  {who:<10}", COLOURS.get(who, "")), what), soft_wrap=True)

    def records(self, ends: Sequence[End]) -> None:
        """Show what amends has on record of each order."""
        self.heading("What amends has on record")
        table = _table("order", "status", "steps")
        for end in ends:
            table.add_row(end.order_id, _coloured(end.status), ", ".join(end.steps))
        self._console.print(table)

    def books(self, ends: Sequence[End], books: Books) -> None:
        """Show what the services have in their books of each order."""
        self.heading("What the services have in their books")
        table = _table("order", *COLLECTIONS)
        for end in ends:
            table.add_row(end.order_id, *(_cell(books[name], end.order_id) for name in COLLECTIONS))
        self._console.print(table)

    def verdict(self, findings: Sequence[str]) -> None:
        """Say whether anything is half done, and what."""
        for finding in findings:
            self._console.print(Text(finding, style="red"), soft_wrap=True)
        verdict = "Something is half done, see above." if findings else "Nothing is half done."
        self._console.print(Text(verdict, style="bold"))


def _table(*names: str) -> Table:
    return Table(*(Column(name, overflow="fold") for name in names))


def _coloured(status: str) -> Text:
    return Text(status, style={"completed": "green", "compensated": "yellow"}.get(status, "red"))


def _cell(book: Sequence[Entry], order_id: str) -> Text:
    entries = [entry for entry in book if entry.order_id == order_id]
    standing = any(entry.stands for entry in entries)
    return Text("\n".join(_described(entry) for entry in entries) or "-", style="" if standing else "dim")


def _described(entry: Entry) -> str:
    asked = f"\nasked {entry.asked} times" if entry.asked > 1 else ""
    return f"{entry.state} {entry.what}{asked}"
