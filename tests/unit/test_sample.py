"""Sample company without a database: check digits by a second implementation, uniqueness, repeatability."""

import hashlib
import os
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from handover.errors import PreflightFailed
from handover.sample import consent_rows, people, staff
from handover.sample.columns import cents, csv, null_where, pick
from handover.sample.company import planted_values
from handover.sample.company_rows import Company
from handover.sample.dice import Dice
from handover.sample.loads import LOADS
from handover.sample.people import Role
from handover.sample.sizes import Sizes

PEOPLE = np.arange(20_000)
DICE = Dice(7)


def resident_number_holds(number: str) -> bool:
    """ISO 7064 MOD 11-2 as Horner's scheme, unlike the weights of the generator."""
    value = 0
    for character in number:
        value = (value * 2 + (10 if character == "X" else int(character))) % 11
    return bool(re.fullmatch(r"\d{17}[\dX]", number)) and value == 1


def luhn_holds(number: str) -> bool:
    total = 0
    for place, character in enumerate(reversed(number)):
        digit = int(character) * (1 + place % 2)
        total += digit // 10 + digit % 10
    return total % 10 == 0


def credit_code_holds(code: str) -> bool:
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    weights = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28, 1)
    return sum(weight * alphabet.index(one) for weight, one in zip(weights, code, strict=True)) % 31 == 0


def organisation_code_holds(code: str) -> bool:
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(one) for weight, one in zip(weights, code[:8], strict=True))
    return (total + (10 if code[8] == "X" else int(code[8]))) % 11 == 0


def cards() -> list[str]:
    return people.card_numbers(DICE, PEOPLE).to_pylist()


def residents(role: Role = Role.CUSTOMER) -> list[str]:
    return people.identities(DICE, role, PEOPLE).numbers.to_pylist()


def content(company: Company) -> str:
    digest = hashlib.sha256()
    for load in LOADS:
        for columns in load.batches(company):
            digest.update(csv(columns))
    return digest.hexdigest()


def company(rows: int = 1_000, seed: int = 1) -> Company:
    return Company(Dice(seed), Sizes.for_rows(rows))


def test_oracles_know_published_numbers_and_refuse_changed_ones() -> None:
    assert resident_number_holds("11010519491231002X")
    assert not resident_number_holds("110105194912310021")
    assert luhn_holds("79927398713")
    assert not luhn_holds("79927398710")
    assert credit_code_holds("91350100M000100Y43")
    assert not credit_code_holds("91350100M000100Y44")


@pytest.mark.parametrize("role", Role)
def test_resident_numbers_pass_and_belong_to_no_region(role: Role) -> None:
    for number in residents(role):
        assert resident_number_holds(number)
        assert re.match(r"[1-6]\d99", number)


def test_resident_number_tells_the_birthday_and_the_sex() -> None:
    who = people.identities(DICE, Role.CUSTOMER, PEOPLE)
    for number, day, male in zip(who.numbers.to_pylist(), who.born.tolist(), who.male.tolist(), strict=True):
        assert str(np.datetime64(day, "D")).replace("-", "") == number[6:14]
        assert int(number[16]) % 2 == male
    assert 0.4 < who.male.mean() < 0.6


def test_mobiles_look_like_mobiles_but_are_not_assigned() -> None:
    for number in people.mobiles(DICE, Role.CONTACT, PEOPLE).to_pylist():
        assert re.fullmatch(r"1[3-9]\d{9}", number)
        assert number[:3] in {"154", "161", "164", "194"}


def test_card_numbers_pass_luhn_and_share_the_prefix() -> None:
    for number in cards():
        assert luhn_holds(number)
        assert re.fullmatch(r"629999\d{13}", number)


@pytest.mark.parametrize("kind", [b"91", b"92"])
def test_credit_codes_pass_both_checks(kind: bytes) -> None:
    for code in people.credit_codes(DICE, kind, PEOPLE).to_pylist():
        assert credit_code_holds(code)
        assert organisation_code_holds(code[8:17])
        assert code.startswith(kind.decode())
        assert code[4:6] == "99"


def test_emails_are_in_reserved_domains() -> None:
    for address in people.emails(DICE, Role.CUSTOMER, PEOPLE).to_pylist():
        assert re.fullmatch(r"[a-z]+\.\d+@example\.(com|net|org)", address)


def test_names_are_two_to_four_han_characters() -> None:
    for name in people.names(DICE, Role.CUSTOMER, PEOPLE).to_pylist():
        assert re.fullmatch(r"[\u4e00-\u9fff]{2,4}", name)


def test_no_number_is_given_twice_whatever_the_role() -> None:
    everybody = [number for role in Role for number in residents(role)]
    mobiles = [number for role in Role for number in people.mobiles(DICE, role, PEOPLE).to_pylist()]
    emails = people.emails(DICE, Role.CUSTOMER, PEOPLE).to_pylist()
    codes = people.credit_codes(DICE, b"92", PEOPLE).to_pylist()
    for values in (everybody, mobiles, cards(), emails, codes):
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("size", [2, 31, 1_000, 4 * 10**8])
def test_shuffling_gives_every_number_once(size: int) -> None:
    index = np.arange(min(size, 50_000))
    shuffled = DICE.shuffled("stream", index, size)
    assert len(np.unique(shuffled)) == len(index)
    assert 0 <= shuffled.min() <= shuffled.max() < size


def test_draws_differ_by_seed_and_stream_and_are_even() -> None:
    draws = DICE.below("one", PEOPLE, 10)
    assert (draws != DICE.below("two", PEOPLE, 10)).any()
    assert (draws != Dice(8).below("one", PEOPLE, 10)).any()
    assert np.bincount(draws, minlength=10).min() > len(PEOPLE) / 12


def test_same_seed_gives_the_same_bytes_in_another_process_and_time_zone() -> None:
    program = "from unit.test_sample import company, content; print(content(company()))"
    environment = {**os.environ, "TZ": "Asia/Shanghai", "PYTHONHASHSEED": "12345"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == content(company())


def test_another_seed_and_another_size_give_other_bytes() -> None:
    assert len({content(company()), content(company(seed=2)), content(company(rows=1_500))}) == 3


@pytest.mark.parametrize("load", LOADS, ids=lambda load: f"{load.table}-{load.build.__name__}")
def test_a_row_does_not_depend_on_its_batch(load) -> None:
    some = company(rows=20_000)
    count = load.count(some.sizes)
    whole = pa.table(dict(load.build(some, np.arange(count))))
    pieces = [np.arange(0, 2), np.arange(2, 3), np.arange(3, count)]
    assert whole.equals(pa.concat_tables(pa.table(dict(load.build(some, piece))) for piece in pieces))


def test_batches_cover_every_row_once() -> None:
    logs = next(load for load in LOADS if load.table == "device_logs")
    ids = [columns["log_id"] for columns in logs.batches(company(rows=1_500_000))]
    assert len(ids) > 2
    assert pa.concat_arrays(ids).equals(pa.array(np.arange(1, 1 + sum(map(len, ids)))))


def test_null_empty_text_and_backslash_n_stay_apart() -> None:
    text = pick((None, "", "\\N", 'a "quoted"\nline'), np.arange(4))
    number = null_where(np.array([True, False, False, False]), cents(np.array([1, -5, 0, 123456])))
    assert bytes(csv({"a": text, "b": number})) == b',\n"",-0.05\n"\\N",0.00\n"a ""quoted""\nline",1234.56\n'


def test_planted_values_are_in_the_data() -> None:
    planted = planted_values(3, 5_000, count=200)
    some = company(rows=5_000, seed=3)
    text = b"".join(bytes(csv(columns)) for load in LOADS for columns in load.batches(some)).decode()
    assert len(planted) == len(set(planted)) == 200
    assert [value for value in planted if value not in text] == []


def test_planted_values_of_another_seed_are_not_in_the_data() -> None:
    text = b"".join(bytes(csv(columns)) for load in LOADS for columns in load.batches(company())).decode()
    numbers = [value for value in planted_values(2, 1_000, 60) if len(value) > 10]
    assert numbers
    assert not [value for value in numbers if value in text]


def test_planted_values_hold_every_kind_and_no_short_name() -> None:
    planted = planted_values(1, 1_000)
    kinds = (r"[\u4e00-\u9fff]{3,4}", r"\d{17}[\dX]", r"1\d{10}", r"\d{19}", r".+@.+", r".+号.+室")
    for kind in kinds:
        assert any(re.fullmatch(kind, value) for value in planted)
    assert min(map(len, planted)) >= 3
    assert len(planted) == 60


@pytest.mark.parametrize("rows", [-1, 0, 999, 10**9])
def test_impossible_sizes_are_refused_with_the_limits(rows: int) -> None:
    with pytest.raises(PreflightFailed, match=f"cannot have {rows} rows") as refusal:
        Sizes.for_rows(rows)
    assert "1000 to 200000000" in refusal.value.hint


def test_every_voucher_line_has_its_voucher_and_balances() -> None:
    some = company(rows=50_000)
    by_table: dict[str, list[pa.Table]] = {}
    for load in LOADS:
        by_table.setdefault(load.table, []).extend(pa.table(dict(part)) for part in load.batches(some))
    vouchers, lines = (pa.concat_tables(by_table[name]) for name in ("vouchers", "voucher_lines"))
    sums = lines.group_by("voucher_id").aggregate([("debit", "sum"), ("credit", "sum")])
    assert pc.all(pc.equal(sums["debit_sum"], sums["credit_sum"])).as_py()
    assert set(sums["voucher_id"].to_pylist()) == set(vouchers["voucher_id"].to_pylist())


@pytest.mark.parametrize("rows", [1_000, 60_000, 2_000_000])
def test_a_branchs_staff_is_found_by_place_and_answers_to_its_head(rows: int) -> None:
    sizes = Sizes.for_rows(rows)
    everybody = np.arange(sizes.employees)
    branch, place = staff.workplace(sizes, everybody)
    assert (staff.at_place(sizes, branch, place) == everybody).all()
    above = staff.manager(sizes, everybody)
    assert (everybody[above < 0] == np.arange(sizes.branches) * staff.FIRST_STAFF).all()
    assert (branch[above[above >= 0]] == branch[above >= 0]).all()
    for _ in range(10):
        above = np.where(above < 0, -1, staff.manager(sizes, np.maximum(above, 0)))
    assert (above == -1).all()


@pytest.mark.parametrize("rows", [1_000, 60_000, 2_000_000])
def test_everybody_of_a_branch_is_drawn_and_nobody_else(rows: int) -> None:
    sizes = Sizes.for_rows(rows)
    branch = PEOPLE % sizes.branches
    drawn = staff.somebody_at(DICE, sizes, "stream", PEOPLE, branch)
    assert (staff.workplace(sizes, drawn)[0] == branch).all()
    assert len(np.unique(drawn)) == sizes.employees


def test_an_answer_is_taken_back_only_after_it_was_given() -> None:
    answers = pa.table(dict(consent_rows.of_customers(company(rows=60_000), np.arange(800))))
    assert answers["consent_no"].to_pylist() == list(range(1, 801))
    seen = set()
    for row in answers.to_pylist():
        seen.add((row["given_at"] is None, row["sensitive_at"] is None, row["withdrawn_at"] is None))
        assert row["sensitive_at"] is None or row["given_at"] is not None
        assert row["withdrawn_at"] is None or row["asked_at"] < row["given_at"] < row["withdrawn_at"]
    assert seen == {(True, True, True), (False, True, True), (False, False, True), (False, False, False)}
