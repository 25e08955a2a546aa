"""Airflow itself, imported once with a home of its own; what it finds in the environment is ours alone."""

import importlib
import os
from collections.abc import Iterator
from types import ModuleType

import pytest

from handover.settings import REPOSITORY


@pytest.fixture(scope="package")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Airflow's SDK. Modules of Airflow may be imported only inside tests that ask for this fixture."""
    home = tmp_path_factory.mktemp("airflow")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
            patch.delenv(name)
        patch.setenv("AIRFLOW_HOME", str(home))
        patch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
        patch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(REPOSITORY / "dags"))
        patch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(REPOSITORY / "plugins"))
        patch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(home / "logs"))
        yield importlib.import_module("airflow.sdk")
