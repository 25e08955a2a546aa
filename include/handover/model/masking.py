"""Masked columns: what of a table arrives as a pseudonym, by which strategy, and with whose key.

De-identified data is still personal data; only the end of its keys and the re-identification test together
make more of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, StringConstraints

from handover.model.base import Frozen

DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
# A strategy as a data map or policy writes it; handover.pseudonymise.strategies knows what may stand there.
Treatment = dict[str, JsonValue]
# RFC 8785: whole numbers that every reader of JSON takes for the same.
LARGEST_EXACT = 2**53 - 1


def _names_a_strategy(treatment: Treatment) -> Treatment:
    if not isinstance(treatment.get("strategy"), str):
        raise ValueError("treatment names no strategy; write treatment: {strategy: NAME}")
    if not isinstance(treatment.get("domain", ""), str):
        raise ValueError("domain is no name; write it as a word")
    for name, value in treatment.items():
        if isinstance(value, int) and abs(value) > LARGEST_EXACT:
            raise ValueError(
                f"{name} is beyond {LARGEST_EXACT}, which JSON carries exactly; write a smaller one"
            )
    return treatment


TreatmentEntry = Annotated[Treatment, AfterValidator(_names_a_strategy)]


class Pseudonym(Frozen):
    """A strategy in a domain: columns that share the domain get equal pseudonyms for equal values.

    ``writing`` says how values are written, so that differently written ones are one.
    """

    domain: DomainName
    writing: str
    treatment: Treatment

    @property
    def strategy(self) -> str:
        """Return the strategy's name."""
        return str(self.treatment["strategy"])


class MaskedColumn(Frozen):
    """A column that is masked. ``person`` is the column of the row by which a person is known, where asked.

    In a redacted text every mention of a kind gets the pseudonym of ``mentions``, a value at a JSON path the
    one of ``paths``.
    """

    column: str
    type: str
    kind: str
    pseudonym: Pseudonym
    person: str = ""
    mentions: dict[str, Pseudonym] = Field(default={})
    paths: dict[str, Pseudonym] = Field(default={})

    @property
    def domains(self) -> set[str]:
        """Return the names of all domains whose keys the column needs."""
        return {one.domain for one in (self.pseudonym, *self.mentions.values(), *self.paths.values())}


@dataclass(frozen=True)
class Masks:
    """The masked columns by schema and table or partition: as rows arrive, and as rows stay."""

    away: Mapping[tuple[str, str], tuple[MaskedColumn, ...]]
    here: Mapping[tuple[str, str], tuple[MaskedColumn, ...]]


NO_MASKS = Masks({}, {})


class Pseudonyms(Frozen):
    """What a case says of its pseudonyms.

    ``keys``: kept after closing, so that two persons together can find who is behind a pseudonym, or
    destroyed. ``realistic``: domains whose pseudonyms may be numbers that somebody has.
    """

    keys: Literal["keep", "destroy"] = "keep"
    realistic: tuple[DomainName, ...] = ()


class Thresholds(Frozen):
    """What a policy allows of re-identification; an equal figure is within.

    ``smallest_class``: k. ``diversity``: l, distinct values of each sensitive column in every class.
    ``record_risk``: above it a record is at risk. The others: share of unique records, share of records at
    risk, and mean risk.
    """

    smallest_class: int = Field(ge=1)
    diversity: int = Field(ge=1)
    record_risk: float = Field(gt=0, le=1)
    unique_share: float = Field(ge=0, le=1)
    at_risk_share: float = Field(ge=0, le=1)
    mean_risk: float = Field(gt=0, le=1)
