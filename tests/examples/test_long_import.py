import signal
from pathlib import Path

from tests.examples.programs import Program


def test_a_second_process_sees_the_import_go_on_and_end(tmp_path: Path) -> None:
    """S18, S23: also where the importing process is killed on the way, and another goes on from there."""
    with Program("long_import.py", "watch", cwd=tmp_path) as watch:
        with Program("long_import.py", cwd=tmp_path) as killed:
            assert "running, loading" in watch.line_with("rows of a.csv")
            watch.line_with("rows of b.csv")
            killed.send(signal.SIGKILL)
            assert killed.end() == -signal.SIGKILL
        with Program("long_import.py", cwd=tmp_path) as again:
            assert again.end() == 0
            assert again.lines[-1] == "import-1 is done: 600 rows"
        assert watch.end() == 0
    assert watch.lines[-1] == "completed, done, 300 of 300 rows of b.csv"
    done = [line.split(", ")[2] for line in watch.lines if "b.csv" in line]
    counts = [int(words.split()[0]) for words in done]
    assert counts == sorted(counts)
    assert not any("Traceback" in line for line in watch.lines)


def test_who_comes_too_late_is_told_how_it_ended(tmp_path: Path) -> None:
    with Program("long_import.py", cwd=tmp_path) as imports:
        assert imports.end() == 0
    with Program("long_import.py", "watch", cwd=tmp_path) as watch:
        assert watch.end() == 0
    assert watch.lines == ["completed, done, 300 of 300 rows of b.csv"]
