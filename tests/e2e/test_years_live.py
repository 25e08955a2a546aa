"""Years of sweeps, a hold and a request of the sample company in Airflow; an oracle says what is left."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from fixtures.years import Company, read
from handover.local import demo, living, services
from handover.local.services import Machine
from handover.stages.facts import legal_day

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3_600)]
SWEEP = f"retention_sweep.{living.SOURCE}"
YEARS = (date(2020, 2, 29), date(2022, 12, 31), date(2024, 7, 1))
NUMBER = "SELECT resident_id::text FROM lending.customers WHERE customer_id = %s"


@contextmanager
def installed() -> Iterator[Path]:
    """A state folder of its own, whose services end with it."""
    home = Path(tempfile.mkdtemp(prefix="handover-years-"))
    home.chmod(0o711)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HANDOVER_HOME", str(home))
        patched.setenv("HANDOVER_PORT", "0")
        patched.delenv("HANDOVER_PG_BIN", raising=False)
        try:
            yield home
        finally:
            services.clean(lambda line: None)
            shutil.rmtree(home, ignore_errors=True)


def test_years_in_airflow_leave_what_an_oracle_says() -> None:
    said = io.StringIO()
    console = Console(file=said, width=200)

    def prepare(machine: Machine, console: Console) -> None:
        demo.prepare_databases(machine, 3_000, 7, console)

    with installed():
        status = demo.perform(prepare, lived, living.SOURCE, console)
        assert status == 0, said.getvalue()


def lived(machine: Machine, console: Console) -> bool:
    """Sweep years apart, somebody held; a person asks; the hold is released; the last sweep comes."""
    url = machine.company_url("source")
    company = read(url)
    person, *others = sorted(company.customers)
    gone = company.goes(YEARS[0], set())
    held = next(n for n in others if company.children[company.customers[n]] & gone)
    hold = lay_hold(machine, console, held)
    for on in YEARS:
        swept(machine, console, company, on, {held})
    asked = living.open_request(machine, console)
    gone = company.goes(legal_day(), {held}, person=person)
    assert gone, "the person has something that no duty keeps"
    assert living.run_to_end(machine, living.REQUEST, {"request": asked}, console) == "success"
    compare(url, company, gone)
    release(machine, console, hold)
    swept(machine, console, company, legal_day(), set())
    assert not company.goes(legal_day(), set())
    return True


def swept(machine: Machine, console: Console, company: Company, on: date, held: set[int]) -> None:
    gone = company.goes(on, held)
    assert gone, on
    conf = {"as_of": on.isoformat(), "dry_run": False}
    assert living.run_to_end(machine, SWEEP, conf, console) == "success"
    compare(machine.company_url("source"), company, gone)


def compare(url: str, company: Company, gone: set[tuple[str, str]]) -> None:
    company.rows -= gone
    left = read(url).rows
    assert left == company.rows, (sorted(left - company.rows)[:5], sorted(company.rows - left)[:5])


def lay_hold(machine: Machine, console: Console, customer: int) -> str:
    with psycopg.connect(machine.company_url("source")) as source:
        (number,) = source.execute(NUMBER, (customer,)).fetchone() or ("",)
    command = ["hold", "add", living.SOURCE, "--subject", "--kind", "litigation"]
    command += ["--reason", "诉讼 (sample)", "--authority", "示例法院 (sample)"]
    printed = living.command(machine, console, command, said=str(number), account=living.CLERK)
    return printed.split()[0]


def release(machine: Machine, console: Console, hold: str) -> None:
    command = ["hold", "release", living.SOURCE, hold, "--reason", "settled (sample)"]
    asked = living.command(machine, console, command, account=living.CLERK).split()[0]
    living.command(machine, console, ["hold", "approve", living.SOURCE, asked], account="approver")
