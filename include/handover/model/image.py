"""Images: what the values of a masked column can be, as far as their form tells; no value of a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from handover.model.base import Frozen


class Shape(Frozen):
    """Texts that match ``regex`` (of PostgreSQL); ``check`` names a form of number that they are as well."""

    regex: str
    check: str = ""


class Image(Frozen):
    """All that a masked column can hold: a value of any of these, or NULL. Without any of them NULL alone.

    ``values`` are texts that the column's type may write otherwise, ``whole`` the least and greatest of whole
    numbers (decimals, for JSON does not carry them all as numbers), ``multiple_of`` what divides a number.
    """

    shapes: tuple[Shape, ...] = ()
    values: tuple[str, ...] = ()
    whole: tuple[Decimal, Decimal] | None = None
    multiple_of: int | None = None


class RawMention(Frozen):
    """Numbers in a text: pieces that match the group of ``regex``, are of ``check`` and not of ``image``."""

    regex: str
    check: str
    image: Image


@dataclass(frozen=True)
class ColumnImage:
    """What is known of a masked column before a row of it is seen.

    ``image`` is None where the form tells nothing. ``keeps_apart``: different values stay different;
    ``keeps_null``: what was filled stays filled.
    """

    image: Image | None
    mentions: tuple[RawMention, ...]
    keeps_apart: bool
    keeps_null: bool


@dataclass(frozen=True)
class MaskedTable:
    """The masked columns of a table, and those that the server computes, perhaps from masked ones."""

    columns: Mapping[str, ColumnImage] = field(default_factory=dict)
    generated: frozenset[str] = frozenset()
