"""The certificate of destruction as files: JSON for machines, a page and a PDF to print and sign."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from handover.evidence.destruction_paper import Cell, Lines, Paper, Table, page, say
from handover.evidence.destruction_places import keys_table, media_table, residue_table, stores_table
from handover.model.destruction_certificate import FINALITIES, REMARKS, Certificate
from handover.model.destruction_claims import method_words
from handover.model.destruction_facts import Part, Treated
from handover.model.destruction_standing import STATES
from handover.model.policy import Text

JSON_NAME = "destruction-certificate.json"
HTML_NAME, PDF_NAME = "destruction-certificate.html", "destruction-certificate.pdf"
PARTS: dict[Part, Text] = {
    "requester": say("提出人", "asked"),
    "approver": say("批准人", "approved"),
    "executor": say("执行人", "executed"),
    "supervisor": say("监销人", "supervised"),
}


def certificate_files(made: Certificate) -> dict[str, bytes]:
    """Return all forms of a certificate by the names of their files in the evidence folder."""
    paper = certificate_paper(made)
    # Its libraries take half a second to load, and most tasks that know of papers write none.
    from handover.evidence.pdf import write_pdf

    return {
        JSON_NAME: made.json_bytes,
        HTML_NAME: page(paper).encode(),
        PDF_NAME: write_pdf(paper),
    }


def certificate_paper(made: Certificate) -> Paper:
    """Return what stands on the printed certificate."""
    return Paper(
        title=say("数据销毁证明", "Certificate of data destruction"),
        number=made.number,
        sha256=hashlib.sha256(made.json_bytes).hexdigest(),
        at=made.issued_at,
        wide=False,
        banner=_banner(made),
        head=tuple(_head(made)),
        parts=tuple(_parts(made)),
    )


def _banner(made: Certificate) -> Text:
    words = FINALITIES[made.finality]
    if made.finality == "final":
        return say(
            f"{words.zh}　有效销毁日期：{made.effective_erasure_date}",
            f"{words.en} · effective erasure date {made.effective_erasure_date}",
        )
    return say(
        f"{words.zh}：尚有未了事项，不得作为最终证明使用",
        f"{words.en}: open points remain, not to be used as final",
    )


def _head(made: Certificate) -> Iterator[tuple[Text, Cell]]:
    yield say("证明编号", "certificate no."), made.number
    yield say("签发时间", "issued at"), made.issued_at.isoformat(" ", "minutes")
    yield say("单位", "unit"), made.unit
    yield say("统一社会信用代码", "USCC"), made.uscc or "–"
    yield say("事项", "matter"), made.title
    yield say("案件 / 批次", "case / run"), f"{made.case} / {made.run}"
    yield say("销毁完成时间", "erased at"), made.erased_at.isoformat(" ", "minutes")
    yield say("核验网址", "verification URL"), made.verification_url or "–"
    yield say("工具", "tool"), made.tool
    yield say("规则包", "policy packs"), ", ".join(made.packs)
    yield say("计划摘要", "digest of the plan"), made.plan_sha256
    yield say("记录链头", "head of the record chain"), made.ledger_head


def _parts(made: Certificate) -> Iterator[Table | Lines]:
    yield Lines(say("结论", "Statement"), (made.statement, *_method_lines(made)))
    if made.open_points:
        yield Lines(say("未了事项", "Open points"), made.open_points)
    yield _treated(made)
    yield _checks(made)
    yield _retained(made)
    yield stores_table(made.stores)
    yield residue_table(made.residue)
    yield keys_table(made.keys)
    if made.media:
        yield media_table(made.media)
    yield _lists(made)
    yield Lines(say("本证明不保证的事项", "Not covered by this certificate"), made.not_covered)
    yield Lines(say("说明", "Remarks"), REMARKS)
    yield _people(made)


def _method_lines(made: Certificate) -> Iterator[Text]:
    for method in dict.fromkeys(line.method for line in made.treated):
        words = method_words(made, method)
        yield say(f"处置方式：{words.zh}", f"method: {words.en}")
    if made.search is not None:
        search = made.search
        yield say(
            f"检索方法：{search.method.zh}；检索值 {search.values:,} 个，{search.on}",
            f"method of the search: {search.method.en}; {search.values:,} values, {search.on}",
        )


def _treated(made: Certificate) -> Table:
    rows = [
        (
            line.row_class if number == 0 else "",
            say(line.basis.zh, f"{line.basis.en} · {line.rule}, {line.pack}") if number == 0 else "",
            method_words(made, line.method) if number == 0 else "",
            line.persons if number == 0 else "",
            count.table,
            count.planned,
            count.done,
            count.gone_already,
            say(f"{count.stayed:,}：{count.because.zh}", count.because.en) if count.because else count.stayed,
        )
        for line in made.treated
        for number, count in enumerate(line.tables)
    ]
    return Table(
        caption=say("按规则处置的数据", "What was done, by rule"),
        heads=(
            say("数据类别", "row class"),
            say("法律依据", "legal basis"),
            say("方式", "method"),
            say("人数", "persons"),
            say("表", "table"),
            say("计划行数", "rows planned"),
            say("已处置", "done"),
            say("先前已无", "gone already"),
            say("未处置", "stayed"),
        ),
        rows=tuple(rows),
        widths=(16, 22, 19, 12, 21, 11, 11, 12, 13),
    )


def _checks(made: Certificate) -> Table:
    return Table(
        caption=say("验证与确认", "Verification and validation"),
        heads=(
            say("数据类别", "row class"),
            say("验证：措施确已执行", "verification: the technique ran"),
            say("复查行数", "rows checked"),
            say("确认：结果足够", "validation: the result is good enough"),
            say("确认人、日期", "validated by, on"),
        ),
        rows=tuple(_check(line) for line in made.treated),
        widths=(20, 36, 13, 36, 20),
    )


def _check(line: Treated) -> tuple[Cell, ...]:
    done = line.validation
    return (
        line.row_class,
        line.verification.how,
        line.verification.checked,
        done.how if done else say("尚未确认", "not yet"),
        f"{done.by} {done.on}" if done else "–",
    )


def _retained(made: Certificate) -> Table:
    return Table(
        caption=say("依法留存的数据", "What is retained by law"),
        heads=(
            say("数据类别", "row class"),
            say("依据", "rule"),
            say("行数", "rows"),
            say("保管至", "kept until"),
            say("保管方式", "where and how"),
        ),
        rows=tuple(
            (
                one.row_class,
                one.rule,
                one.rows,
                str(one.until) if one.until else say("未定", "no date yet"),
                one.where,
            )
            for one in made.retained
        ),
        widths=(30, 12, 14, 20, 44),
    )


def _lists(made: Certificate) -> Table:
    return Table(
        caption=say("会计档案销毁清册", "Destruction lists of accounting archives"),
        heads=(say("编号", "number"), say("状态", "state"), say("摘要", "SHA-256")),
        rows=tuple((one.number, STATES[one.state], one.sha256) for one in made.lists),
        widths=(26, 30, 64),
    )


def _people(made: Certificate) -> Table:
    return Table(
        caption=say("有关人员", "Persons"),
        heads=(
            say("身份", "part"),
            say("姓名、职务", "name, title"),
            say("单位、地点、联系方式", "organisation, location, contact"),
            say("日期", "date"),
            say("签字", "signature"),
        ),
        rows=tuple(
            (
                PARTS[one.part],
                f"{one.name}, {one.title}",
                ", ".join(filter(None, (one.organisation, one.location, one.contact))),
                str(one.on),
                f"SHA-256 {one.signature_sha256}" if one.signature_sha256 else "",
            )
            for one in made.involved
        ),
        widths=(16, 28, 36, 16, 28),
        to_sign=True,
    )
