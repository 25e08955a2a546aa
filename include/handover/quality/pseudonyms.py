"""Expectations of the target alone: a masked column holds pseudonyms, and nothing that looks raw."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from handover.model.expectation import Asked, TableFacts
from handover.model.image import Image, MaskedTable, RawMention
from handover.quality import formats
from handover.quality.kind import Kind, OfColumn, OfRow, column_of
from handover.quality.kinds import CompoundUnique, NotNull, Unique

_WHOLE = "^-?[0-9]{1,18}$"
_NUMBER = "^-?[0-9]+([.][0-9]+)?(e[+-]?[0-9]+)?$"


class Pseudonyms(OfColumn, OfRow):
    """Each value is one that the column's strategy can make: a raw one is mostly of another form."""

    short = "pseudonym"
    counted = True
    image: Image

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of a value that the strategy never makes."""
        column = column_of(table, self.column)
        kind = next(fact.type for fact in table.columns if fact.name == self.column)
        return sql.SQL("{} IS NOT NULL AND NOT {}").format(column, _one_of(column, kind, self.image))


class NoRawMention(OfColumn, OfRow):
    """No number of a person stands inside a text unless it is a pseudonym."""

    short = "raw_mention"
    counted = True
    mention: RawMention

    def condition(self, table: TableFacts) -> sql.Composable:
        """Return what is true of a text with a number that is valid and no pseudonym."""
        piece = sql.SQL("upper(mentioned.piece[1])")
        return sql.SQL(
            "EXISTS (SELECT FROM regexp_matches({}::text, {}, 'g') AS mentioned(piece) WHERE {} AND NOT {})"
        ).format(
            column_of(table, self.column),
            sql.Literal(self.mention.regex),
            formats.FORMS[self.mention.check](piece),
            _one_of(piece, "text", self.mention.image),
        )


def _one_of(value: sql.Composable, type_name: str, image: Image) -> sql.Composed:
    """Return the condition that a value, which is not NULL, is of an image."""
    text = sql.SQL("{}::text").format(value)
    ways = [*_shaped(text, image), *_valued(text, type_name, image), *_numbered(text, image)]
    return sql.SQL("({})").format(sql.SQL(" OR ").join([sql.SQL("false"), *ways]))


def _shaped(text: sql.Composable, image: Image) -> Iterator[sql.Composed]:
    for shape in image.shapes:
        matches = sql.SQL("{} ~ {}").format(text, sql.Literal(shape.regex))
        if shape.check:
            matches = sql.SQL("({} AND {})").format(matches, formats.FORMS[shape.check](text))
        yield matches


def _valued(text: sql.Composable, type_name: str, image: Image) -> Iterator[sql.Composed]:
    if image.values:
        # The type's name is the database's own; through it a text is written as the column writes it.
        written = [
            sql.SQL("({}::{})::text").format(sql.Literal(value), sql.SQL(type_name)) for value in image.values
        ]
        yield sql.SQL("{} IN ({})").format(text, sql.SQL(", ").join(written))


def _numbered(text: sql.Composable, image: Image) -> Iterator[sql.Composed]:
    number = sql.SQL("CASE WHEN {} ~ {} THEN {} ELSE false END")
    if image.whole:
        inside = sql.SQL("{}::numeric BETWEEN {} AND {}").format(text, *map(sql.Literal, image.whole))
        yield number.format(text, sql.Literal(_WHOLE), inside)
    if image.multiple_of:
        divided = sql.SQL("mod({}::numeric, {}) = 0").format(text, sql.Literal(image.multiple_of))
        yield number.format(text, sql.Literal(_NUMBER), divided)


def arriving(table: MaskedTable) -> Iterator[Kind]:
    """Yield what the target alone must hold of a table's masked columns."""
    for name, known in table.columns.items():
        if known.image is not None:
            yield Pseudonyms(column=name, image=known.image)
        for mention in known.mentions:
            yield NoRawMention(column=name, mention=mention)


def asked_of(kind: Kind, table: MaskedTable | None) -> Asked:
    """Return which side is asked what hangs on values: of masked ones only the source can say."""
    if table is None:
        return "both"
    if isinstance(kind, Pseudonyms | NoRawMention):
        return "target"
    if table.generated.intersection(kind.columns):
        return "source"
    masked = [table.columns[name] for name in kind.columns if name in table.columns]
    if isinstance(kind, NotNull):
        kept = all(one.keeps_null for one in masked)
    elif isinstance(kind, Unique | CompoundUnique):
        kept = all(one.keeps_apart for one in masked)
    else:
        kept = not masked
    return "both" if kept else "source"
