"""The ledger's own database: a table that only grows, and beside it progress and tombstones.

Triggers refuse UPDATE, DELETE and TRUNCATE to everybody, superusers and replication sessions included. A
superuser can still drop the triggers: what makes a change visible are the hashes and signatures, not these.
"""

from __future__ import annotations

from psycopg import sql

from handover.evidence.connection import Connection, connected

_TABLES = """
CREATE TABLE IF NOT EXISTS public.entry (
    case_id   text        NOT NULL,
    seq       bigint      NOT NULL CHECK (seq > 0),
    run       text        NOT NULL,
    at        timestamptz NOT NULL,
    kind      text        NOT NULL,
    key       text,
    body      text        NOT NULL,
    prev_hash text        NOT NULL,
    hash      text        NOT NULL,
    signature text        NOT NULL,
    key_id    text        NOT NULL,
    PRIMARY KEY (case_id, seq),
    UNIQUE (case_id, run, kind, key)
);
CREATE TABLE IF NOT EXISTS public.progress (
    case_id     text        NOT NULL,
    run         text        NOT NULL,
    stage       text        NOT NULL,
    lane        text        NOT NULL,
    rows        bigint,
    bytes       bigint,
    total_rows  bigint,
    total_bytes bigint,
    chunks      bigint,
    started_at  timestamptz,
    updated_at  timestamptz,
    done        boolean,
    PRIMARY KEY (case_id, run, stage, lane)
);
-- Names of rows that were erased, as keyed tokens: what a restore must not bring back. Personal data still.
CREATE TABLE IF NOT EXISTS public.tombstone (
    case_id text  NOT NULL,
    run     text  NOT NULL,
    label   text  NOT NULL,
    token   bytea NOT NULL,
    PRIMARY KEY (case_id, run, label, token)
);
CREATE OR REPLACE FUNCTION public.entry_is_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '% on the ledger is refused: it is append-only', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE OR REPLACE TRIGGER entry_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON public.entry
    FOR EACH STATEMENT EXECUTE FUNCTION public.entry_is_append_only();
-- ALWAYS: session_replication_role = replica does not get round it either.
ALTER TABLE public.entry ENABLE ALWAYS TRIGGER entry_is_append_only;
REVOKE ALL ON public.entry, public.progress, public.tombstone FROM PUBLIC;
"""

_GRANTS = """
REVOKE ALL ON public.entry, public.progress, public.tombstone FROM {writer};
GRANT USAGE ON SCHEMA public TO {writer};
GRANT SELECT, INSERT ON public.entry TO {writer};
GRANT SELECT, INSERT, UPDATE ON public.progress TO {writer};
GRANT SELECT, INSERT, DELETE ON public.tombstone TO {writer};
"""


def create(admin_url: str, writer: str, password: str) -> None:
    """Make tables, triggers and the writer's role in the ledger's database; again does no harm."""
    with connected(admin_url) as connection:
        # Roles belong to the whole server: two databases that are set up at once must not collide here.
        connection.execute("LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE")
        _make_writer(connection, writer, password)
        connection.execute(_TABLES)
        connection.execute(sql.SQL(_GRANTS).format(writer=sql.Identifier(writer)))


def _make_writer(connection: Connection, writer: str, password: str) -> None:
    known = connection.execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", [writer]).fetchone()
    # The verifier is computed here, so that the password itself never reaches a server log.
    verifier = connection.pgconn.encrypt_password(password.encode(), writer.encode(), b"scram-sha-256")
    statement = sql.SQL("{verb} ROLE {writer} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {verifier}")
    connection.execute(
        statement.format(
            verb=sql.SQL("CREATE" if known is None else "ALTER"),
            writer=sql.Identifier(writer),
            verifier=sql.Literal(verifier.decode()),
        )
    )
