"""Two servers that do not go together are refused before anything is read, each for its own reason."""

import pytest

from handover.model.catalog import Server
from handover.postgres.preflight import check_pair


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


@pytest.mark.parametrize(
    ("source", "target", "tools", "expected"),
    [
        (SOURCE, server(system="2"), 18, []),
        (SOURCE, server(database="other"), 18, []),
        (SOURCE, server(), 18, ["same-database"]),
        (SOURCE, server(system="2", major=17, version="17.9"), 18, ["target-older"]),
        (server(major=15, version="15.1"), server(system="2"), 18, ["majors-differ"]),
        (SOURCE, server(system="2"), 17, ["tools-older"]),
        (SOURCE, server(system="2", encoding="LATIN1"), 18, ["encodings-differ"]),
        (server(encoding="LATIN1"), server(system="2", encoding="LATIN1"), 18, []),
        (server(encoding="LATIN1"), server(system="2"), 18, []),
    ],
)
def test_pairs(source: Server, target: Server, tools: int, expected: list[str]) -> None:
    findings = list(check_pair(source, target, tools))
    assert [finding.id for finding in findings] == expected
    assert all(finding.remedy and not finding.acknowledgeable for finding in findings)
