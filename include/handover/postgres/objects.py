"""What a schema dump does not carry: extensions, sequence values, large objects, filled views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg import sql

from handover.model.catalog import Extension, Grant, LargeObject, Sequence
from handover.postgres.copying import copy_into
from handover.postgres.session import Connection, database_errors, fetch, qualified


def create_extensions(connection: Connection, extensions: Iterable[Extension]) -> None:
    """Create the source's extensions in schemas of the same name, in the version the server prefers."""
    for extension in extensions:
        with database_errors(f"creating extension {extension.name}"):
            schema = sql.Identifier(extension.schema_name)
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
            connection.execute(
                sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} CASCADE").format(
                    sql.Identifier(extension.name), schema
                )
            )


def set_sequences(connection: Connection, sequences: Iterable[Sequence]) -> None:
    """Put sequences where the source's stood; safe to repeat."""
    for sequence in sequences:
        with database_errors(f"setting sequence {sequence.schema_name}.{sequence.name}"):
            connection.execute(
                "SELECT setval(%s::regclass, %s, %s)",
                (
                    qualified(sequence.schema_name, sequence.name).as_string(connection),
                    sequence.last_value,
                    sequence.is_called,
                ),
            )


_LARGE_OBJECTS = """
SELECT m.oid::bigint, obj_description(m.oid, 'pg_largeobject'), m.lomacl IS NULL,
       a.grantee, a.role, a.privilege_type, a.is_grantable
FROM pg_largeobject_metadata m LEFT JOIN LATERAL (
  SELECT CASE x.grantee WHEN m.lomowner THEN 'owner' WHEN 0 THEN 'public' ELSE 'role' END AS grantee,
         pg_get_userbyid(x.grantee) AS role, x.privilege_type, x.is_grantable
  FROM aclexplode(m.lomacl) AS x) AS a ON true
ORDER BY 1, 4, 5, 6
"""


def read_large_objects(connection: Connection) -> tuple[LargeObject, ...]:
    """Return comments and grants of all large objects."""
    grants: dict[int, list[Grant]] = {}
    found: dict[int, tuple[str | None, bool]] = {}
    for oid, comment, untouched, kind, role, privilege, grantable in fetch(connection, _LARGE_OBJECTS):
        number = int(str(oid))
        found[number] = (None if comment is None else str(comment), bool(untouched))
        if kind is not None:
            name = {"owner": None, "public": ""}.get(str(kind), str(role))
            grants.setdefault(number, []).append(
                Grant(role=name, privilege=str(privilege), grantable=bool(grantable))
            )
    return tuple(
        LargeObject(oid=oid, comment=comment, grants=None if untouched else tuple(grants.get(oid, [])))
        for oid, (comment, untouched) in found.items()
    )


def describe_large_objects(connection: Connection, objects: Iterable[LargeObject]) -> None:
    """Give large objects their comments and grants; safe to repeat."""
    for item in objects:
        name = sql.SQL("LARGE OBJECT {}").format(sql.Literal(item.oid))
        with database_errors(f"describing large object {item.oid}"):
            if item.comment is not None:
                connection.execute(sql.SQL("COMMENT ON {} IS {}").format(name, sql.Literal(item.comment)))
            if item.grants is not None:
                connection.execute(sql.SQL("REVOKE ALL ON {} FROM PUBLIC, CURRENT_USER").format(name))
            for grant in item.grants or ():
                connection.execute(_grant(name, grant))


def _grant(name: sql.Composable, grant: Grant) -> sql.Composed:
    special = {None: "CURRENT_USER", "": "PUBLIC"}
    role = sql.SQL(special[grant.role]) if grant.role in special else sql.Identifier(str(grant.role))
    option = sql.SQL(" WITH GRANT OPTION" if grant.grantable else "")
    privilege = {"SELECT": sql.SQL("SELECT"), "UPDATE": sql.SQL("UPDATE")}[grant.privilege]
    return sql.SQL("GRANT {} ON {} TO {}{}").format(privilege, name, role, option)


def load_large_objects(connection: Connection, data: bytes) -> int:
    """Write pages of large objects inside the caller's transaction and return how many pages there were."""
    connection.execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS handover_page (oid oid, at bigint, data bytea) ON COMMIT DROP"
    )
    pages = copy_into(connection, sql.SQL("pg_temp.handover_page"), ("oid", "at", "data"), "binary", data)
    connection.execute("SELECT lo_create(oid) FROM pg_temp.handover_page WHERE at = 0")
    connection.execute("SELECT lo_put(oid, at, data) FROM pg_temp.handover_page WHERE length(data) > 0")
    return pages


# What the rows of a view may hang on without a word of it in its query: a timestamp's day on the time zone,
# its text on the date style. Not extra_float_digits, which could hide a difference from the comparison.
_SEEN_IN_VIEWS = (
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "bytea_output",
    "default_text_search_config",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
)


def own_settings(connection: Connection) -> dict[str, str]:
    """Return the settings that views are filled under in sessions of this role and database."""
    query = "SELECT name, reset_val FROM pg_settings WHERE name = ANY(%s)"
    return {str(name): str(value) for name, value in fetch(connection, query, list(_SEEN_IN_VIEWS))}


def adopt(connection: Connection, settings: Mapping[str, str]) -> None:
    """See views as the source's own sessions do, until this session ends."""
    for name, value in settings.items():
        with database_errors(f"setting {name} as it is in the source"):
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def refresh(connection: Connection, schema: str, name: str) -> None:
    """Fill a materialised view; safe to repeat."""
    with database_errors(f"refreshing {schema}.{name}"):
        connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(qualified(schema, name)))


def view_definition(connection: Connection, schema: str, name: str) -> sql.Composed:
    """Return the query of a view in parentheses."""
    view = qualified(schema, name).as_string(connection)
    text = str(fetch(connection, "SELECT pg_get_viewdef(%s::regclass)", view)[0][0])
    return sql.SQL("({})").format(sql.SQL(text.rstrip().removesuffix(";")))


def view_rows(definition: sql.Composable) -> sql.Composed:
    """Return the query for the rows of a view or of its definition, in the order of their text in UTF-8."""
    return sql.SQL("SELECT t.* FROM {} AS t ORDER BY convert_to(ROW(t.*)::text, 'UTF8')").format(definition)
