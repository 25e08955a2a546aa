"""Who holds dead rows back: sessions, prepared transactions and slots that can still see erased rows."""

from __future__ import annotations

from handover.postgres.session import Connection

# An ordinary role sees these columns of other sessions too. A slot's catalog_xmin keeps only catalogs' rows.
_HOLDERS = """
SELECT who FROM (
  SELECT 'session ' || pid || coalesce(' of role ' || usename, ''),
    greatest(age(backend_xid), age(backend_xmin))
  FROM pg_stat_activity
  WHERE pid <> pg_backend_pid() AND (datname = current_database() OR datname IS NULL)
  UNION ALL SELECT 'prepared transaction ' || transaction, age(transaction) FROM pg_prepared_xacts
  WHERE database = current_database()
  UNION ALL SELECT 'replication slot ' || slot_name,
    greatest(age(xmin), CASE WHEN %(catalog)s THEN age(catalog_xmin) END) FROM pg_replication_slots
) AS holder(who, held)
WHERE held > age(%(transaction)s::text::xid) ORDER BY 1
"""


def holders(connection: Connection, transaction: int, *, catalog: bool) -> tuple[str, ...]:
    """Return who sees rows that were erased before a transaction; ``catalog``: rows of a system catalog."""
    rows = connection.execute(_HOLDERS, {"transaction": transaction, "catalog": catalog})
    return tuple(str(who) for (who,) in rows)
