"""What all tests share: fixtures by power, one module each; no Airflow, so that tests start fast."""

import os

from handover.local.clusters import binaries

pytest_plugins = ["fixtures.clusters", "fixtures.runs", "fixtures.demo", "fixtures.browser"]

os.environ["HANDOVER_PG_BIN"] = str(binaries())
# Two workers that start services in the same moment would both find the favourite port free.
os.environ.setdefault("HANDOVER_PORT", "0")
