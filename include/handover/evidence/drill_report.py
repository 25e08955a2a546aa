"""The report of a restore drill: what was tried, how long it took, what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from handover.evidence.markdown import plain, table

_HEAD = ("", "")


def report(run: str, body: Mapping[str, Any]) -> str:
    """Return it as Markdown."""
    passed = "未通过 / failed" if body["differences"] else "通过 / passed"
    lines = [f"# 恢复演练 / Restore drill {plain(run)}: {passed}", "", table(_HEAD, _facts(body)), ""]
    if body["differences"]:
        lines += ["## 差异 / Differences", "", *(f"- {plain(line)}" for line in body["differences"]), ""]
    if again := body.get("erased_again"):
        lines += ["## 再次删除 / Erased again", "", *_again(again), ""]
    return "\n".join(lines)


def _facts(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "演练对象 / tried", f"{body['what']}: {body['case']}, {body['run']}"
    yield "恢复用时（秒） / time to restore (s)", f"{body['milliseconds'] / 1000:,.1f}"
    if "rows" in body:
        yield "行数 / rows", f"{body['rows']:,}"
        yield "字节 / bytes", f"{body['bytes']:,}"
    if "definitions" in body:
        yield "对象定义 / definitions", str(body["definitions"])
    for file in body.get("closed", ()):
        yield "密钥已销毁 / key destroyed", str(file)


def _again(again: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"- 之后已假名化 / pseudonymised since: {plain(name)}" for name in again["masked_runs"])
    if not again["runs"]:
        yield "备份之后没有删除记录。 / Nothing was erased since the backup."
        return
    heads = ("表 / table", "已删除者 / erased", "随附 / along", "保留 / needed", "留置 / held")
    rows = [
        (t["table"], *(f"{t[name]:,}" for name in ("erased", "along", "needed", "held")))
        for t in again["tables"]
    ]
    yield table(heads, rows)
    yield ""
    yield f"删除批次 / by: {plain(', '.join(again['runs']))}"
    yield from (f"- {plain(line)}" for line in again["severed"])
    yield from (f"- 尚未完结 / not finished: {plain(name)}" for name in again["open_runs"])
