"""The sample company in a real database: its size, its consistency, its repeatability, its traps."""

import hashlib
import socket
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from handover.errors import ConnectionLost, DataRefused, PreflightFailed
from handover.sample.company import SCHEMAS, generate, planted_values

DatabaseFactory = Callable[..., str]

LEAVES = """
    SELECT nspname, relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname = ANY(%s) AND relkind = 'r' ORDER BY 1, 2
"""
FOREIGN_KEYS = """
    SELECT conname, conrelid::regclass::text, confrelid::regclass::text, convalidated,
        ARRAY(SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS k (no, place)
            JOIN pg_attribute ON attrelid = conrelid AND attnum = no ORDER BY place),
        ARRAY(SELECT attname::text FROM unnest(confkey) WITH ORDINALITY AS k (no, place)
            JOIN pg_attribute ON attrelid = confrelid AND attnum = no ORDER BY place)
    FROM pg_constraint WHERE contype = 'f' AND conparentid = 0
"""


def ask(url: str, query: str | sql.Composed, *values: object) -> list[tuple]:
    with psycopg.connect(url, options="-c search_path=pg_catalog -c TimeZone=UTC") as connection:
        return connection.execute(query, values or None).fetchall()


def content(url: str) -> dict[str, str]:
    """A digest for each table, large object and sequence."""
    digests = {}
    for schema, table in ask(url, LEAVES, list(SCHEMAS)):
        query = sql.SQL('SELECT t::text FROM ONLY {} AS t ORDER BY t::text COLLATE "C"')
        rows = ask(url, query.format(sql.Identifier(schema, table)))
        digests[f"{schema}.{table}"] = hashlib.sha256(repr(rows).encode()).hexdigest()
    digests["sequences"] = repr(
        ask(url, "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2")
    )
    digests["large objects"] = repr(
        ask(url, "SELECT oid, sha256(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY oid")
    )
    return digests


@pytest.fixture
def small(database: DatabaseFactory) -> str:
    url = database("small")
    generate(url, rows=1_000)
    return url


@pytest.mark.parametrize(("rows", "tolerance"), [(1_000, 0.15), (60_000, 0.03)])
def test_size_is_near_what_was_asked_for(database: DatabaseFactory, rows: int, tolerance: float) -> None:
    url = database("sized")
    counts = generate(url, rows=rows)
    assert len(counts) >= 40
    assert abs(sum(counts.values()) - rows) < rows * tolerance
    for name, counted in counts.items():
        schema, table = name.split(".", 1)
        only = sql.SQL("" if table == "repayments" else "ONLY ")
        query = sql.SQL("SELECT count(*) FROM {}{}").format(only, sql.Identifier(schema, table))
        assert ask(url, query) == [(counted,)]


def test_every_business_table_has_rows_at_the_smallest_size(database: DatabaseFactory) -> None:
    counts = generate(database("smallest"), rows=1_000)
    assert [name for name, rows in counts.items() if not rows] == [
        "Odd Values.nothing_yet",
        "lending.loan_events",
    ]


def test_progress_hears_every_row_that_is_copied(database: DatabaseFactory) -> None:
    heard: dict[str, int] = {}

    def hear(table: str, rows: int) -> None:
        heard[table] = heard.get(table, 0) + rows

    counts = generate(database("heard"), rows=1_000, progress=hear)
    assert heard.pop("keys, indexes and views") == 0
    assert len(heard) >= 20
    assert heard == {table: counts[table] for table in heard}


def test_same_seed_gives_the_same_content_and_another_seed_does_not(database: DatabaseFactory) -> None:
    first, again, other = database("first"), database("again"), database("other")
    for url, seed in ((first, 1), (again, 1), (other, 2)):
        generate(url, rows=2_000, seed=seed)
    expected = content(first)
    assert content(again) == expected
    differing = {name for name, digest in content(other).items() if digest != expected[name]}
    assert {"lending.customers", "lending.device_logs", "lending.loans", "账务.voucher_lines"} <= differing


def test_double_entry_is_in_balance_and_stays_so(small: str) -> None:
    unbalanced = 'SELECT 1 FROM "账务".voucher_lines GROUP BY voucher_id HAVING sum(debit) <> sum(credit)'
    assert ask(small, unbalanced) == []
    with psycopg.connect(small) as connection:
        connection.execute('UPDATE "账务".voucher_lines SET debit = debit + 1 WHERE debit > 0')
        assert connection.execute(unbalanced).fetchall() != []
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.commit()


def test_foreign_keys_hold(small: str) -> None:
    keys = ask(small, FOREIGN_KEYS)
    assert len(keys) >= 25
    for name, child, parent, validated, columns, targets in keys:
        pairs = [
            sql.SQL("c.{} = p.{}").format(sql.Identifier(a), sql.Identifier(b))
            for a, b in zip(columns, targets, strict=True)
        ]
        orphans = sql.SQL("SELECT 1 FROM {} AS c LEFT JOIN {} AS p ON {} WHERE p.* IS NULL AND {}").format(
            sql.SQL(child),
            sql.SQL(parent),
            sql.SQL(" AND ").join(pairs),
            sql.SQL(" AND ").join(sql.SQL("c.{} IS NOT NULL").format(sql.Identifier(a)) for a in columns),
        )
        assert validated, name
        assert ask(small, orphans) == [], name


def test_polymorphic_owners_exist(small: str) -> None:
    orphans = """
        SELECT a.attachment_id FROM lending.attachments AS a
        LEFT JOIN lending.customers AS c ON owner_type = 'customer' AND c.customer_id = owner_id
        LEFT JOIN lending.loans AS l ON owner_type = 'loan' AND l.loan_id = owner_id
        LEFT JOIN lending.credit_applications AS p
            ON owner_type = 'application' AND p.application_id = owner_id
        WHERE num_nonnulls(c.customer_id, l.loan_id, p.application_id) <> 1
    """
    assert ask(small, orphans) == []


def test_instalments_add_up_to_the_principal(small: str) -> None:
    wrong = """
        SELECT loan_id FROM lending.loans AS l JOIN lending.instalments AS i USING (loan_id)
        GROUP BY loan_id, l.principal, l.term
        HAVING sum(i.principal) <> l.principal OR count(*) <> l.term
    """
    assert ask(small, wrong) == []


HARD_THINGS = {
    "a foreign-key cycle": """SELECT count(*) = 2 FROM pg_constraint WHERE contype = 'f'
        AND (conrelid, confrelid) IN (('lending.customers'::regclass, 'lending.bank_cards'::regclass),
            ('lending.bank_cards'::regclass, 'lending.customers'::regclass))""",
    "a self reference": """SELECT count(*) >= 2 FROM pg_constraint WHERE contype = 'f'
        AND conrelid = confrelid""",
    "composite keys": """SELECT count(*) >= 8 FROM pg_constraint WHERE contype = 'p'
        AND cardinality(conkey) > 1""",
    "tables without a key": """SELECT count(*) >= 2 FROM pg_class AS c WHERE relkind = 'r' AND relnamespace IN
        ('lending'::regnamespace, '"Odd Values"'::regnamespace)
        AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid)""",
    "duplicate rows": """SELECT count(*) > 0 FROM (SELECT FROM "Odd Values".no_key AS t
        GROUP BY t.* HAVING count(*) > 2) AS twice""",
    "duplicate rows in a bigger table": """SELECT count(*) > 0 FROM
        (SELECT FROM lending.page_views AS t GROUP BY t.* HAVING count(*) > 1) AS twice""",
    "a unique key that is not primary": """SELECT bool_and(contype <> 'p') FROM pg_constraint
        WHERE conrelid = '"Odd Values".no_primary_key'::regclass AND contype <> 'n'""",
    "columns in need of quotes": """SELECT count(*) > 5 FROM pg_attribute WHERE attnum > 0
        AND attrelid = 'lending."MixedCase Table"'::regclass AND quote_ident(attname) <> attname""",
    "a Chinese table": "SELECT to_regclass('lending.\"客户备注\"') IS NOT NULL",
    "dropped columns": "SELECT count(*) >= 2 FROM pg_attribute WHERE attisdropped",
    "generated columns": "SELECT count(*) >= 3 FROM pg_attribute WHERE attgenerated = 's'",
    "both kinds of identity": """SELECT count(DISTINCT attidentity) = 2 FROM pg_attribute
        WHERE attidentity <> ''""",
    "serial columns": """SELECT count(*) >= 3 FROM pg_attrdef WHERE pg_get_expr(adbin, adrelid)
        LIKE 'nextval%'""",
    "a sequence of no table": """SELECT count(*) = 2 FROM pg_class WHERE relkind = 'S'
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('a', 'i'))""",
    "enum, domain, composite and range types": """SELECT count(DISTINCT typtype) = 5 FROM pg_type
        WHERE typnamespace IN ('lending'::regnamespace) AND typtype IN ('e', 'd', 'c', 'r', 'm')""",
    "nested partitions": "SELECT max(level) = 2 FROM pg_partition_tree('lending.repayments')",
    "an empty partition": """SELECT (SELECT count(*) FROM lending.repayments_2026) = 0
        AND (SELECT count(*) FROM lending.repayments_2019) > 0""",
    "a partition with its columns in another order": """SELECT array_agg(attnum ORDER BY attrelid)
        = '{4,1}' FROM pg_attribute WHERE attname = 'paid_on'
        AND attrelid IN ('lending.repayments'::regclass, 'lending.repayments_2019'::regclass)""",
    "inheritance": """SELECT count(*) > 0 FROM pg_inherits
        WHERE inhrelid = '"Odd Values".events_archive'::regclass""",
    "an empty table": 'SELECT count(*) = 0 FROM "Odd Values".nothing_yet',
    "an unlogged table": "SELECT count(*) > 0 FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'",
    "array bounds": """SELECT array_lower(whole, 1) = 0 AND whole[1] IS NULL FROM "Odd Values".arrays
        WHERE id = 2""",
    "NaN, infinity and scale of numeric": """SELECT array_agg(exact::text ORDER BY id) @>
        '{NaN,Infinity,-Infinity,3.30,3.3}' FROM "Odd Values".numbers""",
    "minus zero": """SELECT single::text = '-0' AND double::text = '-0'
        FROM "Odd Values".numbers WHERE id = 4""",
    "BC and infinity": """SELECT bool_or(day = 'infinity') AND bool_or(day::text LIKE '% BC')
        AND bool_or(instant = '-infinity') AND bool_or(clock = '24:00') FROM "Odd Values".times""",
    "NULL, empty and backslash N": """SELECT bool_or(value IS NULL) AND bool_or(value = '')
        AND bool_or(value = '\\N') FROM "Odd Values".texts""",
    "control characters and emoji": """SELECT bool_or(value ~ '\\t') AND bool_or(value ~ '\\r\\n')
        AND bool_or(value LIKE '%😀%') AND bool_or(value LIKE '%\\\\%') FROM "Odd Values".texts""",
    "json text as it was written": """SELECT kept::text LIKE '%"a" : 1,   "a": 2%'
        FROM "Odd Values".documents WHERE id = 1""",
    "5 MB text and bytea": """SELECT max(length(long_text)) > 5000000 AND max(length(long_bytes)) > 5000000
        FROM "Odd Values".big_values""",
    "large objects": """SELECT count(*) = 5 AND max(length(lo_get(oid))) > 3000000
        AND min(length(lo_get(oid))) = 0 FROM pg_largeobject_metadata""",
    "views on views": "SELECT count(*) = 5 FROM pg_views WHERE schemaname IN ('lending', '账务')",
    "a materialised view on another": """SELECT sum(loans) = (SELECT count(*) FROM lending.loans)
        FROM lending.branch_totals""",
    "a materialised view without data": "SELECT count(*) = 1 FROM pg_matviews WHERE NOT ispopulated",
    "functions, procedure and aggregate": """SELECT count(DISTINCT prokind) = 3 FROM pg_proc
        WHERE pronamespace = 'lending'::regnamespace""",
    "triggers in every state": "SELECT count(DISTINCT tgenabled) = 3 FROM pg_trigger WHERE NOT tgisinternal",
    "rules": "SELECT count(*) = 2 FROM pg_rewrite WHERE rulename <> '_RETURN' AND ev_class > 16384",
    "row-level security, not forced": """SELECT relrowsecurity AND NOT relforcerowsecurity FROM pg_class
        WHERE oid = 'lending.complaints'::regclass""",
    "an exclusion constraint": "SELECT count(*) = 1 FROM pg_constraint WHERE contype = 'x'",
    "a constraint that is not valid": "SELECT count(*) = 1 FROM pg_constraint WHERE NOT convalidated",
    "partial and expression indexes": """SELECT bool_or(indpred IS NOT NULL) AND bool_or(indexprs IS NOT NULL)
        FROM pg_index WHERE indrelid = 'lending.customers'::regclass""",
    "grants to everybody": """SELECT count(*) >= 3 FROM pg_class WHERE relnamespace = 'lending'::regnamespace
        AND relacl::text ~ '[{,]=r'""",
    "comments that say what this is": """SELECT obj_description('lending'::regnamespace) LIKE
        'Generated sample data%' AND (SELECT count(*) FROM lending.sample_notice) = 2""",
    "no role but the owner in it": """SELECT count(DISTINCT relowner) = 1 FROM pg_class
        WHERE relnamespace = 'lending'::regnamespace""",
}


def missing_things(url: str) -> list[str]:
    return [name for name, query in HARD_THINGS.items() if ask(url, query) != [(True,)]]


def test_everything_that_makes_databases_hard_is_there(small: str) -> None:
    assert missing_things(small) == []


def test_things_taken_away_are_missed(small: str) -> None:
    with psycopg.connect(small) as connection:
        connection.execute("ALTER TABLE lending.complaints DISABLE ROW LEVEL SECURITY")
        connection.execute('UPDATE "Odd Values".numbers SET single = 0 WHERE id = 4')
    assert missing_things(small) == ["minus zero", "row-level security, not forced"]


def test_planted_values_are_in_the_database(small: str) -> None:
    text = repr(ask(small, "SELECT t::text FROM lending.customers AS t"))
    text += repr(ask(small, "SELECT t::text FROM lending.bank_cards AS t"))
    text += repr(
        ask(small, "SELECT full_text FROM lending.addresses UNION SELECT mobile FROM lending.contacts")
    )
    assert [value for value in planted_values(1, 1_000) if value not in text] == []


def test_database_in_use_is_refused_and_left_alone(small: str) -> None:
    before = content(small)
    with pytest.raises(PreflightFailed, match="schema lending") as refusal:
        generate(small, rows=1_000, seed=2)
    assert "fresh database" in refusal.value.hint
    assert content(small) == before


def test_one_taken_schema_is_enough_to_refuse(database: DatabaseFactory) -> None:
    url = database("taken")
    with psycopg.connect(url) as connection:
        connection.execute('CREATE SCHEMA "Odd Values"')
    with pytest.raises(PreflightFailed, match='schema "Odd Values"'):
        generate(url, rows=1_000)


def test_role_that_does_not_own_the_database_is_refused(database: DatabaseFactory) -> None:
    theirs, url = database("theirs", owner="somebody"), database("ours")
    with psycopg.connect(url) as connection:
        name = connection.info.dbname
    with pytest.raises(DataRefused, match="42501"):
        generate(make_conninfo(theirs, dbname=name), rows=1_000)
    assert ask(url, "SELECT 1 FROM pg_namespace WHERE nspname = ANY(%s)", list(SCHEMAS)) == []


def test_failure_in_the_middle_leaves_nothing_behind(database: DatabaseFactory) -> None:
    url = database("broken")

    def fail(table: str, rows: int) -> None:
        raise InterruptedError(table)

    with pytest.raises(InterruptedError):
        generate(url, rows=1_000, progress=fail)
    assert ask(url, "SELECT 1 FROM pg_namespace WHERE nspname = ANY(%s)", list(SCHEMAS)) == []
    assert generate(url, rows=1_000)


def test_server_that_is_not_there_is_a_transient_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ConnectionLost):
        generate(f"postgresql://nobody@127.0.0.1:{port}/none", rows=1_000)
