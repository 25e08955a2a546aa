"""How a column is judged: shares of values, names, and their combination; documents by path."""

import json
from pathlib import Path
from random import Random

import pytest

from handover.classify import heldout
from handover.classify.columns import judge
from handover.classify.documents import by_path
from handover.classify.invented import Invented
from handover.classify.names import said_by, words_of

INVENTED = Invented(11)


def mobiles(count: int) -> list[str]:
    return [INVENTED.mobile() for _ in range(count)]


def rubbish(count: int) -> list[str]:
    return [f"w{n}" for n in range(count)]


def test_values_alone_must_reach_a_high_share() -> None:
    assert judge("c1", "text", mobiles(80) + rubbish(20)).kind == "mobile"
    mixed = judge("c1", "text", mobiles(60) + rubbish(40))
    assert (mixed.kind, [part.kind for part in mixed.contains]) == ("free_text", ["mobile"])
    assert judge("c1", "text", mobiles(20) + rubbish(80)).kind is None


def test_a_name_lowers_the_share_and_its_contrary_raises_it() -> None:
    values = mobiles(40) + rubbish(60)
    assert judge("mobile", "text", values).kind == "mobile"
    assert judge("contact", "text", values).kind == "mobile"
    assert judge("mobile", "text", mobiles(10) + rubbish(90)).kind is None
    assert judge("order_no", "text", mobiles(100)).kind is None


def test_strong_check_digits_outweigh_a_contrary_name() -> None:
    values = [INVENTED.resident_id() for _ in range(100)]
    assert judge("order_no", "text", values).kind == "resident_id"
    mixed = judge("order_no", "text", values[:80] + rubbish(20))
    assert [part.kind for part in mixed.contains] == ["resident_id"]


def test_nothing_and_placeholders_do_not_count() -> None:
    assert judge("c1", "text", mobiles(20) + ["", " ", "无", "N/A", "-", "null"] * 100).kind == "mobile"


def test_few_values_give_less_confidence() -> None:
    assert judge("c1", "text", mobiles(200)).confidence == "high"
    assert judge("c1", "text", mobiles(5)).confidence == "medium"
    assert judge("c1", "text", mobiles(2)).confidence == "low"


def test_a_name_without_values_is_claimed_with_low_confidence() -> None:
    found = judge("身份证号", "text", [])
    assert (found.kind, found.confidence) == ("resident_id", "low")


def test_a_name_that_its_values_deny_is_told() -> None:
    found = judge("mobile", "text", rubbish(100))
    assert (found.kind, found.confidence) == (None, "low")
    assert "its name says mobile" in found.reasons[0]


def test_reasons_give_share_size_and_shape_and_no_value() -> None:
    values = mobiles(50)
    (said, told) = judge("mobile", "text", values).reasons
    assert said == "its name says mobile"
    assert told == "100.0% of 50 values are mobile (at least 93% of all, 95 % sure), as 9{11}"
    assert not any(value in told for value in values)


def test_one_owner_makes_a_column_of_credit_codes_personal() -> None:
    codes = [code for code in (INVENTED.uscc() for _ in range(200)) if not code.startswith("92")]
    assert judge("c1", "text", codes).kind == "uscc"
    owner = next(code for code in (INVENTED.uscc() for _ in range(200)) if code.startswith("92"))
    assert judge("c1", "text", [*codes, owner]).kind == "owner_uscc"


def test_free_text_lists_what_it_contains() -> None:
    values = [f"客户来电，号码 {mobile}，已登记" for mobile in mobiles(5)] + ["无人接听，明日再拨"] * 300
    found = judge("c1", "text", values)
    assert (found.kind, [part.kind for part in found.contains]) == ("free_text", ["mobile"])


def test_a_single_resident_number_among_many_notes_is_listed() -> None:
    found = judge("c1", "text", [f"核对 {INVENTED.resident_id()} 无误"] + ["一切正常，无需回访"] * 1999)
    assert [part.kind for part in found.contains] == ["resident_id"]


def test_other_things_in_a_column_of_mobiles_are_listed_beside() -> None:
    values = mobiles(90) + [f"{INVENTED.mobile()} 或 {INVENTED.email()}" for _ in range(10)]
    found = judge("mobile", "text", values)
    assert (found.kind, [part.kind for part in found.contains]) == ("mobile", ["email"])


def test_what_only_a_name_tells_still_lists_what_its_values_contain() -> None:
    found = judge("spouse_info", "text", [f"{INVENTED.mobile()} {INVENTED.email()}" for _ in range(30)])
    assert (found.kind, [part.kind for part in found.contains]) == ("attribute", ["email", "mobile"])


def test_values_of_another_kind_in_a_column_are_listed() -> None:
    found = judge("logon", "text", mobiles(90) + [INVENTED.email() for _ in range(10)])
    assert (found.kind, [part.kind for part in found.contains]) == ("mobile", ["email"])


def test_an_amount_holds_numbers() -> None:
    assert judge("amount", "number", ["$1,234.00"]).kind == "amount"
    assert judge("amount", "text", ["12.50", "-3", "1e5"]).kind == "amount"
    assert judge("amount", "text", ["much", "little"]).kind is None


def test_a_short_list_of_words_holds_no_names() -> None:
    found = judge("education", "text", ["高中", "大专", "本科", "硕士"] * 50)
    assert (found.kind, found.contains) == ("attribute", ())


def test_codes_that_fit_by_chance_are_not_listed() -> None:
    assert judge("c1", "text", [INVENTED.dated_serial() for _ in range(500)]).contains == ()


NAMES = {
    "idNo": "resident_id", "ID_CARD": "resident_id", "sfzh": "resident_id", "申请人身份证号码": "resident_id",
    "mobilePhone": "mobile", "contact_mobile_no": "mobile", "家庭电话": "phone", "E-mail": "email",
    "bankCardNo": "bank_card", "收款账号": "account_no", "passwd_md5": "credential", "cvv2": "credential",
    "face_feature": "biometric", "人脸特征": "biometric", "id_card_photo": "document_image",
    "dob": "birth_date", "出生日期": "birth_date", "客户姓名": "person_name",
    "license_plate": "plate", "idfa": "device_id",
    "gps_lat": "location", "民族": "special", "marital_status": "attribute", "贷款金额": "amount",
    "otp": "one_time_code", "paymentAmount": "amount", "order_id": None, "created_at": None, "name": None,
    "mailed_on": None, "ship_date": None, "pinned": None, "cardinality": None,
}  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), NAMES.items(), ids=NAMES)
def test_names(name: str, kind: str | None) -> None:
    assert said_by(name) == kind


def test_names_that_served_here_are_not_measured_with() -> None:
    text = Path(__file__).read_text()
    assert [column.name for column in heldout.COLUMNS if f'"{column.name}"' in text] == []


def test_words_of_a_name() -> None:
    assert [words_of(n) for n in ("IDCardNo", "bankCard-No", " 50% off")] == [
        "id_card_no",
        "bank_card_no",
        "50_off",
    ]


def test_a_type_tells_hosts_and_hardware() -> None:
    assert [judge("x", "inet", []).kind, judge("x", "mac", []).kind] == ["ip_address", "mac_address"]


def test_documents_are_judged_by_path() -> None:
    documents = [
        json.dumps(
            {"applicant": {"cell": INVENTED.mobile(), "age": n, "mails": [INVENTED.email()]}, "note": "ok"}
        )
        for n in range(50)
    ]
    found = judge("payload", "json", documents)
    assert found.kind == "json"
    assert {part.at: part.kind for part in found.contains} == {
        "$.applicant.cell": "mobile",
        "$.applicant.mails[*]": "email",
    }


def test_an_array_is_judged_by_its_elements() -> None:
    assert judge("phones", "array", [json.dumps(mobiles(2)) for _ in range(30)]).kind == "mobile"


def test_a_key_that_is_data_is_not_shown_but_judged() -> None:
    documents = [json.dumps({INVENTED.mobile(): {"score": 3}, "kept": 1}) for _ in range(30)]
    assert set(by_path(documents)) == {"$.*.score", "$.~keys", "$.*.~keys", "$.kept"}
    assert [(p.kind, p.at) for p in judge("x", "json", documents).contains] == [("mobile", "$.~keys")]


def test_documents_that_are_broken_deep_or_doubled() -> None:
    deep = "[" * 3000 + "]" * 3000
    doubled = '{"mobile": "16112345678", "mobile": "16412345678"}'
    paths = by_path(["{cut", deep, *[doubled] * 3])
    assert paths["$.mobile"] == ["16112345678", "16412345678"] * 3
    assert "{cut" in paths["$"]


def test_judging_does_not_hang_on_the_order_of_values() -> None:
    values = mobiles(50) + rubbish(20) + [INVENTED.email() for _ in range(3)]
    first = judge("c1", "text", values)
    Random(4).shuffle(values)
    assert judge("c1", "text", values).kind == first.kind
