"""Servers that do not go together are refused before anything is read, each for its own reason."""

import pytest

from handover.model.catalog import Server
from handover.postgres.preflight import check_servers


def server(**changes: object) -> Server:
    """A server like the other, but for some facts."""
    facts = {
        "version": "18.6",
        "major": 18,
        "system": "1",
        "database": "company",
        "role": "company",
        "encoding": "UTF8",
        "collation": "C",
    }
    return Server.model_validate(facts | changes)


SOURCE = server()
TARGET = server(system="2")
OLD = server(major=15, version="15.1", system="3")
OLDER = server(major=14, version="14.1", system="4")


@pytest.mark.parametrize(
    ("source", "target", "scratch", "tools", "expected"),
    [
        (SOURCE, TARGET, TARGET, 18, []),
        (SOURCE, server(database="other"), TARGET, 18, []),
        (SOURCE, SOURCE, TARGET, 18, ["same-database"]),
        (SOURCE, OLD, TARGET, 18, ["target-older"]),
        (OLD, TARGET, TARGET, 18, []),
        (OLD, TARGET, OLD, 18, ["restore-test-version"]),
        (OLD, OLDER, OLD, 18, ["target-older"]),
        (OLD, server(major=15, system="2"), TARGET, 18, []),
        (OLD, server(major=15, system="2"), OLDER, 18, ["restore-test-version"]),
        (SOURCE, TARGET, TARGET, 17, ["tools-older"]),
        (SOURCE, server(system="2", encoding="LATIN1"), TARGET, 18, ["encodings-differ"]),
        (server(encoding="LATIN1"), server(system="2", encoding="LATIN1"), TARGET, 18, []),
        (server(encoding="LATIN1"), TARGET, TARGET, 18, []),
    ],
)
def test_servers(source: Server, target: Server, scratch: Server, tools: int, expected: list[str]) -> None:
    findings = list(check_servers(source, target, scratch, tools))
    assert [finding.id for finding in findings] == expected
    assert all(finding.remedy and not finding.acknowledgeable for finding in findings)
