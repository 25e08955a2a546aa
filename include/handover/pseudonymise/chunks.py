"""Chunks of COPY text whose masked columns are replaced in bulk; all others stay as they are to the byte."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from handover.codec.columns import columns_of, text_of, values_of, written_of
from handover.model.masking import MaskedColumn, Pseudonym, Treatment
from handover.pseudonymise.deciding import REDACT, strategy_of
from handover.pseudonymise.domains import Domain
from handover.pseudonymise.keys import DomainKey
from handover.pseudonymise.redact import Treatments, redact_json, redact_text
from handover.pseudonymise.strategy import Masked, Room, Treated

# The case's pseudonym key for a domain, by its name.
Keys = Callable[[str], bytes]
Column = Callable[[pa.Array, pa.Array | None], Masked]
# Gives rows of some columns, in COPY text, as the server that receives them writes their values.
Rewrite = Callable[[tuple[MaskedColumn, ...], bytes], bytes]
_DOCUMENTS = ("json", "jsonb")
# Types whose values the server writes as they were given; of any other it may choose another form.
_AS_MADE = (
    *("text", "character varying", "character", "citext", "json", "uuid"),
    *("smallint", "integer", "bigint"),
)


@dataclass(frozen=True)
class MaskedChunk:
    """Rows as they are handed over, and how many cells of each masked column were what."""

    data: bytes
    counts: dict[str, dict[str, int]]


class TableMask:
    """What is done to the rows of one table."""

    def __init__(self, columns: tuple[str, ...], masked: Iterable[MaskedColumn], keys: Keys) -> None:
        self._columns = columns
        self._masked = tuple(masked)
        self._work = {one.column: _work(one, keys) for one in self._masked}

    def of(self, data: bytes, rewrite: Rewrite | None = None) -> MaskedChunk:
        """Return a chunk of COPY text with pseudonyms in it; ``rewrite`` is asked where types need it."""
        table = columns_of(data, self._columns)
        counts: dict[str, dict[str, int]] = {}
        raw = {name: values_of(table[name]).cast(pa.string()) for name in self._needed()}
        for one in self._masked:
            room = Room(one.type)
            column = raw[one.column]
            if room.base == "character":  # blanks at the end are none of the value
                column = pc.utf8_rtrim(column, " ")
            made = self._work[one.column](column, raw.get(one.person))
            counts[one.column] = made.counts
            place = table.schema.get_field_index(one.column)
            table = table.set_column(place, one.column, written_of(_fitted(made.column, one, room)))
        again = tuple(one for one in self._masked if not is_as_made(one))
        if rewrite and again:
            names = tuple(one.column for one in again)
            written = columns_of(rewrite(again, text_of(table.select(names))), names)
            for name in names:
                table = table.set_column(table.schema.get_field_index(name), name, written[name])
        return MaskedChunk(text_of(table), counts)

    def _needed(self) -> set[str]:
        return {one.column for one in self._masked} | {one.person for one in self._masked if one.person}


def is_as_made(column: MaskedColumn) -> bool:
    """Say whether a server writes every pseudonym of the column as it was made."""
    return Room(column.type).base in _AS_MADE


def _fitted(column: pa.Array, one: MaskedColumn, room: Room) -> pa.Array:
    """Return texts as the column holds them: a redacted one may have grown, ``character`` is filled up."""
    if room.max_length is None:
        return column
    if one.pseudonym.strategy == REDACT:
        column = pc.utf8_slice_codeunits(column, 0, room.max_length)
    return pc.utf8_rpad(column, room.max_length) if room.base == "character" else column


def _treated(pseudonym: Pseudonym, keys: Keys) -> Treated:
    domain = Domain.model_validate({"name": pseudonym.domain, "writing": pseudonym.writing})
    return Treated(strategy_of(pseudonym.treatment), DomainKey(keys(pseudonym.domain), domain))


def _work(one: MaskedColumn, keys: Keys) -> Column:
    if one.pseudonym.strategy != REDACT:
        treated = _treated(one.pseudonym, keys)
        return lambda column, person: treated.apply(column, person)
    treatments = Treatments(
        kinds={kind: _treated(pseudonym, keys) for kind, pseudonym in one.mentions.items()},
        others=_treated(one.pseudonym.model_copy(update={"treatment": _OTHERS}), keys),
        paths={path: _treated(pseudonym, keys) for path, pseudonym in one.paths.items()},
    )
    redact = redact_json if Room(one.type).base in _DOCUMENTS else redact_text
    return lambda column, person: redact(column, treatments)


# What the mention of a kind without a treatment of its own becomes.
_OTHERS: Treatment = {"strategy": "token", "length": 12}


def total(counts: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Return what many chunks counted, by column."""
    sums: dict[str, Counter[str]] = {}
    for chunk in counts:
        for column, found in chunk.items():
            sums.setdefault(column, Counter()).update(found)
    return {column: dict(found) for column, found in sorted(sums.items())}
