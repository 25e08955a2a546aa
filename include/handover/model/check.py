"""What a gate of a policy asks, as data: a small set of checks, each closed while an input is missing.

Taking an input away opens no check; a negation or an expression would break that, so there is none.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from handover.model.base import Frozen

# Dotted fields of the facts; ``[]`` means each element, of which there must be at least one.
FactPath = Annotated[str, StringConstraints(pattern=r"^(matter|data)(\.[a-z_0-9]+(\[\])?)+$")]
DocumentKind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,62}$")]
Count = Annotated[int, Field(ge=0)]
SpecialName = Literal[
    "case_type",
    "columns_have_purposes",
    "every_operation_has_a_basis",
    "purpose_unchanged",
    "retention_is_planned",
    "deletions_are_free",
    "export_has_a_mechanism",
    "impact_assessment_covers_the_run",
    "labels_are_honest",
    "risk_controls_are_on",
    "departments_signed",
    "incidents_were_reported",
    "claims_are_settled",
]


class Present(Frozen):
    """Each fact is stated."""

    kind: Literal["present"]
    facts: Annotated[tuple[FactPath, ...], Field(min_length=1)]


class HasDocument(Frozen):
    """A document of this kind is registered, unchanged, in force and signed; ``per``: one for each name."""

    kind: Literal["document"]
    of_kind: DocumentKind
    per: FactPath | None = None
    clauses: tuple[DocumentKind, ...] = ()
    max_age_days: Annotated[int, Field(ge=1)] | None = None


class Compare(Frozen):
    """Each of the facts is a number within the limits."""

    kind: Literal["compare"]
    fact: FactPath
    at_least: Count | None = None
    at_most: Count | None = None

    @model_validator(mode="after")
    def _has_a_limit(self) -> Compare:
        if self.at_least is None and self.at_most is None:
            raise ValueError("compare has no limit; give at_least or at_most")
        return self


class Covers(Frozen):
    """The numbers ``by`` add up to at least the number ``of``."""

    kind: Literal["covers"]
    of: FactPath
    by: Annotated[tuple[FactPath, ...], Field(min_length=1)]


class Among(Frozen):
    """Each of the facts is one of these values."""

    kind: Literal["among"]
    fact: FactPath
    values: Annotated[tuple[str | bool, ...], Field(min_length=1)]


class Contains(Frozen):
    """The list has all of these."""

    kind: Literal["contains"]
    fact: FactPath
    values: Annotated[tuple[str, ...], Field(min_length=1)]


class HasOpinion(Frozen):
    """A named counsel's opinion about ``about``, dated and on file, carries what else would be missing."""

    kind: Literal["opinion"]
    about: str


class ByHand(Frozen):
    """No data decides this: a named person must accept it with a reason."""

    kind: Literal["by_hand"]


class Special(Frozen):
    """A named check of the law package, for what the general ones cannot say."""

    kind: Literal["special"]
    name: SpecialName


class AllOf(Frozen):
    """Every one of the checks passes."""

    kind: Literal["all"]
    checks: Annotated[tuple[Part, ...], Field(min_length=1)]


class AnyOf(Frozen):
    """At least one of the checks passes."""

    kind: Literal["any"]
    checks: Annotated[tuple[Part, ...], Field(min_length=2)]


Part = Annotated[
    Present | HasDocument | Compare | Covers | Among | Contains | HasOpinion | Special | AllOf | AnyOf,
    Field(discriminator="kind"),
]
Check = Annotated[
    Present
    | HasDocument
    | Compare
    | Covers
    | Among
    | Contains
    | HasOpinion
    | Special
    | AllOf
    | AnyOf
    | ByHand,
    Field(discriminator="kind"),
]

CHECK_KINDS = (
    "present", "document", "compare", "covers", "among", "contains", "opinion", "by_hand", "special", "all",
    "any",
)  # fmt: skip


class Known(Frozen):
    """A fact that is known to be ``equals``, or ``below`` a number; what is unknown never matches."""

    fact: FactPath
    equals: str | bool | int | tuple[()] | None = None
    below: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Known:
        if (self.equals is None) == (self.below is None):
            raise ValueError("give either equals or below")
        return self
