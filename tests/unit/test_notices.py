"""What a notice must say, and the letters that are made of it."""

import csv
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from handover.errors import CaseInvalid, ConfigurationMissing
from handover.evidence.notice_letters import Person, letters_html, package, sender_of, text
from handover.model.datamap import load_datamap
from handover.model.notice import FIELDS, KINDS, TOGETHER, Notice, NoticeKind, parse_notice
from handover.settings import REPOSITORY

SAMPLES = REPOSITORY / "include" / "notices"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
PEOPLE = [
    Person("aa" * 16, "甲<b>", mobile="000", address="街道 & 1号"),
    Person("bb" * 16, "乙", email="b@example.org"),
    Person("cc" * 16, "丙"),
]


def sample(kind: str) -> dict[str, Any]:
    return yaml.safe_load((SAMPLES / f"{kind}.yaml").read_text(encoding="utf-8"))


def parsed(document: dict[str, Any]) -> Notice:
    return parse_notice(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), "N.yaml")


def test_the_sample_notices_say_all_that_they_must() -> None:
    assert {path.stem for path in SAMPLES.glob("*.yaml")} == set(KINDS)
    for kind in KINDS:
        notice = parsed(sample(kind))
        assert (notice.notice, notice.case) == (kind, "demo-transfer")
        assert set(KINDS[kind].must) <= set(notice.fields)


def test_the_sample_addressees_are_columns_of_the_sample_company() -> None:
    datamap = load_datamap(REPOSITORY / "include" / "datamaps", "demo-transfer")
    columns = {one.table.label: set(one.columns) for one in datamap.datasets}
    persons = {one.table.label for one in datamap.datasets if any(path.to is None for path in one.subject)}
    for kind in KINDS:
        notice = parsed(sample(kind))
        assert {one.person.label for one in notice.addressees} == persons
        for one in notice.addressees:
            assert {one.name, one.mobile} <= columns[one.person.label]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_names_each_field_that_lacks(kind: NoticeKind) -> None:
    """Each field that the article asks for is missed by its name when it alone is not there."""
    for name in KINDS[kind].must:
        document = sample(kind)
        del document["fields"][name]
        with pytest.raises(CaseInvalid, match=rf"a notice {kind} .*needs {name} \({FIELDS[name][0]}\)"):
            parsed(document)


def test_a_notice_without_a_field_is_refused_by_name() -> None:
    document = sample("P22")
    del document["fields"]["recipient_contact"], document["fields"]["objection"]
    with pytest.raises(CaseInvalid, match=r"needs recipient_contact .*, objection "):
        parsed(document)


@pytest.mark.parametrize("pair", TOGETHER)
def test_what_belongs_together_is_said_together(pair: tuple[str, str]) -> None:
    document = sample("P23")
    for gone, kept in (pair, pair[::-1]):
        fields = {name: said for name, said in document["fields"].items() if name != gone}
        assert kept in fields
        with pytest.raises(CaseInvalid, match=f"needs {gone}"):
            parsed(document | {"fields": fields})
    parsed(document | {"fields": {n: s for n, s in document["fields"].items() if n not in pair}})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a field nobody knows": (
        {"fields": sample("P57")["fields"] | {"price": {"zh": "一", "en": "1"}}},
        "price",
    ),
    "one language": (
        {"fields": sample("P57")["fields"] | {"harm": {"zh": "一"}}},
        r"line \d+, fields\.harm\.en",
    ),
    "an empty text": (
        {"fields": sample("P57")["fields"] | {"harm": {"zh": " ", "en": "1"}}},
        r"fields\.harm\.zh",
    ),
    "a kind nobody knows": ({"notice": "P99"}, r"line 1, notice"),
    "no way to anybody": (
        {"addressees": [{"person": "s.person", "name": "name"}]},
        "names no way to reach anybody",
    ),
    "nobody": ({"addressees": []}, "addressees"),
    "a table twice": (
        {"addressees": [{"person": "s.person", "name": "name", "mobile": "m"}] * 2},
        r"name s\.person twice",
    ),
}


@pytest.mark.parametrize("changes, said", WRONG.values(), ids=WRONG)
def test_what_is_written_wrong_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CaseInvalid, match=said):
        parsed(sample("P57") | changes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_letter_says_everything_in_both_languages(kind: NoticeKind) -> None:
    notice = parsed(sample(kind))
    page, plain = letters_html(notice, PEOPLE), text(notice)
    for name, said in notice.fields.items():
        for told in (*FIELDS[name], said.zh, said.en):
            assert told.replace("'", "&#39;") in page
            assert told in plain
    for title in (notice.kind.zh, notice.kind.en, notice.kind.basis):
        assert title in page


def test_each_who_can_be_reached_has_a_page_and_a_line_and_everybody_a_result() -> None:
    notice = parsed(sample("P23"))
    with zipfile.ZipFile(io.BytesIO(package(notice, PEOPLE, NOW.date()))) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(files) == {"README.txt", "recipients.jsonl", "letters.html", "text.txt", "results.csv"}
    people = [json.loads(line) for line in files["recipients.jsonl"].splitlines()]
    assert [one["name"] for one in people] == ["甲<b>", "乙"]
    assert people[0]["address"] == "街道 & 1号"
    page = files["letters.html"]
    assert page.count('class="letter"') == 2
    assert "甲&lt;b&gt;" in page and "街道 &amp; 1号" in page and "<b>" not in page
    assert "default-src &#39;none&#39;" in page and "<script" not in page
    rows = list(csv.reader(io.StringIO(files["results.csv"])))
    assert rows[0] == ["reference", "state", "date"]
    assert [tuple(row) for row in rows[1:]] == [
        ("aa" * 16, "", ""),
        ("bb" * 16, "", ""),
        ("cc" * 16, "unreachable", "2026-06-01"),
    ]


def certificate(key: Any, days: int = 30) -> bytes:
    """A certificate of the sample sender, valid for some days."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "示例寄送公司 (sample)")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW - timedelta(days=60))
    made = builder.not_valid_after(NOW + timedelta(days=days)).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM)


def test_a_sender_needs_a_certificate_that_can_be_sealed_for() -> None:
    key = rsa.generate_private_key(65537, 2048)
    assert sender_of(certificate(key), NOW).public_key() == key.public_key()
    with pytest.raises(ConfigurationMissing, match="not valid today"):
        sender_of(certificate(key, days=-1), NOW)
    with pytest.raises(ConfigurationMissing, match="no certificate"):
        sender_of(b"-----BEGIN NOTHING-----", NOW)
    with pytest.raises(ConfigurationMissing, match="no RSA key"):
        sender_of(certificate(ec.generate_private_key(ec.SECP256R1())), NOW)
