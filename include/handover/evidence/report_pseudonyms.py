"""What a run did to columns so that people do not show, and what may be said of the result.

De-identified data is still personal data (PIPL 73). It is called anonymised only when nobody can go back:
every key is verifiably destroyed, the backup can be read no more, the re-identification test was passed
without an excess that somebody answered for, and no raw value was found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from handover.evidence.history import Body, History

KEPT, DESTROYED = "pseudonym-keys-kept", "pseudonym-keys-destroyed"
_MASKED, _TESTED, _SEARCHED = "chunk-masked", "reidentification-tested", "absence-searched"
# What a provider says of a destruction that nobody can verify holds these words.
# An abort ends the backup's key, and so does the end of the backup.
_KEY_ENDS = ("key-destroyed", "backup-key-destroyed")
_UNVERIFIED = "not verifiable"
_NO_CLAIM: dict[str, Any] = {"result": "", "copies": []}
_COUNTS = ("masked", "null", "fallback", "clean")
_WORDS = {
    "de-identified": {"zh": "去标识化（仍属个人信息）", "en": "de-identified (still personal data)"},
    "anonymised": {"zh": "匿名化", "en": "anonymised"},
}
_REASONS = {
    "keys": {"zh": "假名密钥未全部销毁", "en": "not every pseudonym key was destroyed"},
    "unverified": {"zh": "密钥的销毁无法验证", "en": "the destruction of a key cannot be verified"},
    "copies": {"zh": "已知存在密钥副本", "en": "copies of a key are known"},
    "backup": {"zh": "备份仍可读取，可据以对照", "en": "the backup can still be read, and compared with"},
    "test": {"zh": "未通过重识别测试", "en": "the re-identification test was not passed"},
    "search": {"zh": "原值查找未得出干净结果", "en": "the search for raw values was not clean"},
}


def pseudonyms(history: History) -> dict[str, Any]:
    """Return the member of the report about pseudonyms; empty where the plan makes none."""
    columns = list(_columns(history))
    if not columns:
        return {}
    return {
        "wording": wording(history),
        "columns": columns,
        "keys": _keys(history),
        "search": _search(history),
        "risk": _risk(history),
        "reveals": {
            name: len(history.all(f"reveal-{name}")) for name in ("requested", "approved", "used", "refused")
        },
    }


def wording(history: History) -> dict[str, Any]:
    """Return what the handed over rows may be called, and why no more than that."""
    reasons = list(_in_the_way(history))
    word = "de-identified" if reasons else "anonymised"
    return {"word": word, **_WORDS[word], "because": [dict(_REASONS[name]) for name in reasons]}


def _in_the_way(history: History) -> Iterator[str]:
    """Yield why the rows are not anonymous; what the ledger does not say counts as not so."""
    destroyed = _keys(history)
    ended = {key["domain"] for key in destroyed["keys"]} if destroyed["state"] == "destroyed" else set()
    domains = set(_domains(history))
    if not domains or domains - ended:
        yield "keys"
    elif any(not key["result"] or _UNVERIFIED in key["result"] for key in destroyed["keys"]):
        yield "unverified"
    if any(key["copies"] for key in destroyed["keys"]):
        yield "copies"
    backups = {e.body["key"] for e in history.all("key-created") if e.body["purpose"] == "backup"}
    if not backups or backups - {e.body["key"] for kind in _KEY_ENDS for e in history.all(kind)}:
        yield "backup"
    if not _is_passed(_latest(history, _TESTED)):
        yield "test"
    if not _is_clean(_latest(history, _SEARCHED)):
        yield "search"


def _is_passed(tested: Body) -> bool:
    """Say whether a test measured something and no threshold was exceeded, not even an accepted one."""
    figures = tested.get("figures", ())
    exceeded = any(one["exceeded"] for one in figures) or tested.get("unjoined")
    return tested.get("passed") is True and bool(figures) and not exceeded and not tested["acknowledged"]


def _is_clean(searched: Body) -> bool:
    """Say whether all was searched and nothing found, not even where it is accepted or was handed over."""
    found = [searched.get(name) for name in ("findings", "acknowledged", "not_searched")]
    in_clear = searched.get("excepted", {}).get("clear", 0)
    return searched.get("absent") is True and not any(found) and not in_clear


def _latest(history: History, kind: str) -> Body:
    return next(reversed(history.counting(kind)), {})


def _masked(history: History) -> Iterator[tuple[str, str, Body]]:
    """Yield every masked column of the plan with its table and the side on which it is masked."""
    for table in history.plan.get("tables", ()):
        label = f"{table['schema_name']}.{table['name']}"
        for side, name in (("target", "masked"), ("source", "masked_here")):
            yield from ((label, side, column) for column in table.get(name, ()))


def _domains(history: History) -> Iterator[str]:
    """Yield the domains whose keys were used."""
    for _, _, column in _masked(history):
        made = (column["pseudonym"], *column["mentions"].values(), *column["paths"].values())
        yield from (one["domain"] for one in made)


def _columns(history: History) -> Iterator[dict[str, Any]]:
    """Yield how each column was masked, with its cells counted where the chunks were."""
    chunks = {body["unit"]: body for body in history.counting(_MASKED)}
    cells: dict[tuple[str, str], Counter[str]] = {}
    for body in chunks.values():
        for column, counts in body["counts"].items():
            cells.setdefault((body["table"], column), Counter()).update(counts)
    for table, side, column in _masked(history):
        strategy = column["pseudonym"]["treatment"]["strategy"]
        counted = cells.get((table, column["column"])) if side == "target" else None
        yield {
            "table": table,
            "column": column["column"],
            "side": side,
            "kind": column["kind"],
            "strategy": strategy,
            "domain": "" if strategy == "redact" else column["pseudonym"]["domain"],
            "cells": {name: counted[name] for name in _COUNTS} if counted is not None else None,
        }


def _keys(history: History) -> dict[str, Any]:
    """Return what became of the keys last; in use while nothing was said."""
    said = [*history.all(KEPT), *history.all(DESTROYED)]
    if not said:
        return {"state": "in use", "at": "", "keys": []}
    latest = max(said, key=lambda entry: entry.seq)
    state = "destroyed" if latest.kind == DESTROYED else "kept"
    return {"state": state, "at": latest.at, "keys": [_NO_CLAIM | dict(key) for key in latest.body["keys"]]}


def _search(history: History) -> dict[str, Any]:
    """Return what the search for raw values said, by column and in numbers; empty before the first one."""
    latest = _latest(history, _SEARCHED)
    if not latest:
        return {}
    return {
        "clean": _is_clean(latest),
        "findings": [
            {"column": _place(one), "cells": one["cells"], "kinds": dict(one["kinds"])}
            for one in latest["findings"]
        ],
        "not_searched": [{"column": _place(one), "why": one["why"]} for one in latest["not_searched"]],
        "acknowledged": list(latest["acknowledged"]),
        "in_clear": latest["excepted"].get("clear", 0),
        "alike": latest["excepted"].get("alike", 0),
    }


def _place(one: Body) -> str:
    return f"{one['schema_name']}.{one['table']}.{one['column']}"


def _risk(history: History) -> dict[str, Any]:
    """Return the figures of the re-identification test; empty before the first one."""
    latest = _latest(history, _TESTED)
    if not latest:
        return {}
    return {
        "passed": _is_passed(latest),
        # One test has one set of thresholds.
        "thresholds": dict(latest["figures"][0]["thresholds"]) if latest["figures"] else {},
        "figures": [
            {
                **{name: one[name] for name in _FIGURES},
                "diversity": dict(one["diversity"]),
                "least_diversity": min(one["diversity"].values(), default=None),
                "highest_risk": one["prosecutor"]["highest"],
                "at_risk_share": one["prosecutor"]["at_risk_share"],
                "mean_risk": one["prosecutor"]["mean"],
                "proposal": latest["proposals"].get(one["label"], ""),
            }
            for one in latest["figures"]
        ],
        "unjoined": list(latest["unjoined"]),
        "acknowledged": list(latest["acknowledged"]),
    }


_FIGURES = (
    "label",
    "quasi_identifiers",
    "records",
    "classes",
    "smallest_class",
    "unique_records",
    "unique_share",
    "exceeded",
)
