"""The case that hands over accounting archives, on the sample company: its scope, its list, its gates."""

import json
from datetime import date
from pathlib import Path

import psycopg
import pytest
import yaml

from fixtures.runs import Runner, migrated, verified
from handover.errors import VerificationFailed
from handover.model.handover_list import ROLES, Test
from handover.sample.company import generate
from handover.settings import REPOSITORY
from handover.stages.close import close_run, missing_steps
from handover.stages.context import Context, open_context
from handover.stages.facts import legal_day
from handover.stages.gates import judge
from handover.stages.handover_list import make_list
from handover.stages.handover_signing import list_faults, record_test, sign
from handover.stages.inventory import inventory
from handover.stages.plan import plan

CASE = "ledger-handover"
# What a person of the receiving unit would count by hand, in the target.
BY_HAND = """
SELECT v.book_year, count(DISTINCT v.voucher_id), count(*), sum(l.debit)::text, sum(l.credit)::text
FROM 账务.vouchers v JOIN 账务.voucher_lines l USING (voucher_id) GROUP BY 1 ORDER BY 1
"""
ALL_YES: dict[Test, bool] = {"accurate": True, "complete": True, "usable": True, "safe": True}


def opened(runner: Runner) -> Context:
    """The case as it is shipped, but nobody is asked: that needs Airflow."""
    folder = runner.home / "cases"
    folder.mkdir()
    document = yaml.safe_load((REPOSITORY / "include" / "cases" / f"{CASE}.yaml").read_text("utf-8"))
    del document["approvals"]
    (folder / f"{CASE}.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    urls = {"sample_source": runner.urls["src"], "sample_target": runner.urls["dst"]}
    return open_context(runner.settings(), CASE, "run-1", urls.__getitem__)


def test_the_case_runs_until_people_have_to_sign(runner: Runner, tmp_path: Path) -> None:
    generate(runner.urls["src"], rows=3_000, seed=7)
    context = opened(runner)
    migrated(context)
    verified(context)
    made = make_list(context)
    assert made is not None
    with psycopg.connect(context.target) as target:
        counted = target.execute(BY_HAND).fetchall()
        elsewhere = target.execute("SELECT count(*) FROM lending.contacts").fetchone()
    vouchers = [volume for volume in made.volumes if volume.code == "KJ-PZ"]
    listed = [
        (
            volume.first_year,
            volume.controls[0].rows,
            volume.controls[1].rows,
            *(amount.shown for amount in volume.controls[1].amounts),
        )
        for volume in vouchers
    ]
    assert listed == counted
    assert [volume.keep_until for volume in vouchers] == [
        date(volume.first_year + 30, 12, 31) for volume in vouchers
    ]
    assert elsewhere == (0,)
    with pytest.raises(VerificationFailed) as refused:
        close_run(context)
    for role in ROLES:
        assert f"not signed by {role}" in str(refused.value)
    assert "the receiver's four tests are not recorded" in str(refused.value)
    evidence = Path(str(refused.value.data["evidence"]))
    assert json.loads((evidence / "handover-list.json").read_text("utf-8")) == made.document()

    scan = tmp_path / "signed.pdf"
    scan.write_bytes(b"signed")
    for role in ROLES:
        sign(context, role, f"示例 {role}", legal_day(), scan)
    record_test(context, ALL_YES, "示例接收人", "sampled 20 vouchers")
    assert list_faults(context) == []
    assert not [reason for reason in missing_steps(context) if reason.startswith("hand-over list")]


@pytest.mark.parametrize(("rows", "seed"), [(1_000, 3), (6_000, 2)])
def test_the_gates_let_the_case_run_at_other_sizes_and_seeds(runner: Runner, rows: int, seed: int) -> None:
    generate(runner.urls["src"], rows=rows, seed=seed)
    context = opened(runner)
    inventory(context)
    made = plan(context)
    judge(context, "execution")
    assert made.scope is not None
    rows_of = {table.table: (table.rows, table.total) for table in made.scope.tables}
    for label in ("账务.vouchers", "账务.voucher_lines", "账务.会计科目", "账务.期间"):
        assert rows_of[label][0] == rows_of[label][1] > 0
    for label in ("lending.contacts", "lending.identity_documents", "lending.device_logs"):
        assert rows_of[label][0] == 0
