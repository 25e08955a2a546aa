"""One fault in the definitions of a copy is found and named, for every kind of object that pg_dump writes.

Owners are not compared: everything in the target belongs to the role that the case connects as.
"""

from collections.abc import Callable, Iterator

import pytest

from fixtures.mutation import Copied, check_named, copied, that_changes
from handover.local.clusters import Cluster

SOURCE = """
CREATE SCHEMA s;
CREATE EXTENSION citext;
CREATE TYPE s.colour AS ENUM ('red', 'blue');
CREATE TYPE s.pair AS (a int, b text);
CREATE TYPE s.span AS RANGE (subtype = int);
CREATE DOMAIN s.positive AS int CONSTRAINT above_zero CHECK (VALUE > 0);
CREATE COLLATION s.bytewise (provider = libc, locale = 'C');
CREATE FUNCTION s.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION s.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE FUNCTION s.same(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2';
CREATE PROCEDURE s.work() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE s.total(int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE OPERATOR s.=== (leftarg = int, rightarg = int, function = s.same);
CREATE TEXT SEARCH CONFIGURATION s.words (COPY = pg_catalog.simple);
CREATE TABLE s.branch (id int PRIMARY KEY, name text);
CREATE TABLE s.person (
  id int PRIMARY KEY, name text NOT NULL, born date DEFAULT '2000-01-01', mail public.citext,
  colour s.colour DEFAULT 'red', note text COLLATE "C", size s.positive, branch int,
  doubled int GENERATED ALWAYS AS (s.twice(id)) STORED, during int4range,
  CONSTRAINT adult CHECK (born < '2010-01-01'),
  CONSTRAINT mail_key UNIQUE (mail) DEFERRABLE,
  CONSTRAINT branch_key FOREIGN KEY (branch) REFERENCES s.branch ON DELETE CASCADE,
  CONSTRAINT later_key FOREIGN KEY (branch) REFERENCES s.branch (id) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT apart EXCLUDE USING gist (during WITH &&)
) WITH (fillfactor = 70);
ALTER TABLE s.person ALTER note SET STORAGE EXTERNAL, ALTER name SET STATISTICS 500;
ALTER TABLE s.person ALTER note SET COMPRESSION pglz;
CREATE INDEX person_name ON s.person (name);
CREATE INDEX person_born ON s.person (born) WHERE born IS NOT NULL;
CREATE INDEX person_lower ON s.person (lower(name) DESC);
ALTER TABLE s.person CLUSTER ON person_name;
CREATE UNIQUE INDEX person_whole ON s.person (id, name);
ALTER TABLE s.person REPLICA IDENTITY USING INDEX person_whole;
CREATE STATISTICS s.together (dependencies) ON born, branch FROM s.person;
CREATE TRIGGER touching BEFORE UPDATE ON s.person FOR EACH ROW EXECUTE FUNCTION s.touch();
CREATE TRIGGER resting AFTER UPDATE ON s.person FOR EACH ROW EXECUTE FUNCTION s.touch();
ALTER TABLE s.person DISABLE TRIGGER resting;
CREATE RULE quiet AS ON DELETE TO s.branch WHERE OLD.id = 99 DO INSTEAD NOTHING;
ALTER TABLE s.person ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON s.person USING (id > 0);
COMMENT ON SCHEMA s IS 'all of it';
COMMENT ON TABLE s.person IS 'people';
COMMENT ON COLUMN s.person.name IS 'what they are called';
COMMENT ON INDEX s.person_name IS 'for the search';
COMMENT ON CONSTRAINT adult ON s.person IS 'no children';
COMMENT ON FUNCTION s.twice(int) IS 'doubles';
GRANT USAGE ON SCHEMA s TO PUBLIC;
GRANT SELECT ON s.branch TO PUBLIC;
GRANT SELECT (name) ON s.person TO PUBLIC;
REVOKE ALL ON FUNCTION s.twice(int) FROM PUBLIC;
REVOKE ALL ON TYPE s.colour FROM PUBLIC;
CREATE SEQUENCE s.counter INCREMENT 5 CACHE 3;
SELECT setval('s.counter', 41);
GRANT USAGE ON SEQUENCE s.counter TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO PUBLIC;
CREATE TABLE s.numbered (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, other serial, note text);
INSERT INTO s.numbered (note) VALUES ('privat'), ('privat');
CREATE TABLE s.base (id int);
CREATE TABLE s.child (extra text) INHERITS (s.base);
CREATE TABLE s.parted (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE s.part_old PARTITION OF s.parted FOR VALUES FROM ('2000-01-01') TO ('2001-01-01');
CREATE TABLE s.part_rest PARTITION OF s.parted DEFAULT;
CREATE INDEX parted_at ON s.parted (at);
CREATE UNLOGGED TABLE s.scratch (id int NOT NULL);
CREATE VIEW s.names AS SELECT id, name FROM s.person WHERE id > 0;
CREATE VIEW s.guarded WITH (security_barrier) AS SELECT id FROM s.person WHERE id > 1 WITH CHECK OPTION;
INSERT INTO s.branch VALUES (1, 'privat');
INSERT INTO s.person (id, name, branch) VALUES (1, 'privat 1', 1), (2, 'privat 2', 1);
ALTER TABLE s.numbered ADD CONSTRAINT named CHECK (note <> '') NOT VALID;
CREATE MATERIALIZED VIEW s.counted AS SELECT count(*) FROM s.person;
CREATE MATERIALIZED VIEW s.unfilled AS SELECT 1 AS one WITH NO DATA;
SELECT lo_from_bytea(4711, 'privat bytes'), lo_from_bytea(4712, ''), lo_from_bytea(4713, 'privat');
COMMENT ON LARGE OBJECT 4711 IS 'a privat scan';
GRANT SELECT ON LARGE OBJECT 4713 TO PUBLIC;
"""
MISSING, EXTRA, OTHERWISE = "is missing", "is not in the source", "is defined otherwise"
PERSON = f"TABLE s.person {OTHERWISE}"
STANDS = "does not stand where the source's stood"
# The fault, and the lines that verification must say of it: these and no others.
FAULTS: dict[str, tuple[str, list[str]]] = {
    # indexes
    "index dropped": ("DROP INDEX s.person_born", [f"INDEX s.person_born {MISSING}"]),
    "index on other columns": (
        "DROP INDEX s.person_born; CREATE INDEX person_born ON s.person (id) WHERE born IS NOT NULL",
        [f"INDEX s.person_born {OTHERWISE}"],
    ),
    "index without its predicate": (
        "DROP INDEX s.person_born; CREATE INDEX person_born ON s.person (born)",
        [f"INDEX s.person_born {OTHERWISE}"],
    ),
    "index in another order": (
        "DROP INDEX s.person_lower; CREATE INDEX person_lower ON s.person (lower(name))",
        [f"INDEX s.person_lower {OTHERWISE}"],
    ),
    "index unique now": (
        "DROP INDEX s.person_lower; CREATE UNIQUE INDEX person_lower ON s.person (lower(name) DESC)",
        [f"INDEX s.person_lower {OTHERWISE}"],
    ),
    "index of another kind": (
        "DROP INDEX s.person_born; CREATE INDEX person_born ON s.person USING hash (born)"
        " WHERE born IS NOT NULL",
        [f"INDEX s.person_born {OTHERWISE}"],
    ),
    "index renamed": (
        "ALTER INDEX s.person_born RENAME TO other",
        [f"INDEX s.person_born {MISSING}", f"INDEX s.other {EXTRA}"],
    ),
    "index too many": ("CREATE INDEX other ON s.person (born)", [f"INDEX s.other {EXTRA}"]),
    "index of a partition dropped": (
        "DROP INDEX s.parted_at",
        [
            f"INDEX s.parted_at {MISSING}",
            f"INDEX s.part_old_at_idx {MISSING}",
            f"INDEX s.part_rest_at_idx {MISSING}",
            f"INDEX ATTACH s.part_old_at_idx {MISSING}",
            f"INDEX ATTACH s.part_rest_at_idx {MISSING}",
        ],
    ),
    "clustered on no index": (
        "ALTER TABLE s.person SET WITHOUT CLUSTER",
        [f"INDEX s.person_name {OTHERWISE}"],
    ),
    "replica identity": (
        "ALTER TABLE s.person REPLICA IDENTITY FULL",
        [PERSON + ": its options", f"INDEX s.person_whole {OTHERWISE}"],
    ),
    # constraints
    "primary key dropped": (
        "ALTER TABLE s.numbered DROP CONSTRAINT numbered_pkey",
        [f"CONSTRAINT s.numbered numbered_pkey {MISSING}"],
    ),
    "unique constraint dropped": (
        "ALTER TABLE s.person DROP CONSTRAINT mail_key",
        [f"CONSTRAINT s.person mail_key {MISSING}"],
    ),
    "unique constraint not deferrable": (
        "ALTER TABLE s.person DROP CONSTRAINT mail_key, ADD CONSTRAINT mail_key UNIQUE (mail)",
        [f"CONSTRAINT s.person mail_key {OTHERWISE}"],
    ),
    "exclusion dropped": (
        "ALTER TABLE s.person DROP CONSTRAINT apart",
        [f"CONSTRAINT s.person apart {MISSING}"],
    ),
    "check dropped": (
        "ALTER TABLE s.person DROP CONSTRAINT adult",
        [f"{PERSON}: constraint adult", f"COMMENT s.CONSTRAINT adult ON person {MISSING}"],
    ),
    "check loosened": (
        "ALTER TABLE s.branch ADD CONSTRAINT x CHECK (id > 0)",
        [f"TABLE s.branch {OTHERWISE}: constraint x"],
    ),
    "check validated": (
        "ALTER TABLE s.numbered VALIDATE CONSTRAINT named",
        [f"TABLE s.numbered {OTHERWISE}: constraint named", f"CHECK CONSTRAINT s.numbered named {MISSING}"],
    ),
    "foreign key dropped": (
        "ALTER TABLE s.person DROP CONSTRAINT branch_key",
        [f"FK CONSTRAINT s.person branch_key {MISSING}"],
    ),
    "foreign key not valid": (
        "ALTER TABLE s.person DROP CONSTRAINT branch_key, ADD CONSTRAINT branch_key"
        " FOREIGN KEY (branch) REFERENCES s.branch ON DELETE CASCADE NOT VALID",
        [f"FK CONSTRAINT s.person branch_key {OTHERWISE}"],
    ),
    "foreign key without cascade": (
        "ALTER TABLE s.person DROP CONSTRAINT branch_key, ADD CONSTRAINT branch_key"
        " FOREIGN KEY (branch) REFERENCES s.branch",
        [f"FK CONSTRAINT s.person branch_key {OTHERWISE}"],
    ),
    "foreign key not deferrable": (
        "ALTER TABLE s.person ALTER CONSTRAINT later_key NOT DEFERRABLE",
        [f"FK CONSTRAINT s.person later_key {OTHERWISE}"],
    ),
    "foreign key not enforced": (
        "ALTER TABLE s.person ALTER CONSTRAINT branch_key NOT ENFORCED",
        [f"FK CONSTRAINT s.person branch_key {OTHERWISE}"],
    ),
    # columns
    "not null dropped": (
        "ALTER TABLE s.scratch ALTER id DROP NOT NULL",
        [f"TABLE s.scratch {OTHERWISE}: id"],
    ),
    "not null added": ("ALTER TABLE s.person ALTER branch SET NOT NULL", [PERSON + ": branch"]),
    "default dropped": ("ALTER TABLE s.person ALTER colour DROP DEFAULT", [PERSON + ": colour"]),
    "default changed": ("ALTER TABLE s.person ALTER born SET DEFAULT '2000-01-02'", [PERSON + ": born"]),
    "type widened": ("ALTER TABLE s.scratch ALTER id TYPE bigint", [f"TABLE s.scratch {OTHERWISE}: id"]),
    "type given a length": (
        "ALTER TABLE s.branch ALTER name TYPE varchar(20)",
        [f"TABLE s.branch {OTHERWISE}: name"],
    ),
    "collation of a column": (
        'ALTER TABLE s.person ALTER note TYPE text COLLATE "C.utf8"',
        [PERSON + ": note"],
    ),
    "collation of the default": (
        'ALTER TABLE s.person ALTER note TYPE text COLLATE "default"',
        [PERSON + ": note"],
    ),
    "storage": ("ALTER TABLE s.person ALTER note SET STORAGE EXTENDED", [PERSON + ": note"]),
    "compression": ("ALTER TABLE s.person ALTER note SET COMPRESSION default", [PERSON + ": note"]),
    "statistics target": ("ALTER TABLE s.person ALTER name SET STATISTICS 100", [PERSON + ": name"]),
    "column too many": ("ALTER TABLE s.branch ADD extra int", [f"TABLE s.branch {OTHERWISE}: extra"]),
    "column dropped": ("ALTER TABLE s.branch DROP name", [f"TABLE s.branch {OTHERWISE}: name"]),
    "column renamed": (
        "ALTER TABLE s.branch RENAME name TO label",
        [f"TABLE s.branch {OTHERWISE}: name, label"],
    ),
    "columns in another order": (
        "ALTER TABLE s.numbered DROP other; ALTER TABLE s.numbered ADD other int",
        [
            f"TABLE s.numbered {OTHERWISE}: other",
            f"DEFAULT s.numbered other {MISSING}",
            f"SEQUENCE s.numbered_other_seq {MISSING}",
            f"SEQUENCE OWNED BY s.numbered_other_seq {MISSING}",
            f"sequence s.numbered_other_seq {STANDS}",
        ],
    ),
    "generated column's expression": (
        "ALTER TABLE s.person ALTER doubled SET EXPRESSION AS (id + id)",
        [PERSON + ": doubled"],
    ),
    "generated column an ordinary one": (
        "ALTER TABLE s.person ALTER doubled DROP EXPRESSION",
        [PERSON + ": doubled"],
    ),
    # tables
    "fill factor": ("ALTER TABLE s.person SET (fillfactor = 100)", [PERSON + ": its options"]),
    "logged now": ("ALTER TABLE s.scratch SET LOGGED", [f"TABLE s.scratch {OTHERWISE}: its options"]),
    "unlogged now": ("ALTER TABLE s.base SET UNLOGGED", [f"TABLE s.base {OTHERWISE}: its options"]),
    "table too many": (
        "CREATE TABLE s.extra (id int)",
        [f"TABLE s.extra {EXTRA}", f"ACL s.TABLE extra {EXTRA}"],
    ),
    "table dropped": (
        "DROP TABLE s.scratch",
        [f"TABLE s.scratch {MISSING}", f"ACL s.TABLE scratch {MISSING}"],
    ),
    "inheritance": (
        "ALTER TABLE s.child NO INHERIT s.base",
        [f"TABLE s.child {OTHERWISE}: its options, id"],
    ),
    "partition detached": (
        "ALTER TABLE s.parted DETACH PARTITION s.part_old",
        [
            f"TABLE ATTACH s.part_old {MISSING}",
            f"INDEX ATTACH s.part_old_at_idx {MISSING}",
        ],
    ),
    "bounds of a partition": (
        "ALTER TABLE s.parted DETACH PARTITION s.part_old; ALTER TABLE s.parted ATTACH PARTITION s.part_old"
        " FOR VALUES FROM ('2000-01-01') TO ('2002-01-01')",
        [f"TABLE ATTACH s.part_old {OTHERWISE}"],
    ),
    # triggers, rules, policies
    "trigger dropped": ("DROP TRIGGER touching ON s.person", [f"TRIGGER s.person touching {MISSING}"]),
    "trigger disabled": (
        "ALTER TABLE s.person DISABLE TRIGGER touching",
        [f"TRIGGER s.person touching {OTHERWISE}"],
    ),
    "trigger enabled": (
        "ALTER TABLE s.person ENABLE TRIGGER resting",
        [f"TRIGGER s.person resting {OTHERWISE}"],
    ),
    "trigger always": (
        "ALTER TABLE s.person ENABLE ALWAYS TRIGGER touching",
        [f"TRIGGER s.person touching {OTHERWISE}"],
    ),
    "trigger at another time": (
        "CREATE OR REPLACE TRIGGER touching AFTER UPDATE ON s.person FOR EACH ROW EXECUTE FUNCTION s.touch()",
        [f"TRIGGER s.person touching {OTHERWISE}"],
    ),
    "trigger too many": (
        "CREATE TRIGGER other BEFORE DELETE ON s.branch FOR EACH ROW EXECUTE FUNCTION s.touch()",
        [f"TRIGGER s.branch other {EXTRA}"],
    ),
    "rule dropped": ("DROP RULE quiet ON s.branch", [f"RULE s.branch quiet {MISSING}"]),
    "rule disabled": ("ALTER TABLE s.branch DISABLE RULE quiet", [f"RULE s.branch quiet {OTHERWISE}"]),
    "policy dropped": ("DROP POLICY seen ON s.person", [f"POLICY s.person seen {MISSING}"]),
    "policy changed": (
        "ALTER POLICY seen ON s.person USING (true)",
        [f"POLICY s.person seen {OTHERWISE}"],
    ),
    "row security off": (
        "ALTER TABLE s.person DISABLE ROW LEVEL SECURITY",
        [f"ROW SECURITY s.person {MISSING}"],
    ),
    "row security forced": (
        "ALTER TABLE s.branch FORCE ROW LEVEL SECURITY",
        [f"TABLE s.branch {OTHERWISE}: its options"],
    ),
    # comments
    "comment on a schema": ("COMMENT ON SCHEMA s IS 'x'", [f"COMMENT SCHEMA s {OTHERWISE}"]),
    "comment on a table": ("COMMENT ON TABLE s.person IS 'x'", [f"COMMENT s.TABLE person {OTHERWISE}"]),
    "comment on a column gone": (
        "COMMENT ON COLUMN s.person.name IS NULL",
        [f"COMMENT s.COLUMN person.name {MISSING}"],
    ),
    "comment on an index": (
        "COMMENT ON INDEX s.person_name IS 'x'",
        [f"COMMENT s.INDEX person_name {OTHERWISE}"],
    ),
    "comment on a constraint": (
        "COMMENT ON CONSTRAINT adult ON s.person IS 'x'",
        [f"COMMENT s.CONSTRAINT adult ON person {OTHERWISE}"],
    ),
    "comment on a function": (
        "COMMENT ON FUNCTION s.twice(int) IS 'x'",
        [f"COMMENT s.FUNCTION twice(n integer) {OTHERWISE}"],
    ),
    "comment too many": ("COMMENT ON VIEW s.names IS 'x'", [f"COMMENT s.VIEW names {EXTRA}"]),
    # grants
    "grant on a table gone": ("REVOKE SELECT ON s.branch FROM PUBLIC", [f"ACL s.TABLE branch {MISSING}"]),
    "grant on a table more": (
        "GRANT INSERT ON s.branch TO PUBLIC",
        [f"ACL s.TABLE branch {OTHERWISE}"],
    ),
    "grant on a sequence too many": (
        "GRANT USAGE ON SEQUENCE s.numbered_id_seq TO PUBLIC",
        [f"ACL s.SEQUENCE numbered_id_seq {EXTRA}"],
    ),
    "grant on a column gone": (
        "REVOKE SELECT (name) ON s.person FROM PUBLIC",
        [f"ACL s.COLUMN person.name {MISSING}"],
    ),
    "grant on another column": (
        "GRANT SELECT (id) ON s.person TO PUBLIC",
        [f"ACL s.COLUMN person.id {EXTRA}"],
    ),
    "grant on a sequence": (
        "REVOKE USAGE ON SEQUENCE s.counter FROM PUBLIC",
        [f"ACL s.SEQUENCE counter {MISSING}"],
    ),
    "grant on a function": (
        "GRANT EXECUTE ON FUNCTION s.twice(int) TO PUBLIC",
        [f"ACL s.FUNCTION twice(n integer) {MISSING}"],
    ),
    "grant on a type": ("GRANT USAGE ON TYPE s.colour TO PUBLIC", [f"ACL s.TYPE colour {MISSING}"]),
    "grant on the schema": ("REVOKE USAGE ON SCHEMA s FROM PUBLIC", [f"ACL SCHEMA s {MISSING}"]),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA s REVOKE SELECT ON TABLES FROM PUBLIC",
        [f"DEFAULT ACL s.DEFAULT PRIVILEGES FOR TABLES {MISSING}"],
    ),
    # sequences
    "sequence one too low": ("SELECT setval('s.counter', 40)", [f"sequence s.counter {STANDS}"]),
    "sequence not called": ("SELECT setval('s.counter', 41, false)", [f"sequence s.counter {STANDS}"]),
    "sequence one too high": ("SELECT nextval('s.counter')", [f"sequence s.counter {STANDS}"]),
    "identity one too low": (
        "SELECT setval('s.numbered_id_seq', 1)",
        [f"sequence s.numbered_id_seq {STANDS}"],
    ),
    "sequence's step": (
        "ALTER SEQUENCE s.counter INCREMENT 2",
        [f"SEQUENCE s.counter {OTHERWISE}"],
    ),
    "sequence's maximum": (
        "ALTER SEQUENCE s.counter MAXVALUE 1000",
        [f"SEQUENCE s.counter {OTHERWISE}"],
    ),
    "sequence's cycle": ("ALTER SEQUENCE s.counter CYCLE", [f"SEQUENCE s.counter {OTHERWISE}"]),
    "sequence's cache": ("ALTER SEQUENCE s.counter CACHE 1", [f"SEQUENCE s.counter {OTHERWISE}"]),
    "sequence's owner": (
        "ALTER SEQUENCE s.numbered_other_seq OWNED BY NONE",
        [
            f"SEQUENCE OWNED BY s.numbered_other_seq {MISSING}",
            f"DEFAULT s.numbered other {MISSING}",
            f"TABLE s.numbered {OTHERWISE}: other",
        ],
    ),
    "sequence dropped": (
        "DROP SEQUENCE s.counter",
        [
            f"SEQUENCE s.counter {MISSING}",
            f"ACL s.SEQUENCE counter {MISSING}",
            f"sequence s.counter {STANDS}",
        ],
    ),
    "sequence too many": ("CREATE SEQUENCE s.other", [f"SEQUENCE s.other {EXTRA}"]),
    "identity by default": (
        "ALTER TABLE s.numbered ALTER id SET GENERATED BY DEFAULT",
        [f"SEQUENCE s.numbered_id_seq {OTHERWISE}"],
    ),
    "identity an ordinary column": (
        "ALTER TABLE s.numbered ALTER id DROP IDENTITY",
        [f"SEQUENCE s.numbered_id_seq {MISSING}", f"sequence s.numbered_id_seq {STANDS}"],
    ),
    "serial without its default": (
        "ALTER TABLE s.numbered ALTER other DROP DEFAULT",
        [f"DEFAULT s.numbered other {MISSING}"],
    ),
    # views
    "view's text": (
        "CREATE OR REPLACE VIEW s.names AS SELECT id, name FROM s.person WHERE id > 1",
        [f"VIEW s.names {OTHERWISE}"],
    ),
    "view's options": (
        "ALTER VIEW s.guarded SET (security_barrier = false)",
        [f"VIEW s.guarded {OTHERWISE}"],
    ),
    "view's check": (
        "ALTER VIEW s.guarded RESET (check_option)",
        [f"VIEW s.guarded {OTHERWISE}"],
    ),
    "view a table now": (
        "DROP VIEW s.names; CREATE TABLE s.names AS SELECT id, name FROM s.person",
        [f"VIEW s.names {MISSING}", f"TABLE s.names {EXTRA}"],
    ),
    "materialised view stale": (
        "INSERT INTO s.person (id, name) VALUES (9, 'x'); REFRESH MATERIALIZED VIEW s.counted;"
        "DELETE FROM s.person WHERE id = 9",
        ["materialised view s.counted holds other rows"],
    ),
    "materialised view emptied": (
        "REFRESH MATERIALIZED VIEW s.counted WITH NO DATA",
        ["reading s.counted back: the database refused it (SQLSTATE 55000, ObjectNotInPrerequisiteState)"],
    ),
    "materialised view filled": (
        "REFRESH MATERIALIZED VIEW s.unfilled",
        ["materialised view s.unfilled holds rows, the source's none"],
    ),
    # functions and types
    "function's body": (
        "CREATE OR REPLACE FUNCTION s.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n + n'",
        [f"FUNCTION s.twice(integer) {OTHERWISE}"],
    ),
    "function's volatility": (
        "ALTER FUNCTION s.same(int, int) STABLE",
        [f"FUNCTION s.same(integer, integer) {OTHERWISE}"],
    ),
    "function's rights": (
        "ALTER FUNCTION s.touch() SECURITY DEFINER",
        [f"FUNCTION s.touch() {OTHERWISE}"],
    ),
    "function's settings": (
        "ALTER FUNCTION s.touch() SET search_path = s",
        [f"FUNCTION s.touch() {OTHERWISE}"],
    ),
    "function with other arguments": (
        "CREATE FUNCTION s.twice(n bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        [f"FUNCTION s.twice(bigint) {EXTRA}"],
    ),
    "procedure": (
        "CREATE OR REPLACE PROCEDURE s.work() LANGUAGE sql AS 'SELECT 2'",
        [f"PROCEDURE s.work() {OTHERWISE}"],
    ),
    "aggregate": ("DROP AGGREGATE s.total(int)", [f"AGGREGATE s.total(integer) {MISSING}"]),
    "operator": ("DROP OPERATOR s.=== (int, int)", [f"OPERATOR s.=== {MISSING}"]),
    "enum's label": ("ALTER TYPE s.colour RENAME VALUE 'blue' TO 'green'", [f"TYPE s.colour {OTHERWISE}"]),
    "enum's label more": ("ALTER TYPE s.colour ADD VALUE 'green'", [f"TYPE s.colour {OTHERWISE}"]),
    "enum's order": (
        "ALTER TYPE s.colour RENAME VALUE 'blue' TO 'x'; ALTER TYPE s.colour RENAME VALUE 'red' TO 'blue';"
        "ALTER TYPE s.colour RENAME VALUE 'x' TO 'red'",
        [f"TYPE s.colour {OTHERWISE}", f"{PERSON}: colour"],
    ),
    "composite's field": (
        "ALTER TYPE s.pair ALTER ATTRIBUTE b TYPE varchar(3)",
        [f"TYPE s.pair {OTHERWISE}"],
    ),
    "domain's check": (
        "ALTER DOMAIN s.positive DROP CONSTRAINT above_zero",
        [f"DOMAIN s.positive {OTHERWISE}"],
    ),
    "domain's default": ("ALTER DOMAIN s.positive SET DEFAULT 1", [f"DOMAIN s.positive {OTHERWISE}"]),
    "type dropped": ("DROP TYPE s.span", [f"TYPE s.span {MISSING}"]),
    "collation dropped": ("DROP COLLATION s.bytewise", [f"COLLATION s.bytewise {MISSING}"]),
    "text search": (
        "ALTER TEXT SEARCH CONFIGURATION s.words DROP MAPPING FOR word",
        [f"TEXT SEARCH CONFIGURATION s.words {OTHERWISE}"],
    ),
    "statistics object": ("DROP STATISTICS s.together", [f"STATISTICS s.together {MISSING}"]),
    "extension dropped": (
        "DROP EXTENSION citext CASCADE",
        [
            f"{PERSON}: mail",
            f"CONSTRAINT s.person mail_key {MISSING}",
            "extension citext is missing",
        ],
    ),
    # large objects
    "large object's comment": (
        "COMMENT ON LARGE OBJECT 4711 IS 'privat'",
        ["large object 4711 has another comment or other grants"],
    ),
    "large object's comment gone": (
        "COMMENT ON LARGE OBJECT 4711 IS NULL",
        ["large object 4711 has another comment or other grants"],
    ),
    "large object's grant": (
        "GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC",
        ["large object 4711 has another comment or other grants"],
    ),
    "large object's grant gone": (
        "REVOKE SELECT ON LARGE OBJECT 4713 FROM PUBLIC",
        ["large object 4713 has another comment or other grants"],
    ),
}
LARGE_OBJECTS = {
    "large object changed": (
        "SELECT lo_put(4711, 0, 'P')",
        "row with oid = 4711, at = 0 differs in data",
    ),
    "large object longer": ("SELECT lo_put(4712, 0, 'P')", "row with oid = 4712, at = 0 differs in data"),
    "large object missing": ("SELECT lo_unlink(4712)", "row with oid = 4712, at = 0 is missing"),
    "large object too many": ("SELECT lo_create(1)", "row with oid = 1, at = 0 is not in the backup"),
}
AS_SUPERUSER = {
    "keys kept by no trigger": (
        "ALTER TABLE s.branch DISABLE TRIGGER ALL",
        [
            "CONSTRAINT s.person branch_key is not enforced: its triggers are disabled",
            "CONSTRAINT s.person later_key is not enforced: its triggers are disabled",
        ],
    ),
    "index not valid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 's.person_born'::regclass",
        [f"INDEX s.person_born {MISSING}"],
    ),
    "extension in another schema": (
        "CREATE SCHEMA elsewhere; ALTER EXTENSION citext SET SCHEMA elsewhere",
        [f"{PERSON}: mail", "extension citext stands in schema elsewhere, in the source in public"],
    ),
    "foreign table": (
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;"
        "CREATE FOREIGN TABLE s.outside (line text) SERVER files OPTIONS (filename '/etc/hostname')",
        ["s.outside reads a foreign server and is not in the source"],
    ),
}
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def finished(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copied]:
    with copied(tmp_path_factory.mktemp("objects"), cluster, second_cluster, SOURCE) as made:
        yield made


def check_fault(
    finished: Copied, expected: list[str], inject: Callable[[Copied], None], look: str = "objects"
) -> list[str]:
    """Spoil a copy of the target and demand exactly these findings."""
    with finished.aside() as copy:
        before = finished.looked_at(look)
        with that_changes(getattr(copy, look), before):
            inject(copy)
        told = copy.differing_objects()
    check_named(told, expected)
    return told


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_in_an_object(finished: Copied, fault: str, record_property: Record) -> None:
    statement, expected = FAULTS[fault]
    told = check_fault(finished, expected, lambda copy: copy.change(statement), "state")
    record_property("fault", (fault, "objects", "", "; ".join(told)))


@pytest.mark.parametrize("fault", AS_SUPERUSER)
def test_fault_of_a_superuser(finished: Copied, fault: str, record_property: Record) -> None:
    statement, expected = AS_SUPERUSER[fault]
    told = check_fault(finished, expected, lambda copy: copy.as_superuser(statement), "catalog")
    record_property("fault", (fault, "objects", "", "; ".join(told)))


@pytest.mark.parametrize("fault", LARGE_OBJECTS)
def test_fault_in_a_large_object(finished: Copied, fault: str, record_property: Record) -> None:
    statement, said = LARGE_OBJECTS[fault]
    with finished.aside() as copy:
        with that_changes(lambda: copy.fingerprint("")):
            copy.change(statement)
        told = copy.differing_rows("")
    check_named(told, [f"large-objects: {said}"])
    record_property("fault", (fault, "large objects", "3", "; ".join(told)))


def test_an_unspoiled_copy_has_no_fault(finished: Copied) -> None:
    with finished.aside() as copy:
        assert copy.differing_objects() == []
        assert copy.differing_rows(*{t.name for t in copy.index.plan.tables}) == []


@pytest.mark.parametrize("nothing", ["SELECT 1", "ANALYZE", "COMMENT ON TABLE s.person IS 'people'"])
def test_an_injector_that_changes_nothing_fails_its_test(finished: Copied, nothing: str) -> None:
    with pytest.raises(AssertionError, match="changes nothing"):
        check_fault(finished, ["TABLE s.person is missing"], lambda copy: copy.change(nothing), "state")


def test_a_verification_that_sees_nothing_fails_the_test(
    finished: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Copied, "differing_objects", lambda _: [])
    statement, expected = FAULTS["index dropped"]
    with pytest.raises(AssertionError):
        check_fault(finished, expected, lambda copy: copy.change(statement), "state")
