"""What all tests share: fixtures by power, one module each; no Airflow, so that tests start fast."""

import os
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from handover.local.clusters import binaries
from handover.settings import REPOSITORY

pytest_plugins = ["fixtures.clusters", "fixtures.runs", "fixtures.demo", "fixtures.browser"]

os.environ["HANDOVER_PG_BIN"] = str(binaries())
# Two workers that start services in the same moment would both find the favourite port free.
os.environ.setdefault("HANDOVER_PORT", "0")


class OneDemo(LoadFileScheduling):
    """Gives each file to one worker, and all that share the demo's Airflow to one: it takes minutes."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "demo" if shares_demo(file) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneDemo | None:
    """Spread files where files are to be spread."""
    return OneDemo(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker ends alone."""
    items.sort(key=lambda item: 0 if shares_demo(item.nodeid.split("::")[0]) else 1 if _waits(item) else 2)


@cache
def shares_demo(file: str) -> bool:
    """Say whether tests of a file use the demo that runs once for each worker."""
    return "demo: Demo" in Path(REPOSITORY, file).read_text(encoding="utf-8")


def _waits(item: pytest.Item) -> bool:
    return item.path.parent.name == "dags" or "operating" in item.path.name or "airflow" in item.path.name
