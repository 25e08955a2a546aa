"""The tables of a certificate of destruction that say where the data was: stores, residue, keys, media.

The fields of a medium are those of NIST SP 800-88.
"""

from __future__ import annotations

from collections.abc import Iterable

from handover.evidence.destruction_paper import Cell, Table, say
from handover.model.destruction_facts import Key, Medium, ResidueLine, Store
from handover.model.policy import Text
from handover.model.residue import OUTCOMES

_STATES = {
    "searched": say("已检索", "searched"),
    "attested": say("以证明文件为凭", "attested"),
    "open": say("尚无证明", "open"),
}
_KEYS = {
    "live": say("尚存", "live"),
    "unlinked": say("已解除关联，无法核实", "unlinked, not verifiable"),
    "destroyed": say("已销毁", "destroyed"),
}
_PURPOSES = {
    "backup": say("备份", "backup"),
    "pseudonyms": say("假名", "pseudonyms"),
    "archive": say("归档（依法保留）", "archive (kept by law)"),
}
_METHODS = {
    "clear": say("Clear 清除", "clear"),
    "purge": say("Purge 净化", "purge"),
    "destroy": say("Destroy 销毁", "destroy"),
}


def stores_table(stores: Iterable[Store]) -> Table:
    """Return the table of the stores that held the data."""
    return Table(
        caption=say("存储位置", "Stores"),
        heads=(say("名称", "name"), say("状态", "state"), say("方法", "how"), say("证明文件", "paper")),
        rows=tuple((one.name, _STATES[one.state], one.how, _paper_of(one)) for one in stores),
        widths=(28, 20, 36, 36),
    )


def _paper_of(store: Store) -> str:
    paper = store.attestation
    if paper is None:
        return "–"
    serial = f", {paper.serial}" if paper.serial else ""
    return f"{paper.signatory}, {paper.on}{serial}, {paper.file}, SHA-256 {paper.sha256}"


def residue_table(residue: Iterable[ResidueLine]) -> Table:
    """Return the table of the places where bytes may stay."""
    return Table(
        caption=say("残留检查表", "Residue: the places where bytes may stay"),
        heads=(say("位置", "place"), say("结果", "outcome"), say("检查方法", "how it was checked")),
        rows=tuple((one.place, OUTCOMES[one.outcome], _how(one)) for one in residue),
        widths=(34, 22, 64),
    )


def _how(line: ResidueLine) -> Text:
    said = (line.how, *line.reasons)
    return say("；".join(one.zh for one in said), "; ".join(one.en for one in said))


def keys_table(keys: Iterable[Key]) -> Table:
    """Return the table of the keys and what became of them."""
    return Table(
        caption=say("密钥状态", "Keys"),
        heads=(
            say("密钥", "key"),
            say("用途", "purpose"),
            say("状态", "state"),
            say("时间", "at"),
            say("解密试验", "attempt to decrypt"),
            say("已申报副本", "declared copies"),
        ),
        rows=tuple(
            (
                one.name,
                _purpose(one),
                _KEYS[one.state],
                one.at.isoformat(" ", "minutes") if one.at else "–",
                _attempt(one),
                _copies(one),
            )
            for one in keys
        ),
        widths=(28, 17, 18, 22, 20, 22),
    )


def _purpose(key: Key) -> Text:
    said = _PURPOSES[key.purpose]
    return say(f"{said.zh}：{key.backup}", f"{said.en} {key.backup}") if key.backup else said


def _attempt(key: Key) -> Cell:
    if key.decryption_fails:
        return say("失败（符合预期）", "failed, as it should")
    return say("未做", "not made") if key.state != "live" else "–"


def _copies(key: Key) -> Cell:
    listed = [
        (copy.place, ("已销毁", "destroyed") if copy.destroyed else ("尚存", "live")) for copy in key.copies
    ]
    if not listed:
        return say("未申报副本", "none was declared")
    return say(
        "；".join(f"{place} {words[0]}" for place, words in listed),
        "; ".join(words[1] for _, words in listed),
    )


def media_table(media: Iterable[Medium]) -> Table:
    """Return the table, a line for each medium."""
    return Table(
        caption=say("物理介质（以证明文件为凭）", "Physical media, as certified by their sanitisers"),
        heads=(
            say("介质：厂商、型号、序列号、资产号", "maker, model, serial no., asset no."),
            say("类型、来源", "type, source"),
            say("处置前后敏感级别", "sensitivity before, after"),
            say("方法、技术、工具", "method, technique, tool"),
            say("验证；确认", "verification; validation"),
            say("去向", "destination"),
            say("处置人；核验人；日期；证明文件", "sanitiser; verifier; date; paper"),
        ),
        rows=tuple(
            (
                ", ".join(filter(None, (one.manufacturer, one.model, one.serial, one.asset))),
                f"{one.kind}, {one.source}",
                f"{one.sensitivity_before} → {one.sensitivity_after}",
                say(_METHODS[one.method].zh, f"{one.technique}, {one.tool}"),
                f"{one.verification}; {one.validation}",
                one.destination,
                f"{one.sanitiser}; {one.verifier}; {one.on}; {one.certificate.file}, "
                f"SHA-256 {one.certificate.sha256}",
            )
            for one in media
        ),
        widths=(21, 14, 14, 18, 18, 15, 26),
    )
