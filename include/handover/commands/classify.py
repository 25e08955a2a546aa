"""Commands about what the data is: propose a data map, measure the detectors, export the record."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from secrets import randbelow
from typing import TYPE_CHECKING

from handover.commands.shared import Arguments, Commands, add, resolver
from handover.errors import CaseInvalid, DataMapInvalid
from handover.model.case import Case, load_case
from handover.settings import Settings

if TYPE_CHECKING:
    from handover.model.datamap import DataMap

DEFAULT_SEED = 1


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add them to the parser."""
    text = "Propose a data map from the source of a case, beside the confirmed one; or measure the detectors."
    classify = add(commands, "classify", run_classify, text)
    classify.add_argument("case", nargs="?")
    classify.add_argument("--rows", type=int, default=2_000, help="rows sampled in each table (2000)")
    classify.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help="of the sample or the measurement (1)"
    )
    classify.add_argument("--measure", action="store_true", help="recall and precision on a generated set")
    classify.add_argument("--json", action="store_true")
    text = "Export the record of processing (PIPL 55-56, GDPR Art. 30) from the confirmed data map."
    ropa = add(commands, "ropa", export_record, text)
    ropa.add_argument("case")
    ropa.add_argument("--json", action="store_true", help="JSON in place of Markdown")


def run_classify(options: Arguments) -> int:
    """Measure, or write the proposal and print how it differs; 1 when something has no place in the map."""
    if options.measure:
        return _measure(options)
    if options.case is None:
        raise CaseInvalid("classify needs a case", hint="`handover classify CASE`, or --measure")
    if options.rows < 1:
        raise CaseInvalid(f"--rows {options.rows} samples nothing", hint="ask for at least 1 row")
    return _propose(options)


def _propose(options: Arguments) -> int:
    from handover.classify.differences import differences
    from handover.classify.propose import propose
    from handover.classify.writing import written
    from handover.model.datamap import load_datamap, map_path
    from handover.postgres.catalog import read_catalog
    from handover.postgres.session import connect, database_errors

    settings = Settings.load()
    case = load_case(settings.cases, options.case)
    schemas = list(case.source.schemas)
    seed = DEFAULT_SEED if options.seed is None else options.seed
    with closing(connect(_source(settings, case), read_only=True)) as source:
        with database_errors("reading the source's catalog"):
            catalog = read_catalog(source, schemas)
        proposal = propose(source, catalog, case.case, schemas, options.rows, seed)
    confirmed = map_path(settings.datamaps, case.case)
    path = confirmed.with_name(f"{case.case}.proposed.yaml")
    text = written(proposal)
    known = load_datamap(settings.datamaps, case.case) if confirmed.exists() else None
    try:
        settings.datamaps.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise DataMapInvalid(
            f"{path} cannot be written: {problem.strerror}",
            hint="HANDOVER_DATAMAPS names the folder of data maps",
        ) from None
    found = differences(known, proposal.datamap, catalog) if known else None
    if options.json:
        lines = found.lines() if found else []
        print(json.dumps({"proposal": str(path), "map": proposal.datamap.document(), "differences": lines}))
    else:
        _tell(case.case, str(path), proposal.datamap, known, found.lines() if found else [])
    return 1 if found is None or found.blocking else 0


def _tell(case: str, path: str, proposed: DataMap, known: DataMap | None, lines: list[str]) -> None:
    columns = [entry for _, _, entry in proposed.entries()]
    personal = sum(entry.gdpr != "none" for entry in columns)
    print(f"{path}: {len(proposed.datasets)} data sets, {len(columns)} columns, {personal} of them personal")
    if known is None:
        print(
            f"no data map yet: check the proposal, complete it, and save it as {case}.yaml with confirmed: …"
        )
        return
    print("\n".join(lines) or "no difference to the map in force")
    for label in known.unknown_provenance():
        print(f"unknown: {label}: purpose or origin of collection is not known; escalate it")
    waiting = len(known.unconfirmed())
    print(f"the map in force: {'confirmed' if not waiting else f'{waiting} columns not confirmed'}")


def _source(settings: Settings, case: Case) -> str:
    try:
        return resolver(settings)(case.source.connection)
    except KeyError:
        raise CaseInvalid(
            f"source.connection: connection {case.source.connection!r} is not known",
            hint=f"`handover airflow connections add {case.source.connection} --conn-uri postgresql://…`",
        ) from None


def _measure(options: Arguments) -> int:
    from handover.classify.measure import as_table, measure

    result = measure(randbelow(10**6) if options.seed is None else options.seed)
    print(json.dumps(result.document(), ensure_ascii=False) if options.json else as_table(result))
    return 0 if result.good_enough else 1


def export_record(options: Arguments) -> int:
    """Print the record of processing; only of a confirmed map."""
    from handover.classify.record import markdown, record
    from handover.model.datamap import load_datamap, require_confirmed

    settings = Settings.load()
    case = load_case(settings.cases, options.case)
    datamap = require_confirmed(load_datamap(settings.datamaps, case.case))
    made = record(case, datamap)
    print(json.dumps(made, ensure_ascii=False, indent=2) if options.json else markdown(made))
    return 0
