"""What all tests share: fixtures by power, one module each; no Airflow, so that tests start fast."""

import os

import pytest

from handover.local.clusters import binaries

pytest_plugins = ["fixtures.clusters", "fixtures.runs", "fixtures.demo", "fixtures.browser"]

os.environ["HANDOVER_PG_BIN"] = str(binaries())
# Two workers that start services in the same moment would both find the favourite port free.
os.environ.setdefault("HANDOVER_PORT", "0")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread files over the workers, but those that share the demo's Airflow over one: a start takes minutes.

    What takes longest begins first, so that no worker ends alone.
    """
    demo = {item.path for item in items if "demo" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("demo" if item.path in demo else str(item.path)))
    items.sort(key=lambda item: 0 if item.path in demo else 1 if _starts_airflow(item) else 2)


def _starts_airflow(item: pytest.Item) -> bool:
    return item.path.parent.name == "dags" or "operating" in item.path.name or "airflow" in item.path.name
