"""Writes a proposed data map as YAML that a person can read: beside each column, why it is what it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from handover.classify.propose import Proposal
from handover.model.datamap import ColumnEntry, Contained, DataSet, SubjectPath
from handover.model.kinds import PROFILES
from handover.model.reconciliation import TableName

_PLAIN = re.compile(r"[A-Za-z\u3400-\u9fff][A-Za-z0-9_\u3400-\u9fff]*")
# YAML 1.1 reads these words as something else than text.
_NOT_TEXT = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
# What YAML cannot hold as it is, or takes for the end of a line.
_UNPRINTABLE = re.compile(
    r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def written(proposal: Proposal) -> str:
    """Return the file's text; parse_datamap reads it back to the same map."""
    return "\n".join(_lines(proposal)) + "\n"


def _lines(proposal: Proposal) -> Iterator[str]:
    datamap = proposal.datamap
    yield f"# Proposed data map of case {datamap.map}: for a person to check, complete and confirm."
    yield "# Examples show the form of values only (9 digit, a letter, 汉 Han); no value stands in this file."
    yield "# Complete purpose and origin, correct what is wrong, then add at the top level, as the last step:"
    yield "#   confirmed: {by: NAME, date: YYYY-MM-DD}"
    for name, (means, source, verified) in PROFILES.items():
        yield f"# {name}: {means}; source {source}, {verified}"
    yield f"map: {datamap.map}"
    yield f"version: {datamap.version}"
    if datamap.sampled:
        yield f"sampled: {{rows: {datamap.sampled.rows}, seed: {datamap.sampled.seed}}}"
    yield "datasets:"
    for dataset in datamap.datasets:
        yield from _dataset(dataset, proposal.reasons.get(dataset.table.label, {}))


def _dataset(dataset: DataSet, reasons: dict[str, tuple[str, ...]]) -> Iterator[str]:
    yield f"  - table: {_table(dataset.table)}"
    if dataset.partitions:
        yield f"    partitions: [{', '.join(map(_table, dataset.partitions))}]"
    yield f"    purpose: {_text(dataset.purpose)}"
    yield f"    origin: {_text(dataset.origin)}"
    yield f"    subject: [{', '.join(map(_path, dataset.subject))}]"
    yield "    columns:" if dataset.columns else "    columns: {}"
    for name, entry in dataset.columns.items():
        yield from (f"      # {_comment(reason)}" for reason in reasons.get(name, ()))
        yield f"      {_text(name)}: {_entry(entry)}"


def _entry(entry: ColumnEntry) -> str:
    parts = {
        "kind": entry.kind,
        "jrt0171": entry.jrt0171,
        "pipl_sensitive": str(entry.pipl_sensitive).lower(),
        "gbt43697": str(entry.gbt43697),
        "gdpr": entry.gdpr,
    }
    if entry.contains:
        parts["contains"] = f"[{', '.join(map(_contained, entry.contains))}]"
    if entry.treatment:
        parts["treatment"] = json.dumps(entry.treatment, ensure_ascii=False)
    if entry.risk:
        parts["risk"] = entry.risk
    if entry.mandatory is not None:
        parts["mandatory"] = str(entry.mandatory).lower()
    return f"{{{', '.join(f'{key}: {value}' for key, value in parts.items())}}}"


def _contained(part: Contained) -> str:
    return f"{{kind: {part.kind}, at: {_text(part.at)}}}" if part.at else f"{{kind: {part.kind}}}"


def _path(path: SubjectPath) -> str:
    parts = [f"by: [{', '.join(map(_text, path.by))}]"]
    if path.to:
        parts.append(f"to: {_table(path.to)}")
    if path.when:
        conditions = ", ".join(f"{_text(name)}: {json.dumps(value)}" for name, value in path.when.items())
        parts.append(f"when: {{{conditions}}}")
    return f"{{{', '.join(parts)}}}"


def _table(table: TableName) -> str:
    if _PLAIN.fullmatch(table.schema_name) and _PLAIN.fullmatch(table.name):
        return table.label
    return f"[{_text(table.schema_name)}, {_text(table.name)}]"


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return _UNPRINTABLE.sub(lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(text, ensure_ascii=False))


def _comment(text: str) -> str:
    return _UNPRINTABLE.sub("·", " ".join(text.split()))
