"""What the demo shows: bars that move on a terminal, plain lines anywhere else, a table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from handover.evidence.progress import StageProgress

Show = Callable[[Sequence[StageProgress]], None]


@contextmanager
def stage_bars(console: Console) -> Iterator[Show]:
    """Yield a function that shows the state of all stages, to be called again and again."""
    if not console.is_terminal:
        yield _Lines(console).show
        return
    columns = (TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        yield _Bars(progress).show


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, stages: Sequence[StageProgress]) -> None:
        for stage in stages:
            if stage.stage not in self._tasks:
                self._tasks[stage.stage] = self._progress.add_task(stage.stage, total=None, told="")
            task = self._tasks[stage.stage]
            done, total = _measure(stage)
            self._progress.update(task, completed=done, total=total, told=told(stage))
            if stage.state != "running":
                self._progress.stop_task(task)


class _Lines:
    """One line when a stage begins, one when it ends: a log stays short and holds no control codes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: set[tuple[str, str]] = set()

    def show(self, stages: Sequence[StageProgress]) -> None:
        for stage in stages:
            if (stage.stage, stage.state) in self._said:
                continue
            self._said.add((stage.stage, stage.state))
            detail = [] if stage.state == "running" else [told(stage), f"{stage.seconds:.1f} s"]
            parts = [f"{stage.stage:<14} {stage.state}", *filter(None, detail)]
            self._console.print("  ".join(parts), soft_wrap=True, highlight=False)


def _measure(stage: StageProgress) -> tuple[int, int | None]:
    """Done and total, by bytes where they are known, else by rows; a finished stage is full."""
    if stage.state == "done":
        return 1, 1
    if stage.total_bytes:
        return stage.bytes, max(stage.bytes, stage.total_bytes)
    return stage.rows, max(stage.rows, stage.total_rows) or None


def told(stage: StageProgress) -> str:
    """Rows and speed in words; empty for a stage that moves none."""
    if not stage.rows:
        return ""
    speed = f"{stage.bytes / 1e6 / stage.seconds:,.1f} MB/s" if stage.seconds and stage.bytes else ""
    return f"{stage.rows:,} rows  {speed}".rstrip()


def stage_table(stages: Sequence[StageProgress]) -> Table:
    """The summary of a run that has ended: a stage that has not said so by now is not done."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("state")
    for name in ("rows", "chunks", "bytes", "seconds", "MB/s"):
        table.add_column(name, justify="right")
    for stage in stages:
        speed = f"{stage.bytes / 1e6 / stage.seconds:,.1f}" if stage.seconds and stage.bytes else ""
        counts = (f"{number:,}" if number else "" for number in (stage.rows, stage.chunks, stage.bytes))
        state = "done" if stage.state == "done" else "not done"
        table.add_row(stage.stage, state, *counts, f"{stage.seconds:,.1f}", speed)
    return table
