"""The peers, each with two jobs like our two lanes, on the same servers, into an empty database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench import BenchFailed
from bench.arena import Arena, timed
from bench.costs import Cost
from handover.local.programs import binaries

JOBS = 2
# Where pgcopydb may read one table with several jobs, as we do.
_SPLIT = "200MB"
DUMP_RESTORE = "pg_dump -Fd -j2 + pg_restore -j2"
# By default pg_dump compresses harder than we do. At gzip:1 it makes about our effort; without
# compression it is fastest and writes the most.
GZIP_1 = "pg_dump -Fd -j2 -Z gzip:1 + pg_restore -j2"
UNCOMPRESSED = "pg_dump -Fd -j2 -Z none + pg_restore -j2"
PIPE = "pg_dump | psql"
PGCOPYDB = "pgcopydb clone"


def dump_restore(place: Arena, source: str, target: str, options: Sequence[str] = ()) -> None:
    """Dump into a folder, then restore from it."""
    folder = place.folder("dump") / "dump"
    jobs = f"--jobs={JOBS}"
    dump = [
        _program("pg_dump"),
        "--format=directory",
        jobs,
        *options,
        f"--file={folder}",
        _dbname(source),
    ]
    _run(place, dump)
    _run(
        place,
        [_program("pg_restore"), jobs, "--no-owner", _dbname(target), str(folder)],
    )


def pipe(place: Arena, source: str, target: str) -> None:
    """Pipe a dump into psql: one job, nothing written to disk between."""
    dump = [_program("pg_dump"), "--no-owner", _dbname(source)]
    load = [
        _program("psql"),
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
    ]
    with subprocess.Popen(dump, stdout=subprocess.PIPE, env=_environment(place)) as writer:
        _run(place, [*load, _dbname(target)], stdin=writer.stdout)
    _require_success(dump, writer.returncode)


def pgcopydb(place: Arena, source: str, target: str) -> None:
    """Copy with pgcopydb, which keeps no backup and verifies nothing."""
    addresses = [f"--source={_address(source)}", f"--target={_address(target)}"]
    jobs = [
        f"--table-jobs={JOBS}",
        f"--index-jobs={JOBS}",
        f"--split-tables-larger-than={_SPLIT}",
    ]
    folder = f"--dir={place.folder('pgcopydb')}"
    command = ["pgcopydb", "clone", *addresses, folder, *jobs, "--no-owner"]
    _run(place, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


PEERS: dict[str, Callable[[Arena, str, str], None]] = {
    DUMP_RESTORE: dump_restore,
    GZIP_1: partial(dump_restore, options=["--compress=gzip:1"]),
    UNCOMPRESSED: partial(dump_restore, options=["--compress=none"]),
    PIPE: pipe,
    PGCOPYDB: pgcopydb,
}


def available() -> tuple[str, ...]:
    """Return the peers that can be run here; pgcopydb is no part of our requirements."""
    return tuple(name for name in PEERS if name != PGCOPYDB or shutil.which("pgcopydb"))


def run(place: Arena, name: str, source: str, target: str) -> Cost:
    """Let one peer copy a database and return what it took."""
    place.settle()
    with timed(place) as found:
        PEERS[name](place, source, target)
    return found[0]


def _program(name: str) -> str:
    return str(binaries() / name)


def _address(url: str) -> str:
    """Return the address without its password, which travels in the environment: arguments are public."""
    parts = conninfo_to_dict(url)
    parts.pop("password")
    return make_conninfo("", **parts)


def _dbname(url: str) -> str:
    return f"--dbname={_address(url)}"


def _environment(place: Arena) -> dict[str, str]:
    path = f"{binaries()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {
        "PATH": path,
        "LC_ALL": "C",
        "PGPASSWORD": place.password,
        "HOME": str(place.home),
    }


def _run(
    place: Arena,
    command: Sequence[str],
    stdin: IO[bytes] | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> None:
    done = subprocess.run(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=_environment(place),
        check=False,
    )
    _require_success(command, done.returncode)


def _require_success(command: Sequence[str], status: int) -> None:
    if status:
        raise BenchFailed(f"{command[0]} ended with status {status}", hint="see its output above")
