"""Makes the stores of the sample VIE: what each of its three entities holds of one generated company."""

from __future__ import annotations

from contextlib import closing

from psycopg import sql

from handover.postgres.session import Connection, connect, database_errors, fetch
from handover.sample.company import SCHEMAS, generate

SCHEMA = SCHEMAS[0]
# By the connection that the entity's case names: the tables that stay. All of them are of one schema.
STORES: dict[str, tuple[str, ...]] = {
    "vie_operating": ("customers", "consents", "device_logs", "page_views"),
    "vie_wfoe": ("customers", "device_logs", "page_views"),
    "vie_parent": ("customers", "loans"),
}
_OTHERS = """
    SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p')
    AND NOT relispartition AND relname <> ALL (%s)
"""


def generate_store(url: str, store: str, *, rows: int, seed: int = 1) -> dict[str, int]:
    """Create an entity's store in an empty database: of a company of about so many rows, its tables.

    Returns the rows by table. The same seed gives the same persons in each store.
    """
    made = generate(url, rows=rows, seed=seed)
    with database_errors(f"the sample store {store}"), closing(connect(url)) as connection:
        _keep(connection, STORES[store])
    return {f"{SCHEMA}.{table}": made[f"{SCHEMA}.{table}"] for table in STORES[store]}


def _keep(connection: Connection, tables: tuple[str, ...]) -> None:
    """Drop what is not the entity's, at once; what rests on it goes along."""
    with connection.transaction():
        for name in SCHEMAS[1:]:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
        for (other,) in fetch(connection, _OTHERS, SCHEMA, list(tables)):
            table = sql.Identifier(SCHEMA, str(other))
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(table))
        connection.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
