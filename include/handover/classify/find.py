"""Finds personal data inside a text: every mention with its kind and place.

The same search serves columns (the mention is the whole value) and free text. Where two readings of the
same signs are possible, the one with more check digits wins.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from handover.classify import numbers, persons
from handover.classify.labels import verdict, without_labels

_BEFORE = r"(?<![0-9A-Za-z])"
_AFTER = r"(?![0-9A-Za-z])"
_DIGITS_AFTER = r"(?![0-9A-Za-z_]|[.-]\d)"
_SEPARATORS = re.compile(r"[ -]")
_FILE_ENDING = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|ico|bmp|js|ts|css|json|html?|xml|txt|md|log|csv)$", re.I
)
_IN_ADDRESS_OF_A_SERVER = re.compile(r"://\S*$")


@dataclass(frozen=True)
class Mention:
    """Where in a text something personal stands."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class _Detector:
    """A form, the check of what it matched without separators, and how far labels are believed.

    ``needs``: only after a label that says so; ``heeds``: not after one that says otherwise; ``trusts``: the
    check digits outweigh all but the firmest label.
    """

    kind: str
    form: re.Pattern[str]
    check: Callable[[str], bool]
    labels: str = "trusts"


def _email(text: str) -> bool:
    return not _FILE_ENDING.search(text) and ".." not in text


def _address_of_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _any(text: str) -> bool:
    return True


_LABEL = r"[A-Za-z0-9\u3400-\u9fff](?:[A-Za-z0-9\u3400-\u9fff-]{0,61}[A-Za-z0-9\u3400-\u9fff])?"
_HAN_DOMAINS = "中国|中國|公司|网络|网址|集团|在线|中文网|商城|测试|香港|台湾"
_PLATES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领"

# In the order in which they win over each other.
_DETECTORS = (
    _Detector(
        "email",
        re.compile(
            r"(?<![A-Za-z0-9._%+@-])[A-Za-z0-9_](?:[A-Za-z0-9._%+'-]{0,62}[A-Za-z0-9_+-])?"
            rf"@(?:{_LABEL}\.)+(?:[A-Za-z]{{2,24}}(?![A-Za-z0-9@-])|xn--[a-z0-9-]+|{_HAN_DOMAINS})"
        ),
        _email,
    ),
    _Detector(
        "resident_id",
        re.compile(
            rf"{_BEFORE}\d{{6}}[ -]?\d{{4}}[ -]?\d{{2}}[ -]?\d{{2}}[ -]?\d{{3}}[ -]?[\dXx]{_AFTER}(?!-\d)"
        ),
        numbers.is_resident_id,
    ),
    _Detector(
        "residence_permit",
        re.compile(rf"{_BEFORE}[89]\d{{5}}[ -]?\d{{8}}[ -]?\d{{3}}[\dXx]{_AFTER}"),
        lambda text: numbers.is_residence_permit(text) and not numbers.is_credit_code(text),
    ),
    _Detector(
        "uscc",
        re.compile(
            rf"{_BEFORE}(?:[0-9A-Za-z]{{18}}|[0-9A-Z]{{2}}[ -]\d{{6}}[ -][0-9A-Z]{{9}}[ -]?[0-9A-Z]"
            rf"|[0-9A-Z]{{4}}(?:[ -][0-9A-Z]{{4}}){{3}}[ -][0-9A-Z]{{2}}){_AFTER}"
        ),
        numbers.is_credit_code,
    ),
    _Detector(
        "bank_card",
        re.compile(
            r"(?<!\d)(?:\d{13,19}|\d{4}(?:[ -]\d{4}){2}[ -]\d{2,4}(?:[ -]\d{1,3})?|\d{4}[ -]\d{6}[ -]\d{4,5}"
            rf"|\d{{6}}[ -]\d{{10,13}}){_DIGITS_AFTER}"
        ),
        numbers.is_card,
        "heeds",
    ),
    _Detector("device_id", re.compile(r"(?<!\d)\d{15}(?![0-9A-Za-z])"), numbers.is_imei, "needs"),
    _Detector("resident_id", re.compile(rf"{_BEFORE}\d{{15}}{_AFTER}"), numbers.is_old_resident_id, "needs"),
    _Detector(
        "mobile",
        re.compile(
            r"(?<!\d)(?:\(?(?:\+|00)?86\)?[- ]?)?"
            r"(?P<core>1[3-9]\d(?:[ -]?\d{4}[ -]?\d{4}|[ -]\d{3}[ -]\d{5})|1[3-9]\d{2}[ -]\d{3}[ -]\d{4})"
            rf"{_DIGITS_AFTER}"
        ),
        numbers.is_mobile,
        "heeds",
    ),
    _Detector(
        "phone",
        re.compile(rf"(?<![\d-])(?:\(0\d{{2,3}}\)|0\d{{2,3}})[ -]?\d{{7,8}}{_DIGITS_AFTER}"),
        lambda text: numbers.is_phone(re.sub(r"[()]", "", text)),
        "heeds",
    ),
    _Detector(
        "phone", re.compile(rf"\+[1-9]\d(?:[ -]?\d){{6,13}}{_DIGITS_AFTER}"), numbers.is_phone, "heeds"
    ),
    _Detector(
        "mac_address",
        re.compile(  # six pairs, not a part of a longer fingerprint
            rf"{_BEFORE}(?<!\b[0-9A-Fa-f]{{2}}:[0-9A-Fa-f]{{2}}:)(?:[0-9A-Fa-f]{{2}}[:-]){{5}}[0-9A-Fa-f]{{2}}"
            rf"{_AFTER}(?![:-][0-9A-Fa-f])"
        ),
        _any,
    ),
    _Detector(
        "ip_address",
        re.compile(r"(?<![0-9A-Za-z.])\d{1,3}(?:\.\d{1,3}){3}(?![0-9A-Za-z]|\.\d)"),
        _address_of_host,
        "heeds",
    ),
    _Detector(
        "ip_address",
        re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){3,7}[0-9A-Fa-f]{1,4}(?![\w:])"),
        _address_of_host,
    ),
    _Detector(
        "plate",
        re.compile(
            rf"[{_PLATES}][A-HJ-NP-Z][·. -]?(?:[DF][A-HJ-NP-Z0-9]\d{{4}}|\d{{5}}[DF]|[A-HJ-NP-Z0-9]{{4}}"
            rf"[A-HJ-NP-Z0-9挂学警港澳]){_AFTER}"
        ),
        lambda text: any(sign.isdigit() for sign in text),
    ),
    _Detector(
        "credential",
        re.compile(r"\$(?:2[abxy]|argon2(?:id?|d)|[156]|scrypt|pbkdf2[\w-]*)\$[\w./+=$,-]{20,}"),
        _any,
    ),
)
# Forms without a check digit: found in free text after a label that names them, in columns by their name.
_PASSPORT = r"(?:[EGDSPK][A-HJ-NP-Z]?\d{7,8}|MA\d{7}|1[45]\d{7})"
_TRAVEL_PERMIT = r"(?:[CWHMT]\d{8,10}|\d{8})"
_NAMED_FORMS = (
    (
        "passport",
        re.compile(rf"(?:护照|passport)[^\dA-Z]{{0,12}}({_BEFORE}{_PASSPORT}{_AFTER})", re.IGNORECASE),
    ),
    (
        "travel_permit",
        re.compile(
            rf"(?:通行证|回乡证|台胞证|travel permit)[^\dA-Z]{{0,12}}({_BEFORE}{_TRAVEL_PERMIT}{_AFTER})",
            re.IGNORECASE,
        ),
    ),
)
PASSPORT, TRAVEL_PERMIT = re.compile(_PASSPORT), re.compile(_TRAVEL_PERMIT)


def find(text: str) -> list[Mention]:
    """Return all mentions in a plain text, none overlapping another, in their order."""
    found: list[Mention] = []
    for mention in _candidates(text):
        if all(mention.end <= other.start or other.end <= mention.start for other in found):
            found.append(mention)
    return sorted(found, key=lambda mention: mention.start)


def _candidates(text: str) -> Iterator[Mention]:
    if any(sign.isdigit() for sign in text) or "@" in text or ":" in text or "$" in text:
        for detector in _DETECTORS:
            yield from _matches(detector, text)
        for kind, form in _NAMED_FORMS:
            yield from (Mention(kind, *match.span(1)) for match in form.finditer(text))
    if not text.isascii():
        yield from (Mention("address", *span) for span in persons.addresses_in(text))
        if persons.is_name(text.strip()):
            yield Mention("person_name", 0, len(text))
        yield from (Mention("person_name", *span) for span in persons.names_in(text))


def _matches(detector: _Detector, text: str) -> Iterator[Mention]:
    for match in detector.form.finditer(text):
        if detector.kind == "email":
            signs = match[0]
            wanted = not _IN_ADDRESS_OF_A_SERVER.search(text, 0, match.start())
        else:
            signs = _SEPARATORS.sub("", match.groupdict().get("core") or match[0]).upper()
            wanted = _said(detector, text, match)
        if wanted and detector.check(signs):
            owner = detector.kind == "uscc" and numbers.is_personal_credit_code(signs)
            yield Mention("owner_uscc" if owner else detector.kind, match.start(), match.end())


def _said(detector: _Detector, text: str, match: re.Match[str]) -> bool:
    """Say whether the words around allow it; a value that stands alone has none."""
    if match.start() == 0 and match.end() == len(text):
        return True
    said = verdict(text, match.start(), match.end())
    if detector.labels == "needs":
        return said == "for" or "imei" in text[max(0, match.start() - 12) : match.start()].lower()
    return said in ("for", "nothing") or (detector.labels == "trusts" and said == "against")


def is_whole(text: str, mention: Mention) -> bool:
    """Say whether nothing but signs and a label stands beside the mention."""
    if mention.end - mention.start == len(text):
        return True
    rest = without_labels(text[: mention.start] + " " + text[mention.end :])
    return not any(sign.isalnum() for sign in rest)
