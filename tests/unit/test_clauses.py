"""Two definitions of a table: what differs is named by column or constraint, and never quoted."""

import pytest

from handover.postgres.clauses import differing

TABLE = """CREATE TABLE s.person (
    id integer NOT NULL,
    "Na(me,""x" text DEFAULT 'a, (private
    secret text)''; b'::text,
    amount numeric(9,2) DEFAULT round((1.5 + (2)::numeric), 1),
    "中文" text,
    CONSTRAINT adult CHECK ((id > 0)),
    CONSTRAINT "Odd one" CHECK (("中文" <> 'x,y'::text))
)
WITH (fillfactor='70');


ALTER TABLE ONLY s.person ALTER COLUMN "中文" SET STORAGE EXTERNAL;


ALTER TABLE ONLY s.person REPLICA IDENTITY FULL;"""
CHANGES = {
    "type": ("id integer", "id bigint", ["id"]),
    "not null": ("id integer NOT NULL", "id integer", ["id"]),
    "default over two lines": ("secret text", "public text", ['"Na(me,""x"']),
    "default with a closing parenthesis": ("text)''", "text''", ['"Na(me,""x"']),
    "nested parentheses": ("(2)::numeric", "(3)::numeric", ["amount"]),
    "scale": ("numeric(9,2)", "numeric(9,3)", ["amount"]),
    "check": ("id > 0", "id > 1", ["constraint adult"]),
    "check with a comma": ("'x,y'", "'x,z'", ['constraint "Odd one"']),
    "check gone": ("    CONSTRAINT adult CHECK ((id > 0)),\n", "", ["constraint adult"]),
    "column gone": ('    "中文" text,\n', "", ['"中文"']),
    "column more": ('    "中文" text,\n', '    "中文" text,\n    extra int,\n', ["extra"]),
    "storage": ("EXTERNAL", "MAIN", ['"中文"']),
    "storage statement gone": (
        'ALTER TABLE ONLY s.person ALTER COLUMN "中文" SET STORAGE EXTERNAL;',
        "",
        ['"中文"'],
    ),
    "options": ("'70'", "'80'", ["its options"]),
    "replica identity": ("FULL", "NOTHING", ["its options"]),
    "order": (
        "    id integer NOT NULL,\n",
        "",
        ["the order of its columns"],
    ),
}


@pytest.mark.parametrize("old, new, named", CHANGES.values(), ids=CHANGES)
def test_a_change_is_named(old: str, new: str, named: list[str]) -> None:
    assert TABLE.count(old) == 1
    other = TABLE.replace(old, new)
    if named == ["the order of its columns"]:
        other = other.replace('    "中文" text,\n', '    "中文" text,\n' + old)
    assert differing(TABLE, other) == named
    assert differing(other, TABLE) == named


def test_equal_definitions_differ_in_nothing() -> None:
    assert differing(TABLE, TABLE) == []


def test_a_table_without_columns() -> None:
    empty = "CREATE TABLE s.empty (\n);"
    assert differing(empty, "CREATE TABLE s.empty (\n    id integer\n);") == ["its options", "id"]
