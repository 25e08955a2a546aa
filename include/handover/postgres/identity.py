"""Which database this is, whatever it is called and whoever asks: two connections to it get one answer."""

from __future__ import annotations

import hashlib

import psycopg

from handover.postgres.session import Connection, fetch, stripped

_IDENTITY = """
SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || oid FROM pg_database
WHERE datname = current_database()
"""


def database_identity(connection: Connection) -> str:
    """Return a digest that only this database of this server has; empty where the role may not know it.

    A standby has that of its primary. Nothing in it is personal.
    """
    try:
        with connection.transaction():
            return hashlib.sha256(str(fetch(connection, _IDENTITY)[0][0]).encode()).hexdigest()
    except psycopg.errors.InsufficientPrivilege:
        return ""
    except psycopg.Error as problem:
        raise stripped(problem, "asking which database it is") from None
