"""Destruction list and certificate as files: a page that is looked at in a browser, a PDF, JSON."""

import io
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader
from pypdf.generic import NameObject

from fixtures.browser import CHROMIUM, QUIET
from fixtures.destruction import DIGEST, TODAY, backup_key, destruction_list, facts, involved, volume
from handover.errors import ConfigurationMissing
from handover.evidence.destruction_certificate import certificate_files, certificate_paper
from handover.evidence.destruction_list import list_files, list_paper
from handover.evidence.destruction_paper import Lines, Paper, Table, page, say
from handover.evidence.pdf import _pieces, write_pdf
from handover.model.destruction_certificate import Certificate, certify
from handover.model.destruction_facts import Attestation, Medium
from handover.model.destruction_list import OPINIONS, SUPERVISORS, DestructionList

HOSTILE = '<img src=x onerror=alert(1)> =1+1 "); } body { display: none'
MADE = destruction_list()
CERTIFICATE = certify(facts())
PROVISIONAL = certify(facts(keys=(backup_key(), backup_key(name="第二", decryption_fails=True, copies=()),),
                            undeclared=("示例旧备份",)))  # fmt: skip
MEDIUM = Medium(
    manufacturer="示例厂", model="M1", serial="SN-77", asset=None, kind="SSD", source="服务器 / server",
    sensitivity_before="C3", method="purge", technique="block erase", tool="tool 1.0",
    verification="full", validation="accepted", sensitivity_after="none", destination="recycle",
    sanitiser="处置甲", verifier="核验甲", on=TODAY,
    certificate=Attestation(file="m.pdf", sha256=DIGEST, serial=None, on=TODAY, signatory="示例处置商"),
)  # fmt: skip


def pdf_texts(data: bytes) -> list[str]:
    """The text of each page without spaces, which readers of text put in as they like.

    Our codes have two bytes, as the fonts' own maps say; pypdf reads only named maps, so it is given the one
    that says the same of the codes' length. What a code means it takes from the PDF.
    """
    pages = PdfReader(io.BytesIO(data)).pages
    for one in pages:
        for font in one["/Resources"]["/Font"].values():  # type: ignore[index]
            font.get_object()[NameObject("/Encoding")] = NameObject("/Identity-H")
    return [squeezed(one.extract_text()) for one in pages]


def pdf_text(data: bytes) -> str:
    return "".join(pdf_texts(data))


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.fixture(scope="module")
def list_pdf() -> bytes:
    return list_files(MADE)["destruction-list.pdf"]


@pytest.fixture(scope="module")
def certificate_pdf() -> bytes:
    return certificate_files(CERTIFICATE)["destruction-certificate.pdf"]


# -- PDF ----------------------------------------------------------------------------------------------------


def test_the_pdf_says_in_chinese_what_the_list_says(list_pdf: bytes) -> None:
    text = pdf_text(list_pdf)
    for words in ("会计档案销毁清册", "统一社会信用代码", "鉴定意见书", "会计凭证/vouchers", "已保管期限",
                  "JD-2026-1",
                  "34年10个月", "至until2021-12-31", "附表：未了事项，抽出另存，不销毁", "未结清债权",
                  "本清册永久保管。", MADE.sha256):  # fmt: skip
        assert squeezed(words) in text
    for role in (*OPINIONS.values(), *SUPERVISORS.values()):
        assert squeezed(role.zh + role.en) in text


def test_the_pdf_of_the_certificate_says_what_was_done(certificate_pdf: bytes) -> None:
    text = pdf_text(certificate_pdf)
    for words in ("数据销毁证明", "最终证明", "逻辑删除 + 密码销毁", "logical deletion + crypto-shredding",
                  "no match found in the declared stores by the stated method", "个人信息保护法第四十七条",
                  "本证明不构成法律意见。", "This is not legal advice.", "无法核实 cannot be verified",
                  "个人自行留存的复制件", "effective erasure date 2026-11-23"):  # fmt: skip
        assert squeezed(words) in text


@pytest.mark.parametrize("which", ["list_pdf", "certificate_pdf"])
def test_every_font_is_embedded_and_only_its_used_glyphs(which: str, request: pytest.FixtureRequest) -> None:
    data: bytes = request.getfixturevalue(which)
    fonts = {
        name: font.get_object()
        for sheet in PdfReader(io.BytesIO(data)).pages
        for name, font in sheet["/Resources"]["/Font"].items()  # type: ignore[index]
    }
    assert len(fonts) == 2
    for font in fonts.values():
        (inner,) = font["/DescendantFonts"]
        descriptor = inner.get_object()["/FontDescriptor"].get_object()
        assert re.fullmatch(r"/[A-Z]{6}\+NotoSansCJKSC(Bold)?", font["/BaseFont"])
        assert len(descriptor["/FontFile3"].get_object().get_data()) > 1000
    assert len(data) < 300_000  # a whole face has 16 MB


def test_the_same_paper_gives_the_same_pdf_with_its_own_time_only(certificate_pdf: bytes) -> None:
    assert certificate_files(CERTIFICATE)["destruction-certificate.pdf"] == certificate_pdf
    read = PdfReader(io.BytesIO(certificate_pdf))
    assert read.metadata is not None
    assert read.metadata.creation_date == CERTIFICATE.issued_at
    assert read.metadata.modification_date is None
    assert read.metadata.title == "数据销毁证明 Certificate of data destruction XZ-2026-1"
    assert read.trailer["/Root"]["/Lang"] == "zh-CN"
    later = CERTIFICATE.model_copy(update={"issued_at": CERTIFICATE.issued_at + timedelta(hours=1)})
    assert certificate_files(later)["destruction-certificate.pdf"] != certificate_pdf


def test_a_long_list_repeats_its_heading_and_names_itself_on_every_page() -> None:
    many = destruction_list(volumes=tuple(volume(n, 40, first=1950) for n in range(1, 41)))
    pages = pdf_texts(write_pdf(list_paper(many)))
    assert len(pages) > 3
    for number, text in enumerate(pages, 1):
        assert f"第{number}/{len(pages)}页" in text
        assert many.sha256 in text
    assert sum("档案名称" in text and "已保管期限" in text for text in pages) >= 3
    assert sum(text.count("会计凭证/vouchers") for text in pages) == 41  # 40 volumes and one on the annex


def signed_after(lines: int) -> Paper:
    """A paper on which a table to sign follows so many lines."""
    said = say("一行", "one line")
    people = tuple((f"签署人 {number}", "示例", "") for number in range(6))
    heads = (say("姓名", "name"), say("单位", "unit"), say("签字处", "sign here"))
    return replace(
        certificate_paper(CERTIFICATE),
        parts=(Lines(said, (said,) * lines), Table(said, heads, people, (1, 1, 1), to_sign=True)),
    )


@pytest.mark.parametrize("lines", [18, 22, 26, 30])
def test_what_is_signed_stands_on_one_page(lines: int) -> None:
    pages = pdf_texts(write_pdf(signed_after(lines)))
    [one] = [text for text in pages if "签字处" in text]
    assert all(f"签署人{number}" in one for number in range(6))


@pytest.mark.parametrize("lines", [18, 24])
def test_no_caption_stands_alone_at_the_foot_of_a_page(lines: int) -> None:
    said, caption = say("一行", "one line"), say("一张表", "a table")
    tall = ((" ".join(["很高的一行"] * 60), "示例"),)
    table = Table(caption, (say("说明", "words"), say("单位处", "unit")), tall, (1, 3))
    paper = replace(certificate_paper(CERTIFICATE), parts=(Lines(said, (said,) * lines), table))
    [one] = [text for text in pdf_texts(write_pdf(paper)) if "一张表" in text]
    assert "单位处" in one and "很高的一行" in one


def test_a_character_that_the_font_lacks_is_named() -> None:
    text = pdf_text(write_pdf(list_paper(destruction_list(title="\U0001f5d1 銷毀 \U00020bb7"))))
    assert "[U+1F5D1]銷毀\U00020bb7" in text


def test_without_the_font_it_is_said_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationMissing, match=r"NotoSansCJK-Regular\.ttc is not below"):
        write_pdf(list_paper(MADE), fonts=tmp_path)


def test_lines_end_where_chinese_and_english_allow() -> None:
    assert _pieces("销毁，清册（附表）") == ["销", "毁，", "清", "册", "（附", "表）"]
    assert _pieces("is not legal advice") == ["is ", "not ", "legal ", "advice"]
    assert _pieces("crypto-shredding 2026-11-23") == ["crypto-", "shredding ", "2026-11-23"]
    assert "".join(_pieces(HOSTILE)) == HOSTILE


# -- page ---------------------------------------------------------------------------------------------------


def hostile() -> tuple[str, str]:
    """Both papers with a text that tries to leave its place, wherever a text may stand."""
    listed = destruction_list(number=HOSTILE, title=HOSTILE, unit=HOSTILE, volumes=(volume(archive=HOSTILE),))
    given = facts(number=HOSTILE, title=HOSTILE, involved=(*facts().involved, involved("approver", HOSTILE)))
    return page(list_paper(listed)), page(certificate_paper(certify(given)))


def test_names_can_neither_leave_their_place_nor_load_anything() -> None:
    for html in hostile():
        assert "<img" not in html
        assert "<script" not in html
        assert "default-src &#39;none&#39;" in html
        style = html[html.index("<style>") : html.index("</style>")]
        assert style.count("{") == style.count("}")
        assert "=1+1" not in style


WIDTHS = (1200, 400)
PAPERS: dict[str, Callable[[], str]] = {
    "destruction-list": lambda: page(list_paper(MADE)),
    "certificate-final": lambda: page(certificate_paper(CERTIFICATE)),
    "certificate-provisional": lambda: page(certificate_paper(PROVISIONAL)),
    "destruction-list-hostile": lambda: hostile()[0],
}


OVERFLOWS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
SECTIONS_NAMED = "[...document.querySelectorAll('section')].every(s => s.getAttribute('aria-labelledby'))"
HEADS_SCOPED = "[...document.querySelectorAll('thead th')].every(h => h.scope === 'col')"


@dataclass(frozen=True)
class Visit:
    """What a browser without a network made of a page."""

    findings: dict[str, bool]
    complaints: list[str]
    requests: list[str]
    picture: bytes
    printed: bytes


def visit(browser: Browser, file: Path, width: int) -> Visit:
    context = browser.new_context(offline=True, viewport={"width": width, "height": 900})
    sheet = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    sheet.on("console", lambda message: complaints.append(message.text))
    sheet.on("request", lambda request: requests.append(Path(request.url).name))
    sheet.goto(file.as_uri())
    scripts = {"overflows": OVERFLOWS, "sections": SECTIONS_NAMED, "heads": HEADS_SCOPED}
    findings = {name: bool(sheet.evaluate(script)) for name, script in scripts.items()}
    findings["visible"] = sheet.locator("h1").is_visible()
    picture = sheet.screenshot(full_page=True)
    printed = sheet.pdf(prefer_css_page_size=True)
    context.close()
    return Visit(findings, complaints, requests, picture, printed)


def visit_all(folder: Path) -> dict[tuple[str, int], Visit]:
    visits = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        for name, write in PAPERS.items():
            file = folder / f"{name}.html"
            file.write_text(write(), encoding="utf-8")
            visits |= {(name, width): visit(browser, file, width) for width in WIDTHS}
        browser.close()
    return visits


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Visit]:
    """All visits, in a thread of their own: the demo's browser may be at work in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(visit_all, tmp_path_factory.mktemp("papers")).result()


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_reads_in_a_browser(
    visits: dict[tuple[str, int], Visit], pictures: Path, name: str, width: int
) -> None:
    got = visits[name, width]
    (pictures / f"{name}-{width}.png").write_bytes(got.picture)
    assert got.findings == {"overflows": False, "sections": True, "heads": True, "visible": True}
    assert (got.complaints, got.requests) == ([], [f"{name}.html"])


def test_every_printed_page_names_the_list_and_itself(visits: dict[tuple[str, int], Visit]) -> None:
    printed = PdfReader(io.BytesIO(visits["destruction-list", 1200].printed)).pages
    for number, one in enumerate(printed, 1):
        text = squeezed(one.extract_text())
        assert MADE.sha256 in text
        assert f"第{number}/{len(printed)}" in text
        assert one.mediabox.width > one.mediabox.height


def test_the_page_of_a_provisional_certificate_says_so_first() -> None:
    html = PAPERS["certificate-provisional"]()
    assert html.index("不得作为最终证明使用") < html.index("结论")
    assert "未申报的存储位置：示例旧备份" in html
    assert "有效销毁日期" not in html
    assert "未了事项" not in PAPERS["certificate-final"]()


def test_page_and_pdf_say_the_same(certificate_pdf: bytes) -> None:
    """Every sentence of the paper is in both."""
    html, text = squeezed(PAPERS["certificate-final"]()), pdf_text(certificate_pdf)
    paper = certificate_paper(CERTIFICATE)
    for part in paper.parts:
        assert squeezed(part.caption.zh) in html
        assert squeezed(part.caption.zh) in text
        for cell in [cell for row in getattr(part, "rows", ()) for cell in row if cell != ""]:
            words = squeezed(
                cell.zh if hasattr(cell, "zh") else f"{cell:,}" if isinstance(cell, int) else cell
            )
            assert words in text
            assert words in html


# -- what stands on them ------------------------------------------------------------------------------------


def test_media_stand_on_the_certificate_with_all_their_fields() -> None:
    assert "SN-77" not in page(certificate_paper(CERTIFICATE))
    html = page(certificate_paper(certify(facts(media=(MEDIUM,)))))
    shown = json.loads(MEDIUM.model_dump_json())
    for field in ("manufacturer", "model", "serial", "kind", "source", "technique", "tool", "verification",
                  "validation", "destination", "sanitiser", "verifier", "on"):  # fmt: skip
        assert shown[field] in html
    assert "C3 → none" in html


def test_how_persons_are_reached_and_what_they_signed_stands_there() -> None:
    signer = involved("approver", "批准乙").model_copy(
        update={"contact": "示例联系方式", "signature_sha256": "cd" * 32}
    )
    html = page(certificate_paper(certify(facts(involved=(*facts().involved, signer)))))
    assert "示例联系方式" in html
    assert "cd" * 32 in html


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keys": (backup_key(state="unlinked"),)}, "key unlinked, not verifiable"),
        ({"keys": (backup_key(copies=()),)}, "未申报副本"),
        ({"keys": (backup_key(), backup_key(name="b", backup="nightly/run-1"))}, "备份：nightly/run-1"),
        ({"uscc": None, "verification_url": "https://example.invalid/XZ-2026-1"}, "example.invalid"),
    ],
)
def test_what_is_known_of_keys_is_shown(changes: dict[str, Any], words: str) -> None:
    assert words in page(certificate_paper(certify(facts(**changes))))


def test_json_is_what_the_digest_is_of() -> None:
    files = certificate_files(CERTIFICATE)
    read = json.loads(files["destruction-certificate.json"])
    words = read.pop("words")
    assert Certificate.model_validate(read) == CERTIFICATE
    assert words["search"]["en"].startswith("no match found in the declared stores")
    assert (
        words["methods"]["logical_deletion_crypto_shredding"]["en"] == "logical deletion + crypto-shredding"
    )
    listed = json.loads(list_files(MADE)["destruction-list.json"])
    assert DestructionList.model_validate(listed).sha256 == MADE.sha256
    assert date.fromisoformat(listed["volumes"][0]["keep_until"]) == date(2021, 12, 31)
