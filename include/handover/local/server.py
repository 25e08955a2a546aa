"""Roles and databases of a PostgreSQL server that we may administer; asking twice does no harm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from handover.evidence import ledger

LEDGER = "handover_ledger"
LEDGER_WRITER = "handover_writer"


class Administered(ABC):
    """A server with an administrator's address."""

    @abstractmethod
    def admin_url(self, database: str = "postgres") -> str:
        """The administrator's address of one database; holds the password, so it is never logged."""

    def create_role(self, name: str, password: str, createdb: bool = False) -> None:
        """Make the role, or give an existing one this password and right; never a superuser."""
        with self._admin() as connection:
            known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).rowcount
            # Only the SCRAM verifier travels, so that the password cannot reach a log.
            verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN NOSUPERUSER {} PASSWORD {}").format(
                    sql.SQL("ALTER" if known else "CREATE"),
                    sql.Identifier(name),
                    sql.SQL("CREATEDB" if createdb else "NOCREATEDB"),
                    sql.Literal(verifier.decode()),
                )
            )

    def create_database(self, name: str, owner: str) -> None:
        """Make the database unless it is there."""
        with self._admin() as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
                )

    def drop_database(self, name: str) -> None:
        """Drop the database if it is there, ending the sessions in it."""
        with self._admin() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def remark(self, database: str) -> str | None:
        """What `set_remark` left on a database; gone with it, so it cannot outlive what it tells."""
        with self._admin() as connection:
            row = connection.execute(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [database]
            ).fetchone()
        return str(row[0]) if row and row[0] is not None else None

    def set_remark(self, database: str, text: str) -> None:
        """Leave a remark on a database."""
        with self._admin() as connection:
            connection.execute(
                sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(database), sql.Literal(text))
            )

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.admin_url(), autocommit=True)


@dataclass(frozen=True)
class Remote(Administered):
    """A server that somebody else runs."""

    url: str

    def admin_url(self, database: str = "postgres") -> str:
        return make_conninfo(self.url, dbname=database)


def prepare(servers: Mapping[str, Administered], secrets: Mapping[str, str]) -> None:
    """Give control, source and target the roles, databases and tables that everything rests on."""
    control, source, target = (servers[name] for name in ("control", "source", "target"))
    control.create_role("airflow", secrets["airflow"])
    control.create_database("airflow", "airflow")
    with psycopg.connect(control.admin_url()) as connection:
        administrator = connection.info.user
    control.create_database(LEDGER, administrator)
    ledger.create(control.admin_url(LEDGER), LEDGER_WRITER, secrets["ledger"])
    source.create_role("company", secrets["company"])
    source.create_database("company", "company")
    # The restore test makes and drops a scratch database beside the target.
    target.create_role("company", secrets["company"], createdb=True)
    target.create_database("company", "company")
