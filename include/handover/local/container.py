"""What docker-compose runs once before Airflow: roles, databases, ledger, sample, Airflow's tables and pools.

The servers belong to the compose file; their administrators' addresses and all passwords come by environment.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from handover.local import airflow
from handover.local.demo import fill
from handover.local.home import Home
from handover.local.server import Remote, prepare

# Large enough that every stage has something to show, small enough for a first look.
SAMPLE_ROWS = 100_000
SAMPLE_SEED = 1


def prepare_servers(variables: Mapping[str, str]) -> None:
    """Make everything in the three servers that has to be there before Airflow starts."""
    servers = {
        name: Remote(variables[f"HANDOVER_{name.upper()}_ADMIN_URL"])
        for name in ("control", "source", "target")
    }
    secrets = {
        name: variables[f"HANDOVER_{name.upper()}_PASSWORD"] for name in ("airflow", "ledger", "company")
    }
    prepare(servers, secrets)
    company = json.loads(variables["AIRFLOW_CONN_SAMPLE_SOURCE"])
    url = f"postgresql://company:{company['password']}@{company['host']}:{company['port']}/company"
    fill(servers["source"], url, SAMPLE_ROWS, SAMPLE_SEED, Console())


def main() -> None:
    """Prepare the servers, then Airflow's tables and pools."""
    Home.locate().create()
    prepare_servers(os.environ)
    pools = {
        name: {"slots": slots, "description": text, "include_deferred": False}
        for name, (slots, text) in airflow.POOLS.items()
    }
    file = Path(os.environ["AIRFLOW_HOME"], "pools.json")
    file.write_text(json.dumps(pools))
    subprocess.run([airflow.program(), *airflow.MIGRATE], check=True)
    subprocess.run([airflow.program(), "pools", "import", file], check=True)


if __name__ == "__main__":
    main()
