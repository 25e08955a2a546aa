"""The Makefile: help names every target, and each one runs what it says (seen by a dry run)."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from handover.settings import REPOSITORY

TARGETS = {
    "demo",
    "demo-deregistration",
    "demo-vie",
    "demo-live",
    "test",
    "check",
    "campaign",
    "mutation",
    "bench",
    "up",
    "down",
    "clean",
    "install",
    "system-deps",
    "requirements",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy with nothing installed, so that a dry run shows the installation too."""
    for name in (
        "requirements-uv.txt",
        "requirements.txt",
        "requirements-dev.txt",
        "pyproject.toml",
        "Makefile",
    ):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copytree(REPOSITORY / "scripts", tmp_path / "scripts")
    return tmp_path


def make(clone: Path, *arguments: str) -> str:
    # Without what a make that runs these tests hands down: its flags, its level, its messages.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", *arguments]
    done = subprocess.run(
        command, cwd=clone, env=outside, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return done.stdout


def test_help_is_the_default_and_names_every_target(clone: Path) -> None:
    told = make(clone)
    assert told == make(clone, "help")
    assert set(re.findall(r"make (\S+)", told)) == TARGETS | {"help"}


@pytest.mark.parametrize("target", sorted(TARGETS - {"install", "system-deps", "requirements"}))
def test_every_other_target_installs_first(clone: Path, target: str) -> None:
    first, *rest = make(clone, "-n", target).splitlines()
    assert first.endswith("scripts/install.py")
    assert any(".venv/bin/" in line for line in rest)


def test_an_installation_is_not_repeated_until_its_input_changes(clone: Path) -> None:
    stamp = clone / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    now = stamp.stat().st_mtime
    os.utime(stamp, (now + 10, now + 10))
    assert "scripts/install.py" not in make(clone, "-n", "demo")
    os.utime(clone / "requirements.txt", (now + 20, now + 20))
    assert "scripts/install.py" in make(clone, "-n", "demo")


def test_size_and_seed_reach_the_demo(clone: Path) -> None:
    assert make(clone, "-n", "demo", "SCALE=5000", "SEED=7").endswith("demo --scale 5000 --seed 7\n")


def test_test_runs_every_kind_of_test(clone: Path) -> None:
    ran = make(clone, "-n", "test")
    for part in (
        "scripts/system-deps",
        "ruff format --check",
        "ruff check",
        "mypy",
        "tests/unit tests/property",
    ):
        assert part in ran
    last = ran.splitlines()[-1]
    # Everything that `check` has not run, whatever folders there will be.
    assert last.endswith('-m "not campaign" --ignore=tests/unit --ignore=tests/property')


def test_ci_runs_make_test() -> None:
    assert (REPOSITORY / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"


def test_requirement_files_name_no_registry_and_hash_everything() -> None:
    for name in ("requirements-uv", "requirements", "requirements-dev"):
        text = (REPOSITORY / f"{name}.txt").read_text()
        assert "://" not in text
        pins = re.findall(r"^[\w.\[\],-]+==\S+ .*", text, re.MULTILINE)
        assert pins
        assert all(pin.endswith("\\") for pin in pins)
