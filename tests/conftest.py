"""What all tests share: fixtures by power, one module each; no Airflow, so that tests start fast."""

import os

import pytest

from handover.local.clusters import binaries

pytest_plugins = ["fixtures.clusters", "fixtures.runs", "fixtures.demo", "fixtures.browser"]

os.environ["HANDOVER_PG_BIN"] = str(binaries())
# Two workers that start services in the same moment would both find the favourite port free.
os.environ.setdefault("HANDOVER_PORT", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With two workers, keep the tests of a file together, and all that use the demo: it is started once.

    Those come first: the others fill the time of the second worker until the end.
    """

    def group(item: pytest.Item) -> str:
        return "demo" if "demo" in getattr(item, "fixturenames", ()) else item.nodeid.partition("::")[0]

    items.sort(key=lambda item: group(item) != "demo")
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
