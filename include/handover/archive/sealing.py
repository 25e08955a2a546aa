"""Completes an archive: index, calendar, page and reading program beside the rows, then a bag around it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError

from handover import __version__
from handover.archive import read
from handover.archive.bag import PAYLOAD, make_bag, write_file
from handover.archive.destruction_calendar import calendar_files
from handover.archive.page import index_html
from handover.errors import VaultCorrupt
from handover.model.archive import Archive, BagContact
from handover.model.base import Frozen
from handover.vault.files import make_private_folders, refusal

ARCHIVE_NAME, INDEX_NAME, READ_NAME, SCHEMA_NAME = "archive.json", "index.html", "read.py", "schema.json"


def seal(staging: Path, bag: Path, archive: Archive, contact: BagContact, reason: str = "") -> str:
    """Turn what ``write_table`` wrote into a bag and return the digest by which its fixity is checked.

    ``reason``: why it was made, where it is no archive of a whole run. Killed at any point it is begun again;
    the bag's name appears last, and stands for a whole bag.
    """
    clear = archive.uncommented()
    files = {
        ARCHIVE_NAME: _json(clear),
        INDEX_NAME: index_html(clear).encode(),
        READ_NAME: Path(read.__file__).read_bytes(),
        **calendar_files(clear),
        **{f"{table.folder}/{SCHEMA_NAME}": _json(table) for table in clear.tables},
    }
    payload = staging / PAYLOAD
    try:
        for name, data in files.items():
            make_private_folders((payload / name).parent)
            write_file(payload / name, data)
    except OSError as error:
        raise refusal(error, payload, "written") from None
    digests = {part.file: part.sha256 for part in archive.parts}
    digests |= {name: sha256(data).hexdigest() for name, data in files.items()}
    return make_bag(staging, bag, _info(archive, contact, reason), digests)


def read_archive(bag: Path) -> Archive:
    """Return what a bag says it holds."""
    try:
        return Archive.model_validate_json((bag / PAYLOAD / ARCHIVE_NAME).read_bytes())
    except (OSError, ValidationError):
        raise VaultCorrupt(
            f"{bag} has no {PAYLOAD}/{ARCHIVE_NAME} that can be read",
            hint="name the folder of an archive's bag; if it is one, bring the file back from a copy",
        ) from None


def _info(archive: Archive, contact: BagContact, reason: str) -> dict[str, str]:
    given = {
        "Source-Organization": contact.organization,
        "Contact-Name": contact.name,
        "Contact-Phone": contact.phone,
        "Contact-Email": contact.email,
        "External-Identifier": archive.terms.case,
        "External-Description": "留存数据档案（加密）· archive of retained rows, encrypted",
        "Internal-Sender-Description": reason,
        "Bagging-Date": archive.made_on.isoformat(),
        "Bag-Software-Agent": f"Handover {__version__}",
    }
    return {name: value for name, value in given.items() if value}


def _json(value: Frozen) -> bytes:
    return f"{json.dumps(value.document(), ensure_ascii=False, indent=1)}\n".encode()
