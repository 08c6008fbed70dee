"""The example of a schedule: each night once, by the zone's clock, also when the worker is late."""

from pathlib import Path

from tests.examples.programs import Program


def test_each_night_has_one_report(tmp_path: Path) -> None:
    with Program("nightly_report.py", cwd=tmp_path) as program:
        assert program.end() == 0
    # Of an old SQLite workers warn.
    assert [line for line in program.lines if "SQLite" not in line] == [
        "report of Friday: 63 orders",
        "report of Saturday: 64 orders",
        "report of Sunday: 65 orders",
        "report@2026-10-24T00:30:00Z, started 00:30, completed",
        "report@2026-10-25T00:30:00Z, started 00:30, completed",
        "report@2026-10-26T01:30:00Z, started 04:00, completed",
    ]
    assert list(tmp_path.iterdir()) == []
