"""Free text and documents: what is found in them becomes the pseudonym that its column has."""

import json

import pyarrow as pa
import pytest

from fixtures.pseudonyms import domain_key
from handover.pseudonymise.blurring import Mask, Null
from handover.pseudonymise.literals import literals
from handover.pseudonymise.redact import Treatments, redact_json, redact_text
from handover.pseudonymise.replacing import Choice, Fpe, Token
from handover.pseudonymise.strategy import Treated
from handover.sample import people
from handover.sample.dice import Dice

MOBILE = "16112345678"
RESIDENT, MAIL = "119900199003070118", "lin.an@example.com"
NUMBERS = people.identities(Dice(3), people.Role.CONTACT, pa.array(range(3)).to_numpy()).numbers.to_pylist()

MOBILES = Treated(Fpe(form="mobile", realistic=True), domain_key("mobile", "mobile"))
PEOPLE = Treated(Fpe(form="identity"), domain_key("person", "identity"))
MAILS = Treated(Fpe(form="email"), domain_key("mail", "email"))
NAMES = Treated(Choice(), domain_key("name", "text"))
OTHERS = Treated(Token(), domain_key("others", "text"))
TREATMENTS = Treatments(
    {"mobile": MOBILES, "resident_id": PEOPLE, "email": MAILS, "person_name": NAMES}, OTHERS
)


def alone(treated: Treated, value: str) -> str:
    return str(treated.apply(pa.array([value])).column[0].as_py())


def redacted(text: str) -> str:
    return str(redact_text(pa.array([text]), TREATMENTS).column[0].as_py())


@pytest.mark.parametrize("written", [MOBILE, f"+86 {MOBILE}", "１６１１２３４５６７８", "161-1234-5678"])
def test_a_number_in_a_text_has_its_columns_pseudonym_however_written(written: str) -> None:
    new = alone(MOBILES, MOBILE)
    assert redacted(f"致电客户，手机{written}，无人接听") == f"致电客户，手机{new}，无人接听"
    hidden = written[:-3] + "\u200b" + written[-3:]
    assert redacted(f"手机{hidden}！") == f"手机{new}!"


def test_all_kinds_of_one_text() -> None:
    text = f"客户姓名：林示例，身份证 {NUMBERS[0]}，mail {MAIL}"
    made = redacted(text)
    for treated, value in ((PEOPLE, NUMBERS[0]), (MAILS, MAIL), (NAMES, "林示例")):
        assert value not in made
        assert alone(treated, value) in made


def test_a_kind_that_is_not_named_gets_what_others_get() -> None:
    made = redacted("IP 203.0.113.77 ok")
    assert made == f"IP {alone(OTHERS, '203.0.113.77')} ok"
    none = Treatments({}, Treated(Null(), domain_key()))
    assert redact_text(pa.array([f"tel {MOBILE}."]), none).column.to_pylist() == ["tel ."]


def test_texts_without_anybody_and_nulls_stay_and_are_counted() -> None:
    column = pa.array(["正常客户", None, "", "　全角，不变　", f"call {MOBILE}", "订单 20240101"])
    masked = redact_text(column, TREATMENTS)
    assert masked.counts == {"masked": 1, "null": 1, "clean": 4}
    assert masked.column.to_pylist()[:4] == column.to_pylist()[:4]
    assert redact_text(column[:0], TREATMENTS).column.to_pylist() == []


def test_a_document_keeps_its_writing_but_for_what_was_found() -> None:
    document = f'{{ "来源":"门店",\n "mobile" : "{MOBILE}", "n": {MOBILE}, '
    document += '"amount":1.50, "x":[null,true,"\\u4f60"]}'
    masked = redact_json(pa.array([document, None, '{"a": 1.0}']), TREATMENTS)
    new = alone(MOBILES, MOBILE)
    assert masked.column.to_pylist() == [
        document.replace(f'"{MOBILE}"', f'"{new}"').replace(f": {MOBILE}", f': "{new}"'),
        None,
        '{"a": 1.0}',
    ]
    assert masked.counts == {"masked": 1, "null": 1, "clean": 1}


def test_keys_and_escaped_signs_and_texts_in_texts() -> None:
    inner = json.dumps({"tel": MOBILE})
    document = json.dumps({MOBILE: 1, "inner": inner, "escaped": "\\u0031" * 3})
    escaped = document.replace(MOBILE[:3], "\\u0031\\u0036\\u0031", 1)
    for text in (document, escaped):
        made = redact_json(pa.array([text]), TREATMENTS).column[0].as_py()
        assert MOBILE not in json.dumps(json.loads(made))
        assert list(json.loads(made)) == [alone(MOBILES, MOBILE), "inner", "escaped"]


def test_a_value_at_a_declared_path_is_replaced_as_a_whole() -> None:
    """A detector may not take it for anything: the data map says what it is."""
    paths = {"$.applicant.name": NAMES, "$.tels[*]": MOBILES, "$.by.*.id": OTHERS}
    document = {
        "applicant": {"name": "Lin An", "note": "Lin An"},
        "tels": [5, "6", {"name": "x"}],
        "by": {"k1": {"id": "a"}, "k2": {"id": 7, "sub": {"id": "stays"}}},
        "name": "stays",
    }
    given = pa.array([json.dumps(document)])
    treatments = Treatments(TREATMENTS.kinds, OTHERS, paths)
    made = json.loads(redact_json(given, treatments).column[0].as_py())
    assert made == {
        "applicant": {"name": alone(NAMES, "Lin An"), "note": "Lin An"},
        "tels": [alone(MOBILES, "5"), alone(MOBILES, "6"), {"name": "x"}],
        "by": {"k1": {"id": alone(OTHERS, "a")}, "k2": {"id": alone(OTHERS, "7"), "sub": {"id": "stays"}}},
        "name": "stays",
    }


@pytest.mark.parametrize(
    "text", [f"call {MOBILE}", f'{{"a": {MOBILE}', f'"{MOBILE}', "[" * 100_000 + MOBILE, f"'{MOBILE}'"]
)
def test_what_is_no_document_is_redacted_as_a_text(text: str) -> None:
    made = redact_json(pa.array([text]), TREATMENTS).column[0].as_py()
    assert MOBILE not in made
    assert alone(MOBILES, MOBILE) in made


def test_half_a_surrogate_pair_beside_a_number_is_kept_escaped() -> None:
    given = f'{{"a": "\\ud83d {MOBILE}", "b": "\\ud83d"}}'
    made = redact_json(pa.array([given]), TREATMENTS).column[0].as_py()
    assert json.loads(made) == {"a": f"\ud83d {alone(MOBILES, MOBILE)}", "b": "\ud83d"}


def test_paths_are_those_of_the_data_map() -> None:
    document = '{"a": {"b": [1, {"c": "x"}], "d": []}, "e": {}, "f": "y", "g": [[2]]}'
    found = [(one.path, one.text) for one in literals(document) if not one.is_key]
    assert found == [("$.a.b[*]", "1"), ("$.a.b[*].c", "x"), ("$.f", "y"), ("$.g[*][*]", "2")]
    keys = [one.text for one in literals(document) if one.is_key]
    assert keys == ["a", "b", "c", "d", "e", "f", "g"]
    assert [one.path for one in literals("5")] == ["$"]


def test_a_masked_mention_is_replaced_as_its_strategy_says() -> None:
    masks = Treatments({"mobile": Treated(Mask(first=3, last=4), domain_key("m", "mobile"))}, OTHERS)
    assert redact_text(pa.array([f"tel {MOBILE}"]), masks).column.to_pylist() == ["tel 161****5678"]
