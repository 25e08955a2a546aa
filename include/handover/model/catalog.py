"""What a database holds: names, types and sizes, never a value of a row."""

from __future__ import annotations

from typing import Literal

from handover.model.base import Frozen

# How a key column is put in an order that two servers agree on: as the type orders itself, byte by
# byte, by the bytes of its text (types whose order hangs on a collation or is not defined), or by the
# bytes that its text has in UTF-8 (servers of different encodings: the bytes they store differ in order).
KeyOrder = Literal["natural", "bytes", "text", "utf8"]


class Column(Frozen):
    """A column in table order. ``binary_safe``: COPY BINARY carries it between clusters unchanged."""

    name: str
    type: str
    binary_safe: bool
    generated: bool = False


class KeyColumn(Frozen):
    """A column of the key by which a table is ordered."""

    name: str
    type: str
    order: KeyOrder


class Table(Frozen):
    """A table that holds rows itself: plain, leaf partition or inheritance child.

    ``partitioned``: instead a partitioned table whose rows may belong to other partitions in the target, so
    that all of them are read and loaded through it. ``row_order`` is that of whole rows, used without a key.
    """

    schema_name: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[KeyColumn, ...]
    rows_estimate: int
    bytes: int
    partitioned: bool = False
    row_order: Literal["bytes", "utf8"] = "bytes"

    @property
    def label(self) -> str:
        """Return the name for people."""
        return f"{self.schema_name}.{self.name}"


class Sequence(Frozen):
    """Where a sequence stands. Read after the snapshot, so never behind a row of it."""

    schema_name: str
    name: str
    last_value: int
    is_called: bool


class MaterializedView(Frozen):
    """A materialised view, in an order in which all can be refreshed one after the other.

    ``populated``: it is filled and a refresh can fill it, for so is every one that it reads.
    ``on_others``: it reads other materialised views, whose stored rows in the source may be out of date.
    """

    schema_name: str
    name: str
    populated: bool
    on_others: bool


class Grant(Frozen):
    """One privilege; ``role`` is empty for PUBLIC and None for the owner, whatever its name."""

    role: str | None
    privilege: str
    grantable: bool


class LargeObject(Frozen):
    """What belongs to a large object beside its bytes; ``grants`` is None when nobody ever granted."""

    oid: int
    comment: str | None
    grants: tuple[Grant, ...] | None


class Extension(Frozen):
    """An installed extension."""

    name: str
    schema_name: str
    version: str


class Server(Frozen):
    """Facts of the server and database behind a connection."""

    version: str
    major: int
    system: str
    database: str
    role: str
    encoding: str
    collation: str


class Catalog(Frozen):
    """The inventory of the schemas of a case."""

    server: Server
    tables: tuple[Table, ...]
    materialized_views: tuple[MaterializedView, ...]
    extensions: tuple[Extension, ...]
    large_objects: int


class Finding(Frozen):
    """Something in the way. ``id`` is what ``acknowledge`` in the case file may name."""

    id: str
    message: str
    remedy: str
    acknowledgeable: bool = False

    @classmethod
    def to_accept(cls, finding_id: str, message: str, remedy: str) -> Finding:
        """Return a finding that a person may remedy or accept."""
        remedy = f"{remedy}, or list {finding_id} under acknowledge"
        return cls(id=finding_id, message=message, remedy=remedy, acknowledgeable=True)
