"""Objects that stand in no schema: casts, event triggers, publications, servers and their like.

Carried is what rests on the schemas of a case alone and holds no secret. Everything else stays behind, and
the preflight lists it. An object whose finding the case acknowledges stays behind too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from psycopg import sql

from handover.model.catalog import Finding
from handover.postgres.session import EVENT_TRIGGERS_SINCE, Connection, fetch, major_version
from handover.postgres.types import FIRST_USER_OID

CARRIED = ("CAST", "TRANSFORM", "EVENT TRIGGER", "PUBLICATION")
# These hold for the whole database, so one that touches no schema of the case still belongs to the source.
_OF_THE_DATABASE = frozenset(
    (
        "EVENT TRIGGER",
        "SERVER",
        "FOREIGN DATA WRAPPER",
        "SUBSCRIPTION",
        "PROCEDURAL LANGUAGE",
        "ACCESS METHOD",
    )
)
# Only from this version on can a superuser keep event triggers from firing on our own statements.
QUIET_EVENTS_SINCE = EVENT_TRIGGERS_SINCE // 10000
_ID_WORDS = {"SERVER": "foreign-server", "PROCEDURAL LANGUAGE": "language"}
_REASONS = {
    "SERVER": "its user mappings hold passwords",
    "FOREIGN DATA WRAPPER": "it leads to other servers",
    "SUBSCRIPTION": "it holds a password",
    "PROCEDURAL LANGUAGE": "only a superuser can judge its handlers",
    "ACCESS METHOD": "only a superuser can judge its handler",
}

_LOOSE = """
WITH loose(class, oid, kind, name, superusers_only, everything) AS (
  SELECT 'pg_cast'::regclass, oid, 'CAST', format('CAST (%%s AS %%s)', format_type(castsource, NULL),
         format_type(casttarget, NULL)), castmethod = 'b', false FROM pg_cast
  UNION ALL SELECT 'pg_transform'::regclass, t.oid, 'TRANSFORM', format('TRANSFORM FOR %%s LANGUAGE %%I',
         format_type(trftype, NULL), lanname), false, false
  FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang
  UNION ALL SELECT 'pg_event_trigger'::regclass, oid, 'EVENT TRIGGER', evtname, true, false
  FROM pg_event_trigger
  UNION ALL SELECT 'pg_publication'::regclass, oid, 'PUBLICATION', pubname, false, puballtables {or_schemas}
  FROM pg_publication AS b
  UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 'SERVER', srvname, false, false FROM pg_foreign_server
  UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 'FOREIGN DATA WRAPPER', fdwname, false, false
  FROM pg_foreign_data_wrapper
  UNION ALL SELECT 'pg_subscription'::regclass, %(first)s, 'SUBSCRIPTION', subname, false, false
  FROM pg_subscription
  WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION ALL SELECT 'pg_language'::regclass, oid, 'PROCEDURAL LANGUAGE', lanname, false, false FROM pg_language
  UNION ALL SELECT 'pg_am'::regclass, oid, 'ACCESS METHOD', amname, false, false FROM pg_am
), place(class, oid, namespace) AS (
  SELECT d.classid, d.objid, coalesce(t.typnamespace, p.pronamespace) FROM pg_depend d
  LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
  LEFT JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
  WHERE d.classid IN (SELECT class FROM loose) AND d.refobjid >= %(first)s AND NOT EXISTS (
    SELECT FROM pg_depend e WHERE (e.classid, e.objid, e.deptype) = (d.refclassid, d.refobjid, 'e'))
  UNION ALL SELECT 'pg_publication'::regclass, r.prpubid, c.relnamespace
  FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
)
SELECT l.kind, l.name, l.superusers_only, l.everything,
       coalesce(bool_or(n.nspname = ANY(%(schemas)s)), false),
       coalesce(bool_or(n.nspname <> ALL(%(schemas)s)), false)
FROM loose l LEFT JOIN place p ON (p.class, p.oid) = (l.class, l.oid)
LEFT JOIN pg_namespace n ON n.oid = p.namespace
WHERE l.oid >= %(first)s AND NOT EXISTS (
  SELECT FROM pg_depend e WHERE (e.classid, e.objid, e.deptype) = (l.class, l.oid, 'e'))
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
"""
_OR_SCHEMAS = "OR EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = b.oid)"
_SCHEMAS_PUBLISHED_SINCE = 15
_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


@dataclass(frozen=True)
class LooseObject:
    """An object without a schema, by pg_dump's words; ``inside`` and ``outside`` say what it rests on."""

    kind: str
    name: str
    superusers_only: bool
    everything: bool
    inside: bool
    outside: bool

    @property
    def finding_id(self) -> str:
        """Return what ``acknowledge`` in the case file calls it."""
        return finding_id(self.kind, self.name)

    @property
    def movable(self) -> bool:
        """Say whether it is one that we carry at all."""
        return self.kind in CARRIED and self.inside and not self.outside and not self.everything

    @property
    def concerns_the_case(self) -> bool:
        """Say whether anything is lost when it stays behind."""
        return self.inside or not self.outside or self.kind in _OF_THE_DATABASE


def finding_id(kind: str, name: str) -> str:
    """Return the id of the finding about an object, as in ``event-trigger:audit``."""
    return f"{_ID_WORDS.get(kind, kind.lower().replace(' ', '-'))}:{name.removeprefix(kind + ' ')}"


def read_loose(connection: Connection, schemas: Iterable[str]) -> list[LooseObject]:
    """Return everything in the database that stands in no schema and was made by somebody."""
    since = major_version(connection) >= _SCHEMAS_PUBLISHED_SINCE
    query = sql.SQL(_LOOSE).format(or_schemas=sql.SQL(_OR_SCHEMAS if since else ""))
    rows = connection.execute(query, {"schemas": list(schemas), "first": FIRST_USER_OID})
    return [LooseObject(str(kind), str(name), *map(bool, facts)) for kind, name, *facts in rows]


def left_behind(connection: Connection, schemas: Iterable[str], acknowledged: Iterable[str]) -> set[str]:
    """Return the finding ids of the objects that a dump of the schemas has to leave out."""
    accepted = set(acknowledged)
    found = read_loose(connection, schemas)
    return {item.finding_id for item in found if not item.movable or item.finding_id in accepted}


def check_loose(
    source: Connection, receivers: dict[str, Connection], schemas: Iterable[str]
) -> Iterator[Finding]:
    """List what stays behind; ``receivers`` are the connections that shall create the rest, by field."""
    unable = [field for field, receiver in receivers.items() if not _may_create_all(receiver)]
    for item in read_loose(source, schemas):
        label = f"{item.kind.lower()} {item.name.removeprefix(item.kind + ' ')}"
        if item.movable and not (item.superusers_only and unable):
            continue
        if item.movable:
            message = f"{label} can be created by superusers only (from version {QUIET_EVENTS_SINCE} on), "
            message += f"which the role of {' and '.join(f'{field}.connection' for field in unable)} is not"
            remedy = "connect there as a superuser"
        elif item.concerns_the_case:
            message = f"{label} does not move: {_reason(item)}"
            remedy = "create it in the target yourself if it is wanted there"
        else:
            continue
        yield Finding.to_accept(item.finding_id, message, remedy)


def _may_create_all(receiver: Connection) -> bool:
    return bool(fetch(receiver, _IS_SUPERUSER)[0][0]) and major_version(receiver) >= QUIET_EVENTS_SINCE


def _reason(item: LooseObject) -> str:
    if item.kind in _REASONS:
        return _REASONS[item.kind]
    if item.everything:
        return "it is for all tables of a schema or of the database"
    return "it rests on what is in no schema of the case"
