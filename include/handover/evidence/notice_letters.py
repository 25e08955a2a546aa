"""Mailing files: letters to print, addresses to work with, a sheet for results; sealed for who sends them.

The seal is a CMS envelope (RFC 5652, AES-256) under the sender's RSA certificate: `openssl cms -decrypt`
opens it, and so does every S/MIME program. It keeps strangers out; its SHA-256 tells that nobody changed it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path

import jinja2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from markupsafe import Markup

from handover.errors import ConfigurationMissing
from handover.evidence.templates import environment
from handover.model.notice import Notice

SMALLEST_RSA = 2048
RESULT_COLUMNS = ("reference", "state", "date")
_FOLDER = Path(__file__).parent
_TEMPLATE, _STYLE = "notice.html.j2", "notice.css"
_README = """\
{zh} / {en}
{basis}

recipients.jsonl  每行一人：编号、姓名、联系方式。 One person a line: reference, name, ways to reach them.
letters.html      每人一页，可直接打印。 One page a person, ready to print.
text.txt          正文（短信、邮件用）。 The text, for messages and e-mail.
results.csv       送达结果，填写后交回。 Results, to be filled in and given back.

results.csv: state 填写 delivered（已送达）、returned（退回）、unreachable（无法送达）或 substituted
（已依法以公告等方式替代）；date 填写日期（如 2026-01-31）。没有结果的行保持空白。
In results.csv, state is delivered, returned, unreachable, or substituted (told by public notice or in another
lawful way); date is a day as 2026-01-31. Leave the lines without a result empty.
含个人信息，用毕即删。 This holds personal information: delete it when you are done.
"""


@dataclass(frozen=True)
class Person:
    """Who is written to. ``reference`` is a keyed token: it alone comes back with the results."""

    reference: str
    name: str | None
    mobile: str | None = None
    email: str | None = None
    address: str | None = None

    @property
    def reachable(self) -> bool:
        """Say whether there is any way to reach them."""
        return any((self.mobile, self.email, self.address))


def sender_of(pem: bytes, now: datetime) -> x509.Certificate:
    """Return the certificate of who sends the letters; raises ConfigurationMissing when it cannot be used."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise ConfigurationMissing(
            "the sender's file is no certificate in PEM",
            hint="the sender makes one: `openssl req -x509 -newkey rsa:3072 -days 365 -keyout key.pem "
            "-out sender.pem`",
        ) from None
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < SMALLEST_RSA:
        raise ConfigurationMissing(
            f"the sender's certificate has no RSA key of {SMALLEST_RSA} bits or more",
            hint="ask the sender for a certificate with one",
        )
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise ConfigurationMissing(
            "the sender's certificate is not valid today", hint="ask the sender for one that is"
        )
    return certificate


def seal_for(certificate: x509.Certificate, data: bytes) -> bytes:
    """Return a CMS envelope in DER that only the certificate's key opens."""
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(data).add_recipient(certificate)
    builder = builder.set_content_encryption_algorithm(algorithms.AES256)
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def package(notice: Notice, people: Sequence[Person], on: date) -> bytes:
    """Return the mailing files of some people, made on a day, as one ZIP archive."""
    kind = notice.kind
    files = {
        "README.txt": _README.format(zh=kind.zh, en=kind.en, basis=kind.basis).encode(),
        "recipients.jsonl": recipients_jsonl(people),
        "letters.html": letters_html(notice, people).encode(),
        "text.txt": text(notice).encode(),
        "results.csv": results_csv(people, on),
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def recipients_jsonl(people: Sequence[Person]) -> bytes:
    """Return one line of JSON for each person who can be reached."""
    lines = [json.dumps(asdict(one), ensure_ascii=False) for one in people if one.reachable]
    return "".join(f"{line}\n" for line in lines).encode()


def results_csv(people: Sequence[Person], on: date) -> bytes:
    """Return the sheet of results; whom no letter can reach stands there already."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\r\n")
    writer.writerow(RESULT_COLUMNS)
    for one in people:
        result = ("", "") if one.reachable else ("unreachable", str(on))
        writer.writerow((one.reference, *result))
    return made.getvalue().encode()


def text(notice: Notice) -> str:
    """Return what the notice says as plain text, in Chinese and then in English."""
    parts = [notice.kind.zh, *(f"{head[0]}：{said.zh}" for head, said in notice.paragraphs), ""]
    parts += [notice.kind.en, *(f"{head[1]}: {said.en}" for head, said in notice.paragraphs)]
    return "\n".join([*parts, "", f"{notice.issued}", ""])


def letters_html(notice: Notice, people: Sequence[Person]) -> str:
    """Return a page for each person who can be reached; it needs no network, no fonts and no script."""
    policy = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return _template().render(
        notice=notice,
        kind=notice.kind,
        people=[one for one in people if one.reachable],
        policy=f"default-src 'none'; style-src 'sha256-{policy}'; base-uri 'none'; form-action 'none'",
        style=Markup(_style()),  # noqa: S704 (our own file)
    )


@cache
def _template() -> jinja2.Template:
    return environment().get_template(_TEMPLATE)


@cache
def _style() -> str:
    return (_FOLDER / _STYLE).read_text(encoding="utf-8")
