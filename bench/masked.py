"""A case in which five columns of the persons' table arrive masked, for any database of five tables."""

from __future__ import annotations

from pathlib import Path

import yaml

from handover.model.kinds import KINDS

PERSONS = "bench.customer"
# Column, kind and treatment; what is not named here is data about a person that stays as it is.
COLUMNS: dict[str, tuple[str, dict[str, object]]] = {
    "name": ("person_name", {"strategy": "token"}),
    "document": ("resident_id", {"strategy": "fpe", "form": "identity"}),
    "phone": ("mobile", {"strategy": "token"}),
    "mail": ("email", {"strategy": "fpe", "form": "email"}),
    "born": ("birth_date", {"strategy": "generalise", "to": "year"}),
}
OTHERS = {
    PERSONS: ("id", "street", "since", "income", "remark"),
    "bench.loan": ("id", "customer_id", "amount", "rate", "begun", "months", "state", "purpose"),
    "bench.repayment": ("loan_id", "number", "due", "paid", "principal", "interest", "channel"),
    "bench.voucher": ("code", "customer_id", "at", "body", "total"),
    "bench.entry": ("id", "voucher_code", "account", "debit", "credit", "at", "remark"),
}
CLASSES = [{"name": "persons", "tables": [PERSONS], "target": "copy_pseudonymised"}]


def write_datamap(folder: Path, case: str) -> None:
    """Write the confirmed data map of the five tables."""
    folder.mkdir()
    datasets = [
        {"table": table, "purpose": "measured", "origin": "generated", "columns": _columns(table, names)}
        for table, names in OTHERS.items()
    ]
    document = {"map": case, "confirmed": {"by": "sample", "date": "2026-11-01"}, "datasets": datasets}
    (folder / f"{case}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def _columns(table: str, names: tuple[str, ...]) -> dict[str, object]:
    columns: dict[str, object] = {name: _entry("related", {"strategy": "clear"}) for name in names}
    if table == PERSONS:
        columns |= {name: _entry(kind, treatment) for name, (kind, treatment) in COLUMNS.items()}
    return columns


def _entry(kind: str, treatment: dict[str, object]) -> dict[str, object]:
    return {"kind": kind, **KINDS[kind].levels.document(), "treatment": treatment}
