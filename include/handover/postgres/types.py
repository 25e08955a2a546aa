"""Types of a database: which travel in binary, and how values are ordered and parted on all servers alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from handover.model.catalog import KeyOrder, Server
from handover.postgres.session import Connection, fetch

# Built-in types whose binary form is the same bytes in every cluster of one major version. Not here,
# and why: reg* and composites carry OIDs, money hangs on lc_monetary, arrays of user types carry OIDs,
# an empty tsquery is sent but refused on arrival.
BINARY_SAFE = frozenset(
    """bool int2 int4 int8 float4 float8 numeric text varchar bpchar bytea date time timetz timestamp
    timestamptz interval uuid json jsonb inet cidr macaddr macaddr8 bit varbit oid tsvector
    point lseg path box polygon line circle int4range int8range numrange daterange tsrange tstzrange
    int4multirange int8multirange nummultirange datemultirange tsmultirange tstzmultirange""".split()  # noqa: SIM905
)
NATURAL_ORDER = frozenset(
    """bool int2 int4 int8 oid numeric float4 float8 date time timestamp timestamptz uuid bytea inet
    cidr macaddr macaddr8 bit varbit money""".split()  # noqa: SIM905
)
BYTE_ORDER = frozenset(("text", "varchar", "bpchar"))
FIRST_USER_OID = 16384
_BYTEWISE = ("C", "POSIX")
_TYPES = """
SELECT oid::bigint, typname, typtype::text, typbasetype::bigint, typelem::bigint, typcategory::text
FROM pg_type
"""


@dataclass(frozen=True)
class Servers:
    """What the servers of a case have in common: text without a collation of its own is ordered byte by
    byte on all of them (``bytewise``), and they store text in one encoding.
    """

    bytewise: bool
    one_encoding: bool

    @classmethod
    def of(cls, servers: Iterable[Server]) -> Servers:
        """Compare them."""
        found = list(servers)
        return cls(
            bytewise=all(server.collation in _BYTEWISE for server in found),
            one_encoding=len({server.encoding for server in found}) == 1,
        )


# To look at a catalog for its own sake.
ALIKE = Servers(bytewise=True, one_encoding=True)


class Types:
    """Knows every type of the database by OID."""

    def __init__(self, connection: Connection) -> None:
        self._rows = {cast(int, row[0]): row[1:] for row in fetch(connection, _TYPES)}

    def base(self, oid: int) -> tuple[int, str]:
        """Return the type below all domains."""
        name, kind, below, *_ = self._rows[oid]
        return self.base(cast(int, below)) if kind == "d" else (oid, str(name))

    def is_enum(self, oid: int) -> bool:
        return self._rows[self.base(oid)[0]][1] == "e"

    def binary_safe(self, oid: int) -> bool:
        base, name = self.base(oid)
        _, kind, _, element, category = self._rows[base]
        if kind == "e":
            return True
        if base >= FIRST_USER_OID:
            return False
        if category == "A" and element:
            return self.binary_safe(cast(int, element))
        return name in BINARY_SAFE

    def order(self, oid: int, collation: int, servers: Servers) -> KeyOrder:
        _, name = self.base(oid)
        if name in NATURAL_ORDER or self.is_enum(oid):
            return "natural"
        if not servers.one_encoding:
            return "utf8"
        if name in BYTE_ORDER:
            default_collation = 100
            return "natural" if servers.bytewise and collation == default_collation else "bytes"
        return "text"

    def stays_in_its_partition(
        self, strategy: str, oid: int | None, deterministic: bool, servers: Servers
    ) -> bool:
        """Say whether every server puts a value of the type into the same partition of a table."""
        if oid is None:
            return strategy != "h"
        _, name = self.base(oid)
        if name in BYTE_ORDER:
            alike = servers.one_encoding if strategy == "h" else servers.bytewise
            return deterministic and (alike or strategy == "l")
        # What hangs on OIDs (an enum's hash) or on functions of a type's own is another one elsewhere.
        return strategy != "h" or name in NATURAL_ORDER
