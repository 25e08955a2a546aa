"""What the demo prints: bars on a terminal, lines without control codes in a log."""

from io import StringIO

from rich.console import Console

from handover.evidence.progress import StageProgress
from handover.local.display import stage_bars, stage_table, told

RUNNING = StageProgress("backup", 500, 1000, 20_000_000, 40_000_000, 3, "running", 2.0)
DONE = StageProgress("backup", 1000, 1000, 40_000_000, 40_000_000, 6, "done", 4.0)
PLAN = StageProgress("plan", 0, 0, 0, 0, 0, "done", 0.2)


def shown(terminal: bool) -> str:
    console = Console(file=StringIO(), force_terminal=terminal, width=100)
    with stage_bars(console) as show:
        for stages in ([], [RUNNING], [RUNNING], [PLAN, DONE], [PLAN, DONE]):
            show(stages)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_log_gets_one_line_for_each_change() -> None:
    assert shown(terminal=False).splitlines() == [
        "backup         running",
        "plan           done  0.2 s",
        "backup         done  1,000 rows  10.0 MB/s  4.0 s",
    ]


def test_a_terminal_gets_bars() -> None:
    text = shown(terminal=True)
    assert "\x1b[" in text
    assert "1,000 rows  10.0 MB/s" in text


def test_a_stage_that_moves_no_rows_says_nothing_of_them() -> None:
    assert told(PLAN) == ""


def test_the_table_has_rows_chunks_bytes_and_seconds() -> None:
    console = Console(file=StringIO(), width=100)
    console.print(stage_table([PLAN, DONE, RUNNING]))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0].split() == ["stage", "state", "rows", "chunks", "bytes", "seconds", "MB/s"]
    assert lines[2].split() == ["backup", "done", "1,000", "6", "40,000,000", "4.0", "10.0"]
    assert "not done" in lines[3]
