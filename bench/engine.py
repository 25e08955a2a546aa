"""Our engine, run as Airflow runs it: each task is a process of its own that opens its own connections.

A process imports everything before its clock starts: what Airflow and Python take to start a task is the
fixed cost of a run and has a figure of its own.
"""

from __future__ import annotations

import multiprocessing
import re
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import yaml
from psycopg.conninfo import make_conninfo

from bench import BenchFailed, masked
from bench.arena import Arena
from bench.costs import Cost, total
from handover.evidence import ledger
from handover.local.programs import binaries
from handover.settings import Settings
from handover.stages.absence import search_target
from handover.stages.backup import backup_lane
from handover.stages.close import close_run
from handover.stages.context import Context, open_context
from handover.stages.inventory import inventory
from handover.stages.joins import verify_joins
from handover.stages.late_changes import recheck_lane, recheck_objects
from handover.stages.migrate import finish_target, migrate_lane, prepare_target
from handover.stages.plan import plan
from handover.stages.reidentification import measure_target
from handover.stages.restore_test import restore_test
from handover.stages.sealing import seal_backup
from handover.stages.snapshot import hold_snapshot
from handover.stages.tally import tally_source, tally_target
from handover.stages.verify import verify_expectations, verify_lane, verify_objects

CASE, RUN = "bench-transfer", "bench"
LANES = 2
RESTORE_TEST = "restore test"
CHECKS = "checks"
RECHECK = "recheck"
# The search for raw values and what belongs to it end at once where nothing is masked.
CHECKING = ("reconcile", "expectations", "joins", "absence", "re-identification")
# Phases with figures of their own: no peer does anything like them.
APART = (RESTORE_TEST, CHECKS, RECHECK)
# What one process does for one lane.
LANE_STAGES = ("backup", "migrate", "verify")
_LEDGER, _WRITER = "bench_ledger", "bench_writer"
_SPAWN = multiprocessing.get_context("spawn")
# An import and a context take seconds; a task that has not even begun after this hangs.
READY_SECONDS = 120.0


@dataclass(frozen=True)
class Opening:
    """What a process needs to open the run by itself."""

    home: Path
    ledger_url: str
    urls: dict[str, str]

    def open(self) -> Context:
        """Open the run in this process."""
        variables = {
            "HANDOVER_HOME": str(self.home),
            "HANDOVER_CASES": str(self.home / "cases"),
            "HANDOVER_DATAMAPS": str(self.home / "datamaps"),
            "HANDOVER_LEDGER_URL": self.ledger_url,
            "HANDOVER_PG_BIN": str(binaries()),
        }
        return open_context(Settings.load(variables), CASE, RUN, self.urls.__getitem__)


@dataclass(frozen=True)
class Task:
    """One task of the DAG; ``lane`` is None where the stage is not divided."""

    stage: str
    lane: int | None = None


@dataclass(frozen=True)
class Report:
    """What a task says of itself at its end; ``peak`` is its resident memory in MB."""

    client: float
    peak: float
    lanes: int


@dataclass
class EngineRun:
    """Costs of the phases of one run, in order, and the peak of any of its processes."""

    phases: dict[str, Cost] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)

    @property
    def whole(self) -> Cost:
        """Return the cost of the run without restore test and checks, which have figures of their own."""
        return total(cost for name, cost in self.phases.items() if name not in APART)


def _plan(context: Context, _lane: int) -> int:
    return len(plan(context).lanes)


# What a lane returns is not used: only the plan says something, how many lanes there are.
_STAGES: dict[str, Callable[[Context, int], object]] = {
    "inventory": lambda context, _: inventory(context),
    "plan": _plan,
    "snapshot": lambda context, _: hold_snapshot(context),
    "backup": backup_lane,
    "tally": lambda context, _: tally_source(context),
    "seal": lambda context, _: seal_backup(context),
    RESTORE_TEST: lambda context, _: restore_test(context),
    "prepare": lambda context, _: prepare_target(context),
    "migrate": migrate_lane,
    "finish": lambda context, _: finish_target(context),
    "verify": verify_lane,
    "verify objects": lambda context, _: verify_objects(context),
    "reconcile": lambda context, _: tally_target(context),
    "expectations": lambda context, _: verify_expectations(context),
    "joins": lambda context, _: verify_joins(context),
    "absence": lambda context, _: search_target(context),
    "re-identification": lambda context, _: measure_target(context),
    "recheck": recheck_lane,
    "recheck objects": lambda context, _: recheck_objects(context),
    "close": lambda context, _: close_run(context),
}


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def peak_mb() -> float:
    """Return the most memory this process had resident, in MB.

    Not ru_maxrss, which in a new process starts at what its parent had.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise BenchFailed("/proc/self/status does not tell VmHWM", hint="the bench needs Linux")
    return int(found[1]) / 1024


def _work(opening: Opening, task: Task, go: Event, answer: Connection) -> None:
    """Do one task in a process of its own."""
    answer.send(None)
    go.wait()
    before = _own_seconds()
    result = _STAGES[task.stage](opening.open(), task.lane or 0)
    lanes = result if task.stage == "plan" and isinstance(result, int) else 0
    answer.send(Report(_own_seconds() - before, peak_mb(), lanes))


@dataclass(frozen=True)
class Worker:
    """A started process that waits for its signal."""

    task: Task
    process: SpawnProcess
    answer: Connection

    @staticmethod
    def start(opening: Opening, task: Task, go: Event) -> Worker:
        """Start the process; its imports go on meanwhile."""
        mine, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_work, args=(opening, task, go, theirs), daemon=True)
        process.start()
        theirs.close()  # else its end would not be seen
        return Worker(task, process, mine)

    def ready(self) -> None:
        """Wait until everything is imported."""
        if not self.answer.poll(READY_SECONDS):
            raise BenchFailed(
                f"the process of {self.task.stage} did not begin",
                hint="see its output above",
            )
        self._receive()

    def report(self) -> Report:
        """Wait for the end of the task."""
        report = self._receive()
        if report is None:
            raise BenchFailed(f"{self.task.stage} gave no report", hint="see its output above")
        return report

    def _receive(self) -> Report | None:
        try:
            return self.answer.recv()  # type: ignore[no-any-return]
        except EOFError:
            raise BenchFailed(f"{self.task.stage} failed", hint="see its error above") from None


@contextmanager
def _workers(opening: Opening, tasks: Sequence[Task], go: Event) -> Iterator[list[Worker]]:
    started = [Worker.start(opening, task, go) for task in tasks]
    try:
        for worker in started:
            worker.ready()
        yield started
    except BaseException:
        for worker in started:
            worker.process.terminate()
        raise
    finally:
        for worker in started:
            worker.process.join()


class Engine:
    """One run of the engine between a filled source and an empty target, phase by phase."""

    def __init__(self, place: Arena, opening: Opening) -> None:
        self._place = place
        self._opening = opening
        self._run = EngineRun()

    def transfer(self) -> EngineRun:
        """Run the whole transfer."""
        self._phase("inventory", [Task("inventory")])
        lanes = self._phase("plan", [Task("plan")])[0].lanes
        self._backup(lanes)
        self._phase(RESTORE_TEST, [Task(RESTORE_TEST)])
        self._place.settle()  # in a run that is timed without the restore test, nor shall its traces count
        self._phase("prepare", [Task("prepare")])
        self._phase("migrate", [Task("migrate", lane) for lane in range(lanes)])
        self._phase("finish", [Task("finish")])
        self._phase(
            "verify",
            [*(Task("verify", lane) for lane in range(lanes)), Task("verify objects")],
        )
        self._phase(CHECKS, [Task(stage) for stage in CHECKING])
        self._phase(RECHECK, [*(Task("recheck", lane) for lane in range(lanes)), Task("recheck objects")])
        self._phase("close", [Task("close")])
        return self._run

    def _backup(self, lanes: int) -> None:
        """Back up beside the holder, which ends by itself once the backup is sealed."""
        go = _SPAWN.Event()
        backup = [*(Task("backup", lane) for lane in range(lanes)), Task("tally")]
        with _workers(self._opening, [Task("snapshot"), *backup], go) as (
            holder,
            *readers,
        ):
            self._watch("backup", readers, go)
            self._phase("seal", [Task("seal")])
            self._run.peaks["snapshot"] = holder.report().peak

    def _phase(self, name: str, tasks: Sequence[Task]) -> list[Report]:
        go = _SPAWN.Event()
        with _workers(self._opening, tasks, go) as workers:
            return self._watch(name, workers, go)

    def _watch(self, name: str, workers: Sequence[Worker], go: Event) -> list[Report]:
        """Give the signal, wait for all, and note what the phase took."""
        server, began = self._place.server_seconds(), time.monotonic()
        go.set()
        reports = [worker.report() for worker in workers]
        wall = time.monotonic() - began
        for worker in workers:
            worker.process.join()  # its sessions have ended, so the servers have counted them
        used = self._place.server_seconds() - server
        self._run.phases[name] = Cost(wall, sum(report.client for report in reports), used)
        self._run.peaks[name] = max(report.peak for report in reports)
        return reports


def run(place: Arena, source: str, target: str, *, masks: bool = False) -> EngineRun:
    """Transfer a database with ledger, vault and keyring of its own, five columns masked if asked."""
    home = place.folder("engine")
    (home / "cases").mkdir()
    case = _case() | ({"classes": masked.CLASSES} if masks else {})
    (home / "cases" / f"{CASE}.yaml").write_text(yaml.safe_dump(case))
    if masks:
        masked.write_datamap(home / "datamaps", CASE)
    opening = Opening(home, _fresh_ledger(place), {"source": source, "target": target})
    place.settle()
    return Engine(place, opening).transfer()


def _case() -> dict[str, object]:
    return {
        "case": CASE,
        "title": "Measured transfer of generated data",
        "kind": "transfer",
        "transaction": "ledger_handover",
        "parties": {
            "giver": {"name": "Giver (sample)"},
            "recipient": {"name": "Recipient (sample)"},
        },
        "source": {"connection": "source", "schemas": ["bench"]},
        "target": {"connection": "target"},
        "restore_test": {"connection": "target"},
        "lanes": LANES,
        # The target's role is an ordinary one, which may not quieten the server's log.
        "acknowledge": ["loud-log:target", "loud-log:restore_test"],
    }


def _fresh_ledger(place: Arena) -> str:
    place.fresh(place.source, _LEDGER)
    ledger.create(place.source.admin_url(_LEDGER), _WRITER, place.password)
    return make_conninfo(place.source.admin_url(_LEDGER), user=_WRITER, password=place.password)
