"""A data map: what it must say, what is refused with line and remedy, and how it meets a catalog."""

from pathlib import Path

import pytest

from handover.errors import DataMapInvalid
from handover.model.catalog import Catalog, Column, Server, Table
from handover.model.datamap import (
    load_datamap,
    parse_datamap,
    require_confirmed,
    unmapped,
    vanished,
)
from handover.settings import REPOSITORY

ENTRY = "{kind: related, jrt0171: C1, pipl_sensitive: false, gbt43697: 2, gdpr: personal}"
MAP = f"""\
map: a-case
version: 1
confirmed: {{by: somebody, date: 2026-01-02}}
datasets:
  - table: s.person
    purpose: loans
    origin: the person
    subject: [{{by: [id]}}]
    columns:
      id: {ENTRY}
      name: {ENTRY}
  - table: [s, "odd.name"]
    partitions: [s.part_1, s.part_2]
    purpose: loans
    origin: the person
    subject: [{{by: [owner], to: s.person, when: {{kind: person}}}}]
    columns:
      owner: {ENTRY}
      kind: {ENTRY}
"""


def table(name: str, *columns: str) -> Table:
    made = tuple(Column(name=column, type="text", binary_safe=True) for column in columns)
    return Table(schema_name="s", name=name, columns=made, key=(), rows_estimate=0, bytes=0)


def catalog(*tables: Table) -> Catalog:
    server = Server(
        version="18", major=18, system="1", database="d", role="r", encoding="UTF8", collation="C"
    )
    return Catalog(server=server, tables=tables, materialized_views=(), extensions=(), large_objects=0)


WHOLE = (table("person", "id", "name"), table("part_1", "owner", "kind"), table("part_2", "owner", "kind"))


def refusal(text: str) -> str:
    with pytest.raises(DataMapInvalid) as caught:
        parse_datamap(text, "a-case.yaml", "a-case")
    assert caught.value.hint
    return caught.value.message


def test_the_example_is_valid_and_confirmed() -> None:
    datamap = require_confirmed(load_datamap(REPOSITORY / "include" / "datamaps", "whole-database"))
    assert len(list(datamap.entries())) == 288
    assert datamap.unknown_provenance() == ["lending.page_views"]


def test_a_map_says_what_it_says() -> None:
    datamap = parse_datamap(MAP, "a-case.yaml", "a-case")
    person, odd = datamap.datasets
    assert odd.labels == ("s.odd.name", "s.part_1", "s.part_2")
    assert odd.subject[0].to is not None
    assert (odd.subject[0].to.label, odd.subject[0].when) == ("s.person", {"kind": "person"})
    assert person.columns["id"].levels.document() == {
        "jrt0171": "C1", "pipl_sensitive": False, "gbt43697": 2, "gdpr": "personal",
    }  # fmt: skip


FAULTS = {
    "an unknown kind": ("id: {kind: related", "id: {kind: x", "line 10, datasets.0.columns.id.kind: 'x'"),
    "an unknown level": ("jrt0171: C1", "jrt0171: C9", "line 10, datasets.0.columns.id.jrt0171: input"),
    "a misspelt key": ("origin: the person", "orign: the person", "orign: unknown key; take it out"),
    "a missing purpose": ("    purpose: loans\n", "", "line 5, datasets.0.purpose: missing; add it"),
    "a name that YAML reads as a truth": ("      name:", "      true:", "not a text; put it in quotes"),
    "a subject by an unknown column": ("by: [id]", "by: [ident]", "line 5, datasets.0: subject names column"),
    "a way to nowhere": ("to: s.person", "to: s.nobody", "leads to s.nobody, which is not under datasets"),
    "a way to a table of nobody": ("    subject: [{by: [id]}]\n", "", "s.person, which leads to no person"),
    "a circle": ("[{by: [id]}]", "[{by: [id], to: s.person}]", "leads in a circle: s.person → s.person"),
    "a table twice": ("[s.part_1, s.part_2]", "[s.part_1, s.person]", "table s.person stands twice"),
    "a name of one part": ("table: s.person", "table: person", "line 5, datasets.0.table: 'person' does"),
    "another version": ("version: 1", "version: 2", "line 2, version: input should be 1"),
    "another case": ("map: a-case", "map: b-case", "says map: b-case"),
    "no date": ("date: 2026-01-02", "date: soon", "line 3, confirmed.date:"),
    "a treatment by its word alone": ("personal}", "personal, treatment: token}", "treatment: not a mapping"),
    "a treatment without strategy": ("personal}", "personal, treatment: {length: 9}}", "names no strategy"),
    "a key twice": ("version: 1", "version: 1\nversion: 1", "not YAML at line 3, column 1: key 'version'"),
}  # fmt: skip


@pytest.mark.parametrize(("there", "wrong", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_with_line_field_and_remedy(there: str, wrong: str, said: str) -> None:
    text = MAP.replace(there, wrong, 1)
    assert text != MAP
    assert said in refusal(text)


@pytest.mark.parametrize("text", ["", "[]", "just words"])
def test_what_is_no_mapping(text: str) -> None:
    assert "expected a mapping" in refusal(text)


def test_every_fault_is_told_at_once() -> None:
    said = refusal(MAP.replace("jrt0171: C1", "jrt0171: C9").replace("version: 1", "version: 3"))
    assert said.count("\n  line ") == 5


def test_a_map_that_is_not_there_or_not_readable(tmp_path: Path) -> None:
    for name, content, said in (("absent", None, "has no data map"), ("bytes", b"\xff", "cannot be read")):
        if content:
            (tmp_path / f"{name}.yaml").write_bytes(content)
        with pytest.raises(DataMapInvalid, match=said):
            load_datamap(tmp_path, name)
    with pytest.raises(DataMapInvalid, match="is not valid"):
        load_datamap(tmp_path, "../etc")


def test_a_proposal_is_not_a_confirmed_map() -> None:
    text = MAP.replace("confirmed: {by: somebody, date: 2026-01-02}\n", "")
    with pytest.raises(DataMapInvalid, match=r"4 columns are not confirmed, among them s\.person\.id"):
        require_confirmed(parse_datamap(text, "a-case.yaml", "a-case"))
    one = text.replace("gdpr: personal}", "gdpr: personal, confirmed: {by: x, date: 2026-01-02}}", 1)
    assert "s.person.id" not in parse_datamap(one, "a-case.yaml", "a-case").unconfirmed()


def test_a_map_that_knows_everything() -> None:
    datamap = parse_datamap(MAP, "a-case.yaml", "a-case")
    assert unmapped(datamap, catalog(*WHOLE)) == []
    assert vanished(datamap, catalog(*WHOLE)) == []
    through_root = catalog(WHOLE[0], table("odd.name", "owner", "kind"))
    assert unmapped(datamap, through_root) == vanished(datamap, through_root) == []


def test_what_the_map_does_not_know() -> None:
    datamap = parse_datamap(MAP, "a-case.yaml", "a-case")
    more = (table("person", "id", "name", "mobile"), *WHOLE[1:], table("part_3", "owner"), table("new", "a"))
    assert unmapped(datamap, catalog(*more)) == ["column s.person.mobile", "table s.part_3", "table s.new"]


def test_what_the_source_no_longer_has() -> None:
    datamap = parse_datamap(MAP, "a-case.yaml", "a-case")
    less = catalog(table("person", "id"), WHOLE[1])
    assert vanished(datamap, less) == ["column s.person.name", "table s.part_2"]
    assert vanished(datamap, catalog(*WHOLE[1:])) == ["table s.person"]
