"""The destruction list as files: JSON that opinions are bound to, a page and a PDF to print and sign.

Each is made of the list alone: who signed it stands in the ledger, not on the form.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time

from handover.evidence.destruction_paper import Cell, Lines, Paper, Table, page, say
from handover.model.destruction_list import KINDS, OPINIONS, SUPERVISORS, DestructionList, ListedVolume
from handover.model.policy import Text

JSON_NAME, HTML_NAME, PDF_NAME = "destruction-list.json", "destruction-list.html", "destruction-list.pdf"
_NOTES = (
    say(
        "未结清的债权债务及未了事项单列附表，不得销毁（管理办法第十九条）。",
        "Unsettled claims and other open matters stand on the annex and are not destroyed (ACC-19).",
    ),
    say(
        "监销人于销毁前按本清册逐项核对，销毁后签章；监销人不得为执行人。",
        "Supervisors check the list item by item before and sign after; no supervisor executes.",
    ),
    say(
        "意见与签章仅对本编号、本摘要的清册有效；重新编制的清册须重新签署。",
        "Opinions and signatures hold for the list with this digest alone; one made anew is signed anew.",
    ),
    say("本清册永久保管。", "This list is kept permanently."),
)


def list_files(made: DestructionList) -> dict[str, bytes]:
    """Return all forms of a list by the names of their files in the evidence folder."""
    paper = list_paper(made)
    # Its libraries take half a second to load, and most tasks that know of papers write none.
    from handover.evidence.pdf import write_pdf

    return {
        JSON_NAME: made.json_bytes,
        HTML_NAME: page(paper).encode(),
        PDF_NAME: write_pdf(paper),
    }


def list_paper(made: DestructionList) -> Paper:
    """Return what stands on the printed list."""
    return Paper(
        title=say("会计档案销毁清册", "Destruction list of accounting archives"),
        number=made.number,
        sha256=made.sha256,
        at=datetime.combine(made.compiled_on, time(), UTC),
        wide=True,
        banner=None,
        head=tuple(_head(made)),
        parts=tuple(_parts(made)),
    )


def _head(made: DestructionList) -> Iterator[tuple[Text, Cell]]:
    yield say("单位名称", "unit"), made.unit
    yield say("统一社会信用代码", "USCC"), made.uscc or "–"
    yield (
        say("清册编号", "list no."),
        say(f"{made.number}（第 {made.edition} 版）", f"edition {made.edition}"),
    )
    yield say("编制日期", "compiled on"), str(made.compiled_on)
    yield say("编制机构", "compiling body"), made.compiled_by
    yield say("提出人", "asked for by"), made.requested_by
    yield say("鉴定意见书", "appraisal opinion"), made.appraisal
    yield say("事项", "matter"), made.title
    yield say("案件 / 批次", "case / run"), f"{made.case} / {made.run}"
    yield (
        say("合计", "total"),
        say(f"{len(made.volumes)} 卷", f"{sum(volume.rows for volume in made.volumes):,} rows 行"),
    )


def _parts(made: DestructionList) -> Iterator[Table | Lines]:
    yield _volumes(made)
    yield _contents(made)
    yield _annex(made)
    signing = (say("姓名、职务", "name, post"), say("签字或盖章、日期", "signature or seal, date"))
    yield Table(
        caption=say("销毁意见", "Opinions before the destruction"),
        heads=(say("机构与身份", "office"), say("意见", "opinion"), *signing),
        rows=tuple((words, "", "", "") for words in OPINIONS.values()),
        widths=(30, 30, 25, 30),
        to_sign=True,
    )
    yield Table(
        caption=say("监销", "Supervision"),
        heads=(
            say("监销人", "supervisor"),
            say("销毁前核对：签字、日期", "checked before: signature, date"),
            say("销毁后监销：签章、日期", "signed after: signature or seal, date"),
            say("姓名、职务", "name, post"),
        ),
        rows=tuple((SUPERVISORS[role], "", "", "") for role in made.supervisors),
        widths=(30, 30, 30, 25),
        to_sign=True,
    )
    yield Lines(say("说明", "Notes"), _NOTES)


def _volumes(made: DestructionList) -> Table:
    return Table(
        caption=say("销毁档案目录", "Archives to be destroyed"),
        heads=(
            say("序号", "no."),
            say("档案名称", "archive"),
            say("卷号 / 卷数", "volume / volumes"),
            say("起止年度", "years"),
            say("档号", "archive code"),
            say("应保管期限", "period required"),
            say("已保管期限", "period kept"),
            say("销毁时间", "destruction not before"),
            say("载体与格式", "medium, format"),
            say("所属系统", "system of record"),
            say("依据", "rule"),
            say("未了事项核查", "open matters checked"),
        ),
        rows=tuple(_volume(number, volume) for number, volume in enumerate(made.volumes, 1)),
        widths=(5, 15, 8, 8, 7, 12, 11, 11, 14, 12, 6, 11),
    )


def _volume(number: int, volume: ListedVolume) -> tuple[Cell, ...]:
    years = f"{volume.first_year}–{volume.last_year}"
    kind, kept = KINDS[volume.kind], volume.kept
    return (
        number,
        volume.archive,
        f"{volume.number} / {volume.volumes}",
        years if volume.first_year != volume.last_year else str(volume.first_year),
        volume.code,
        say(f"{volume.required_years} 年 years", f"至 until {volume.keep_until}"),
        say(f"{kept.years} 年 {kept.months} 个月", f"{kept.years} y {kept.months} m"),
        str(volume.destroy_on),
        say(f"{kind.zh} {kind.en}", f"{volume.medium}, {volume.format}"),
        volume.system,
        volume.rule,
        say(f"{volume.holds.on} 无", "none open"),
    )


def _contents(made: DestructionList) -> Table:
    return Table(
        caption=say("电子档案内容与摘要", "Contents and digests of electronic files"),
        heads=(
            say("档号与卷号", "code, volume"),
            say("数据类别", "row class"),
            say("表", "table"),
            say("行数", "rows"),
            say("摘要（密钥化 SHA-256）", "digest (keyed SHA-256)"),
        ),
        rows=tuple(
            (
                f"{volume.code} {volume.number} / {volume.volumes}",
                one.row_class,
                one.table,
                one.rows,
                one.digest,
            )
            for volume in made.volumes
            for one in volume.contents
        ),
        widths=(14, 25, 25, 10, 42),
    )


def _annex(made: DestructionList) -> Table:
    return Table(
        caption=say("附表：未了事项，抽出另存，不销毁", "Annex: open matters, pulled out and kept apart"),
        heads=(
            say("档案名称", "archive"),
            say("档号", "archive code"),
            say("起止年度", "years"),
            say("数据类别", "row class"),
            say("表", "table"),
            say("行数", "rows"),
            say("未了事项", "open matter"),
            say("保存处", "kept at"),
        ),
        rows=tuple(
            (
                one.archive,
                one.code,
                f"{one.first_year}–{one.last_year}",
                one.row_class,
                one.table,
                one.rows,
                one.matter,
                one.kept_at,
            )
            for one in made.annex
        ),
        widths=(18, 8, 10, 15, 16, 8, 20, 20),
    )
