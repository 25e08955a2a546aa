"""Tables to spoil, of every shape and at two sizes, and the list of faults that `make mutation` prints."""

from collections.abc import Iterator

import pytest

from fixtures.mutation import Copied, copied
from fixtures.shapes import LARGE, SMALL, source_of
from handover.local.clusters import Cluster

HEAD = ("fault", "where", "rows", "caught", "named as")


@pytest.fixture(scope="session")
def small(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copied]:
    """Tables of 1,000 rows."""
    with copied(tmp_path_factory.mktemp("small"), cluster, second_cluster, source_of(SMALL), 8192) as made:
        yield made


@pytest.fixture(scope="session")
def large(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copied]:
    """Tables of 60,000 rows."""
    with copied(tmp_path_factory.mktemp("large"), cluster, second_cluster, source_of(LARGE)) as made:
        yield made


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--list-faults", action="store_true", help="print the table of faults at the end")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("list_faults", default=False):
        return
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    rows = [
        (*row[:3], "yes" if report.passed else "NO", row[3])
        for report in reports
        for name, row in report.user_properties
        if name == "fault"
    ]
    terminalreporter.section(f"{len(rows)} faults, {sum(row[3] == 'yes' for row in rows)} caught and named")
    for line in table([HEAD, *rows]):
        terminalreporter.write_line(line)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of text with columns one below the other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
