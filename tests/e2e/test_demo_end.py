"""The second demo, as `make demo-deregistration` runs it: a company ends, archived and certified."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bagit
import pytest

from fixtures.demo import PATIENCE_SECONDS, performed

# A run with twice the tasks of a transfer's.
LONGEST_SECONDS = 2 * PATIENCE_SECONDS
pytestmark = [pytest.mark.campaign, pytest.mark.timeout(2 * LONGEST_SECONDS)]
SCALE = 20_000


@pytest.fixture(scope="module")
def ended() -> Iterator[tuple[Path, str, int]]:
    """The state folder of a demo that ran, what it printed, and its exit status."""
    home = Path(tempfile.mkdtemp(prefix="handover-end-"))
    with performed(home, "--end", "--scale", str(SCALE), longest=LONGEST_SECONDS) as (output, status):
        yield home, output, status


def path_after(output: str, word: str) -> Path:
    (found,) = [line.removeprefix(word) for line in output.splitlines() if line.startswith(word)]
    return Path(found.strip())


def test_it_ends_well_with_evidence_and_certificate(ended: tuple[Path, str, int]) -> None:
    _, output, status = ended
    assert status == 0, output
    assert output.count("RESULT: everything holds") == 2
    folder = path_after(output, "certificate:")
    made = json.loads((folder / "destruction-certificate.json").read_text())
    assert made["case"] == "deregistration"
    assert (folder / "destruction-certificate.pdf").read_bytes().startswith(b"%PDF")
    assert all(key["decryption_fails"] for key in made["keys"] if key["purpose"] == "backup")


def test_the_archive_is_a_bag(ended: tuple[Path, str, int]) -> None:
    assert bagit.Bag(str(path_after(ended[1], "archive:"))).validate()
