"""The third demo: the sample VIE ends, three certificates, and one closing that is refused until the last."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fixtures.demo import PATIENCE_SECONDS, performed
from handover.settings import REPOSITORY
from handover.stages.facts import legal_day

# Three runs follow each other: on a busy machine more than any single test may take.
LONGEST_SECONDS = 4 * PATIENCE_SECONDS
pytestmark = [pytest.mark.campaign, pytest.mark.timeout(2 * LONGEST_SECONDS)]
SCALE = 3_000
CASES = ("vie-wfoe", "vie-parent", "vie-termination")


def of_this_year(folder: Path) -> Path:
    """The cases as they are shipped; the exports of a year are counted anew in each."""
    shutil.copytree(REPOSITORY / "include" / "cases", folder)
    for name in CASES:
        path = folder / f"{name}.yaml"
        path.write_text(re.sub(r"(?m)^    year: \d+$", f"    year: {legal_day().year}", path.read_text()))
        assert yaml.safe_load(path.read_text())["matter"]["exports"]["year"] == legal_day().year
    return folder


@pytest.fixture(scope="module")
def ended() -> Iterator[tuple[str, int]]:
    """What a demo that ran printed, and its exit status."""
    home = Path(tempfile.mkdtemp(prefix="handover-vie-"))
    cases = str(of_this_year(home / "cases"))
    options = ("--vie", "--scale", str(SCALE))
    with performed(home, *options, longest=LONGEST_SECONDS, HANDOVER_CASES=cases) as done:
        yield done


def certificates(output: str) -> dict[str, dict[str, Any]]:
    """The certificates that the demo named, by case."""
    folders = re.findall(r"^certificate: (.*)$", output, re.MULTILINE)
    made = [json.loads((Path(folder) / "destruction-certificate.json").read_text()) for folder in folders]
    return {str(one["case"]): one for one in made}


def test_it_ends_with_three_final_certificates(ended: tuple[str, int]) -> None:
    output, status = ended
    assert status == 0, output
    assert output.count("RESULT: everything holds") == 2 * len(CASES), "evidence and certificate of each"
    found = certificates(output)
    assert {case: one["finality"] for case, one in found.items()} == dict.fromkeys(CASES, "final")


def test_closing_was_refused_once_and_only_for_the_parent(ended: tuple[str, int]) -> None:
    output = ended[0]
    assert "closing was refused, as it must be: the certificate of case vie-parent is outstanding" in output
    before, after = output.split("closing was refused, as it must be")
    outstanding = [line for line in before.splitlines() if "certificate outstanding" in line]
    assert len(outstanding) == 1 and "case vie-parent has issued a provisional" in outstanding[0]
    assert "failed task: close" in before
    assert "failed task" not in after
