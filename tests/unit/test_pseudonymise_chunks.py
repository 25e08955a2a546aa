"""Chunks of COPY text: masked columns change, all others stay the same to the last byte."""

from __future__ import annotations

import pytest

from fixtures.pseudonyms import CASE_KEY
from handover.codec.columns import columns_of, text_of
from handover.model.masking import MaskedColumn, Pseudonym
from handover.pseudonymise.chunks import TableMask, is_as_made, total

COLUMNS = ("id", "name", "mobile", "remark")
ROWS = (
    b"1\tone\\ttab\t13800000001\tcall 13800000001 \\\\ now\\n\n"
    b"2\t\\N\t\\N\t\\N\n"
    b"3\t\t+86 138 0000 0001\tnothing \xe4\xbd\xa0\n"
    b"4\tx\tbroken\t\\N\n"
)
MOBILE = Pseudonym(domain="mobile", writing="mobile", treatment={"strategy": "token", "length": 12})
REDACTED = Pseudonym(domain="mentioned", writing="text", treatment={"strategy": "redact"})


def mask(*columns: MaskedColumn) -> TableMask:
    return TableMask(COLUMNS, columns, lambda domain: CASE_KEY)


def mobile(type_name: str = "text") -> MaskedColumn:
    return MaskedColumn(column="mobile", type=type_name, kind="mobile", pseudonym=MOBILE)


def fields(data: bytes) -> list[list[bytes]]:
    return [line.split(b"\t") for line in data.split(b"\n")[:-1]]


def test_only_the_masked_column_changes() -> None:
    made = mask(mobile()).of(ROWS)
    before, after = fields(ROWS), fields(made.data)
    assert [row[:2] + row[3:] for row in before] == [row[:2] + row[3:] for row in after]
    assert after[0][2] == after[2][2] != before[0][2]
    assert after[1][2] == b"\\N"
    assert len({row[2] for row in after}) == 3
    assert made.counts == {"mobile": {"masked": 3, "null": 1, "fallback": 0}}


def test_nothing_masked_is_the_same() -> None:
    assert mask().of(ROWS).data == ROWS


def test_a_mention_gets_the_pseudonym_of_its_column() -> None:
    remark = MaskedColumn(
        column="remark", type="text", kind="free_text", pseudonym=REDACTED, mentions={"mobile": MOBILE}
    )
    made = fields(mask(mobile(), remark).of(ROWS).data)
    assert made[0][3] == b"call " + made[0][2] + b" \\\\ now\\n"
    assert made[2][3] == "nothing 你".encode()


def test_a_redacted_text_is_cut_to_the_column_and_character_is_filled_up() -> None:
    remark = MaskedColumn(
        column="remark",
        type="character varying(17)",
        kind="free_text",
        pseudonym=REDACTED,
        mentions={"mobile": MOBILE},
    )
    made = fields(mask(mobile("character(14)"), remark).of(ROWS).data)
    assert made[0][2].endswith(b"  ") and len(made[0][2]) == 14
    assert made[0][3].startswith(b"call " + made[0][2].rstrip())
    assert b"now" not in made[0][3]


def test_character_that_was_filled_up_is_the_same_value() -> None:
    padded = ROWS.replace(b"\t13800000001\t", b"\t13800000001   \t")
    assert mask(mobile("character(14)")).of(padded).data == mask(mobile("character(14)")).of(ROWS).data


def test_the_server_is_asked_how_it_writes_some_types() -> None:
    year = {"strategy": "generalise", "to": "year"}
    day = MaskedColumn(
        column="name",
        type="timestamp without time zone",
        kind="birth_date",
        pseudonym=Pseudonym(domain="day", writing="exact", treatment=year),
    )
    asked = []

    def rewrite(columns: tuple[MaskedColumn, ...], rows: bytes) -> bytes:
        asked.append(([one.column for one in columns], rows))
        return rows.replace(b"01-01", b"01-01 00:00:00")

    rows = b"1\t1985-06-07 10:00:00\t13800000001\t\\N\n"
    made = mask(day, mobile()).of(rows, rewrite)
    assert asked == [(["name"], b"1985-01-01\n")]
    assert fields(made.data)[0][1] == b"1985-01-01 00:00:00"
    assert (is_as_made(day), is_as_made(mobile())) == (False, True)


def test_counts_of_chunks_add_up() -> None:
    one = {"mobile": {"masked": 2, "null": 1, "fallback": 0}}
    assert total([one, one, {"other": {"masked": 1}}]) == {
        "mobile": {"masked": 4, "null": 2, "fallback": 0},
        "other": {"masked": 1},
    }


@pytest.mark.parametrize("rows", [b"", ROWS, ROWS * 3])
def test_columns_and_back(rows: bytes) -> None:
    if rows:
        assert text_of(columns_of(rows, COLUMNS)) == rows
