"""Who is behind pseudonyms: by the key where a strategy can be turned back, else by masking the backup again.

Whether somebody may know is decided in ``revealing``. Nothing of what is found here is written down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from handover.classify.find import find
from handover.classify.shapes import plain
from handover.codec.columns import columns_of, text_of, values_of, written_of
from handover.model.masking import MaskedColumn, Pseudonym
from handover.model.plan import Plan
from handover.pseudonymise.chunks import TableMask
from handover.pseudonymise.deciding import REDACT, strategy_of
from handover.pseudonymise.domains import Domain
from handover.pseudonymise.keys import DomainKey
from handover.pseudonymise.literals import is_at, is_document, literals
from handover.pseudonymise.replacing import Fpe, Permute
from handover.pseudonymise.strategy import Room
from handover.stages.backup_index import read_index
from handover.stages.context import Context
from handover.stages.loading import read_chunk
from handover.stages.pseudonyms import domain_key, mask_of
from handover.vault.roots import Purpose

# What stands for one value. A district or a year stands for many people and was never anybody's pseudonym.
REPLACING = ("token", "fpe", "permute", "choice")
_BLANK = " "
_VALUE = ("value",)
_DOCUMENTS = ("json", "jsonb")


class How(StrEnum):
    """From where a value is known, or why none is: it is in no backup, or the backup is gone."""

    KEY = "key"
    BACKUP = "backup"
    NOT_FOUND = "not found"
    GONE = "cannot be found any more"


@dataclass(frozen=True)
class Behind:
    """What is behind a pseudonym; several values may share one that does not keep all apart."""

    how: How
    values: frozenset[str] = field(default=frozenset(), repr=False)


def standing_for(plan: Plan, domain: str) -> tuple[Pseudonym, ...]:
    """Return what makes pseudonyms in a domain, at the target or in place."""
    found: list[Pseudonym] = []
    for one in (column for table in plan.tables for column in (*table.masked, *table.masked_here)):
        for made in (one.pseudonym, *one.mentions.values(), *one.paths.values()):
            if made.domain == domain and made.strategy in REPLACING and made not in found:
                found.append(made)
    return tuple(found)


def domains_of(plan: Plan) -> list[str]:
    """Return the domains in which a plan makes pseudonyms."""
    columns = (column for table in plan.tables for column in (*table.masked, *table.masked_here))
    return sorted(name for name in {d for one in columns for d in one.domains} if standing_for(plan, name))


def has_backup(context: Context) -> bool:
    """Say whether the key of the run's backup is still there."""
    return context.keyring.find(Purpose.BACKUP, context.backup_name) is not None


def can_be_found(context: Context, domain: str) -> bool:
    """Say whether anything of a domain can still be found."""
    made = standing_for(context.plan(), domain)
    return has_backup(context) or any(isinstance(strategy_of(m.treatment), Fpe | Permute) for m in made)


def behind(context: Context, domain: str, pseudonyms: Sequence[str]) -> dict[str, Behind]:
    """Return what is behind each pseudonym of a domain."""
    made = standing_for(context.plan(), domain)
    # A value that FF1 could not take got a token, of another form: what it gives back is all there is. A
    # permutation also gives back a number for what was none, so that it counts only without a backup.
    enciphered = _turned_back(context, (m for m in made if m.strategy == "fpe"), pseudonyms)
    rest = [one for one in pseudonyms if one not in enciphered]
    if not rest or has_backup(context):
        found, otherwise = _searched(context, domain, rest) if rest else {}, How.NOT_FOUND
        permuted: dict[str, set[str]] = {}
    else:
        found, otherwise = {}, How.GONE
        permuted = _turned_back(context, (m for m in made if m.strategy == "permute"), rest)
    return {
        one: Behind(How.KEY, frozenset(enciphered[one]))
        if one in enciphered
        else Behind(How.BACKUP, frozenset(found[one]))
        if one in found
        else Behind(How.KEY, frozenset(permuted[one]))
        if one in permuted
        else Behind(otherwise)
        for one in pseudonyms
    }


def _turned_back(
    context: Context, made: Iterable[Pseudonym], pseudonyms: Sequence[str]
) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for one in made:
        strategy = strategy_of(one.treatment)
        if isinstance(strategy, Fpe | Permute):
            domain = Domain.model_validate({"name": one.domain, "writing": one.writing})
            key = DomainKey(domain_key(context, one.domain), domain)
            values = strategy.reveal(pa.array(pseudonyms, pa.string()), key).to_pylist()
            for pseudonym, value in zip(pseudonyms, values, strict=True):
                if value is not None:
                    found[pseudonym].add(value)
    return dict(found)


def _searched(context: Context, domain: str, pseudonyms: Sequence[str]) -> dict[str, set[str]]:
    """Mask every value of the domain in the run's backup again, and return those that become one of these."""
    search = _Search(context, domain, pa.array(pseudonyms, pa.large_string()))
    index = read_index(context)
    for table in index.plan.tables:
        columns = [
            one
            for one in (*table.masked, *table.masked_here)
            if domain in one.domains and (one.pseudonym.strategy in REPLACING or _is_redacted(one))
        ]
        if not columns:
            continue
        for group in (group for group in index.plan.groups() if group.table == table.id):
            for receipt in index.of(group):
                rows = columns_of(read_chunk(context, index, receipt), table.columns)
                for one in columns:
                    search.column(one, values_of(rows[one.column]).drop_null().unique())
    return dict(search.found)


@dataclass
class _Search:
    context: Context
    domain: str
    wanted: pa.Array
    found: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set), repr=False)
    _masks: dict[str, TableMask] = field(default_factory=dict, repr=False)

    def column(self, one: MaskedColumn, values: pa.Array) -> None:
        """Look at the distinct values of a column."""
        if not _is_redacted(one):
            is_filled_up = Room(one.type).base == "character"
            self._look(one.pseudonym, pc.utf8_rtrim(values, _BLANK) if is_filled_up else values)
            return
        mentions: dict[str, set[str]] = defaultdict(set)
        made: dict[str, Pseudonym] = {}
        for pseudonym, raw in _mentioned(one, values.to_pylist()):
            if pseudonym.domain == self.domain:
                made[name := pseudonym.model_dump_json()] = pseudonym
                mentions[name].add(raw)
        for name, texts in mentions.items():
            self._look(made[name], pa.array(sorted(texts), pa.large_string()))

    def _look(self, made: Pseudonym, values: pa.Array) -> None:
        if not len(values):
            return
        rows = text_of(pa.table({"value": pa.chunked_array([written_of(values)])}))
        masked = values_of(columns_of(self._mask(made).of(rows).data, _VALUE)["value"])
        hits = pc.is_in(masked, value_set=self.wanted)
        for raw, pseudonym in zip(
            values.filter(hits).to_pylist(), masked.filter(hits).to_pylist(), strict=True
        ):
            self.found[pseudonym].add(raw)

    def _mask(self, made: Pseudonym) -> TableMask:
        name = made.model_dump_json()
        if name not in self._masks:
            column = MaskedColumn(column="value", type="text", kind="none", pseudonym=made)
            self._masks[name] = mask_of(self.context, _VALUE, [column])
        return self._masks[name]


def _is_redacted(one: MaskedColumn) -> bool:
    return one.pseudonym.strategy == REDACT


def _mentioned(one: MaskedColumn, texts: Iterable[str]) -> Iterator[tuple[Pseudonym, str]]:
    """Yield what is replaced inside texts, with what replaces it."""
    for text in texts:
        if Room(one.type).base not in _DOCUMENTS or not is_document(text):
            yield from _in_text(one, text)
            continue
        for literal in literals(text):
            at = next((made for path, made in one.paths.items() if is_at(literal, path)), None)
            if at:
                yield at, literal.text
            else:
                yield from _in_text(one, literal.text)


def _in_text(one: MaskedColumn, text: str) -> Iterator[tuple[Pseudonym, str]]:
    normal = plain(text)
    for mention in find(normal):
        if mention.kind in one.mentions:
            yield one.mentions[mention.kind], normal[mention.start : mention.end]
