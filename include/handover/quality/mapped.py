"""What a confirmed data map says of its columns: the form of their values, and which of them must be filled.

Dirty data must not stop a move, so that these only warn of what the source has; what the target has otherwise
is a fault of the move as always. Whoever wants more of a column writes the same into a suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from handover.model.datamap import ColumnEntry, DataMap
from handover.model.expectation import ColumnFact, TableFacts, TableName
from handover.quality.kind import Kind
from handover.quality.kinds import (
    CardNumber,
    CreditCode,
    EmailAddress,
    Format,
    IdentityNumber,
    MobileNumber,
    NotNull,
)

# Residence permits have the form and the check digit of identity numbers.
FORMS: dict[str, type[Format]] = {
    "resident_id": IdentityNumber,
    "residence_permit": IdentityNumber,
    "mobile": MobileNumber,
    "bank_card": CardNumber,
    "uscc": CreditCode,
    "owner_uscc": CreditCode,
    "email": EmailAddress,
}
# B05: name, contact, identity number, bank. Dates, amounts and accounts of a voucher have no kind by which
# to know them: the map says of these columns that they are mandatory.
MANDATORY = frozenset(("person_name", "mobile", "phone", "resident_id", "bank_card", "account_no"))
# Types whose text is not that of one value.
_NOT_ONE_TEXT = ("bytea", "json", "jsonb", "xml")


def mapped(
    datamap: DataMap, facts: Mapping[TableName, TableFacts], parts: Mapping[TableName, list[TableName]]
) -> Iterator[tuple[TableName, Kind]]:
    """Yield what is expected of each table that travels; ``parts`` gives those of each table of the map.

    What the map does not know, and what is gone since, is not told here: other checks block on it.
    """
    for dataset in datamap.datasets:
        tables = [(table.schema_name, table.name) for table in (dataset.table, *dataset.partitions)]
        for name in dict.fromkeys(part for table in tables for part in parts.get(table, ())):
            for fact in facts[name].columns:
                if fact.name in dataset.columns:
                    for kind in _of_column(fact, dataset.columns[fact.name]):
                        yield name, kind


def _of_column(fact: ColumnFact, entry: ColumnEntry) -> Iterator[Kind]:
    if entry.kind in FORMS and not fact.type.endswith("[]") and fact.type not in _NOT_ONE_TEXT:
        yield FORMS[entry.kind](column=fact.name)
    if entry.kind in MANDATORY if entry.mandatory is None else entry.mandatory:
        yield NotNull(column=fact.name)
