"""What an archive of retained rows holds: terms with the ids of their keys, tables, files; never a value."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from handover.model.base import Frozen

# Key ids stand in Parquet files and key lists; those of the keyring have this form.
KeyId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,120}$")]
# A line of bag-info.txt.
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$", strip_whitespace=True)]
Number = Annotated[int, Field(ge=1, le=99_999)]
_SLUG = re.compile(r"[^A-Za-z0-9_]+")
_LONGEST_SLUG = 40


class Term(Frozen):
    """The rows of a class that may be destroyed from one day on; they have keys of their own.

    ``destroy_from`` None: no date yet, because a hold is open, nothing ends the period, or a fact is missing.
    """

    row_class: str
    destroy_from: date | None


class TermKeys(Frozen):
    """A term, its number in file names, and the ids of its keys in the keyring.

    Without ``identifying`` the other columns stay readable; without ``other`` nothing does.
    """

    number: Number
    term: Term
    identifying: KeyId
    other: KeyId


class ArchiveTerms(Frozen):
    """All terms of a case's archive, known before its first row is read."""

    case: Line
    terms: Annotated[tuple[TermKeys, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _nothing_is_shared(self) -> ArchiveTerms:
        numbers = [one.number for one in self.terms]
        terms = [one.term for one in self.terms]
        keys = [key for one in self.terms for key in (one.identifying, one.other)]
        for what, found in (("number", numbers), ("class and date", terms), ("key", keys)):
            if len(set(found)) != len(found):
                raise ValueError(f"two terms share a {what}; destroying one would touch the other")
        return self


class ArchivedColumn(Frozen):
    """A column; ``type`` as format_type writes it, ``comment`` lies only inside encrypted files."""

    name: str
    type: str
    identifying: bool
    comment: str | None = None


class ForeignKey(Frozen):
    """What columns of a table refer to."""

    columns: tuple[str, ...]
    schema_name: str
    table: str
    references: tuple[str, ...]


class ArchivedTable(Frozen):
    """A table as a reader in thirty years needs it; ``number`` stands in its folder's name."""

    number: Number
    schema_name: str
    name: str
    columns: tuple[ArchivedColumn, ...]
    key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str | None = None

    @property
    def label(self) -> str:
        """Return the name for people."""
        return f"{self.schema_name}.{self.name}"

    @property
    def folder(self) -> str:
        """Return where its files lie in the payload; any name makes a plain one."""
        slug = _SLUG.sub("-", self.name)[:_LONGEST_SLUG].strip("-")
        return f"tables/{self.number:03}{f'-{slug}' if slug else ''}"

    def uncommented(self) -> ArchivedTable:
        """Return what may lie in clear: a comment is free text and may name a person."""
        bare = tuple(column.model_copy(update={"comment": None}) for column in self.columns)
        return self.model_copy(update={"columns": bare, "comment": None})


class ArchivedPart(Frozen):
    """A file: the rows of one table and one term, by their numbers; ``file`` is relative to the payload."""

    table: Number
    term: Number
    file: str
    rows: int
    bytes: int
    sha256: str


class Archive(Frozen):
    """Everything that is in a bag, as its index says it."""

    made_on: date
    terms: ArchiveTerms
    tables: tuple[ArchivedTable, ...]
    parts: tuple[ArchivedPart, ...]

    @model_validator(mode="after")
    def _parts_belong(self) -> Archive:
        tables, terms = {t.number for t in self.tables}, {t.number for t in self.terms.terms}
        if len(tables) != len(self.tables) or len({t.label for t in self.tables}) != len(self.tables):
            raise ValueError("two tables share a number or a name")
        if any(part.table not in tables or part.term not in terms for part in self.parts):
            raise ValueError("a part names a table or term that is not in the archive")
        if len({(part.table, part.term) for part in self.parts}) != len(self.parts):
            raise ValueError("two parts hold the same table and term")
        return self

    def uncommented(self) -> Archive:
        """Return what may lie in clear beside the encrypted files."""
        return self.model_copy(update={"tables": tuple(table.uncommented() for table in self.tables)})

    def of_term(self, number: int) -> tuple[ArchivedPart, ...]:
        """Return the files of a term."""
        return tuple(part for part in self.parts if part.term == number)

    def of_table(self, number: int) -> tuple[ArchivedPart, ...]:
        """Return the files of a table."""
        return tuple(part for part in self.parts if part.table == number)


class BagContact(Frozen):
    """Who keeps a bag, for bag-info.txt: an office rather than a person."""

    organization: Line
    name: Line
    email: Line | None = None
    phone: Line | None = None
