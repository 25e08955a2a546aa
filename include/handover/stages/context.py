"""What every stage is given: the case, the run, the connections, ledger, vault and keyring."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from secrets import token_hex

from handover.errors import CaseInvalid, HandoverError, KeyUnavailable, NotReady, VaultCorrupt
from handover.evidence.digest import keyed
from handover.evidence.ledger import Entry, Ledger
from handover.evidence.progress import Meter, meter
from handover.model.backup import ChunkReceipt, ObjectRef, Shared
from handover.model.case import Case, load_case
from handover.model.plan import Plan
from handover.postgres.tools import ClientPrograms
from handover.settings import Settings
from handover.stages.databases import Databases
from handover.stages.stopping import StopFlag
from handover.vault.copies import declared_copies
from handover.vault.keyring import Keyring
from handover.vault.roots import Purpose
from handover.vault.segment import Label, open_segment, read_header, seal
from handover.vault.store import FolderStore, Store

# Gives the URL of a connection by its id; the Airflow edge and the command line each bring their own.
Resolver = Callable[[str], str]


@dataclass(frozen=True)
class Context:
    """A run of a case and everything it works with; opened afresh in every process.

    ``target`` is empty in a run that hands nothing over.
    """

    case: Case
    run: str
    source: str
    target: str
    scratch: str
    ledger_url: str
    ledger: Ledger
    store: Store
    keyring: Keyring
    programs: ClientPrograms
    settings: Settings
    databases: Databases

    def record(self, kind: str, body: Mapping[str, object], key: str | None = None) -> Entry:
        """Append to the ledger; with a key, once."""
        return self.ledger.append(self.case.case, self.run, kind, body, key=key)

    def entries(self, *kinds: str) -> list[Entry]:
        """Return this run's ledger entries of the given kinds."""
        return self.ledger.entries(self.case.case, run=self.run, kinds=kinds)

    def last(self, kind: str, step: str) -> Entry:
        """Return the last entry of a kind; raise NotReady naming the step that should have written it."""
        found = self.entries(kind)
        if not found:
            raise NotReady(f"step {step} has not been done in this run", hint=f"run or clear the task {step}")
        return found[-1]

    def plan(self) -> Plan:
        """Return this run's plan."""
        return Plan.model_validate(self.last("plan", "plan").body["plan"])

    @property
    def disposes(self) -> bool:
        """Say whether this run's plan lets anything go from the source; nothing does without a plan."""
        return bool(self.entries("plan")) and self.plan().disposes

    @property
    def masks(self) -> bool:
        """Say whether this run's plan lets anything arrive with pseudonyms; NotReady without a plan."""
        return self.plan().masks

    def honour_stop(self) -> None:
        """Raise Stopped when somebody asked the case to stop; looks at most once in a second."""
        self._stop_flag.honour()

    @cached_property
    def _stop_flag(self) -> StopFlag:
        return StopFlag(self.ledger, self.case.case, self.run)

    def require_open(self) -> None:
        """Raise NotReady when the run was aborted, CaseInvalid when its case file has changed."""
        if self.entries("run-aborted"):
            raise NotReady(
                f"run {self.run} was aborted", hint=f"`handover run {self.case.case}` starts a new one"
            )
        self.require_same_case()

    def require_same_case(self) -> None:
        """Raise CaseInvalid when the case file is not the one that this run was opened with."""
        opened = self.entries("run-opened")
        if opened and opened[0].body["digest"] != self.case.sha256_of_json():
            raise CaseInvalid(
                f"the case file changed after it opened run {self.run}",
                hint="put it back as it was to go on with this run, or start a new run",
            )

    @contextmanager
    def step(self, stage: str, lane: str = "") -> Iterator[Meter]:
        """Do a step: honour the stop flag, measure it, and write a failure to the ledger as it passes."""
        try:
            self.require_open()
            self.honour_stop()
            with meter(self.ledger_url, self.case.case, self.run, stage, lane) as measuring:
                yield measuring
        except Exception as error:
            self.record("failure", {"stage": stage, "lane": lane, **_told(error)})
            raise

    @cached_property
    def evidence_key(self) -> bytes:
        """The key of this case's published digests."""
        return self.keyring.key(self.ensure_key(Purpose.EVIDENCE, self.case.case))

    def ensure_key(self, purpose: Purpose, name: str) -> str:
        """Return the id of a key, made now unless there was one; a destroyed key is never made anew."""
        made = self.keyring.find(purpose, name)
        if made is None and any(k.purpose is purpose and k.case == name for k in self.keyring.list()):
            raise KeyUnavailable(
                f"the {purpose.value} key of {name} was destroyed",
                hint="what it protected cannot be read again; start a new run or a new case",
            )
        made = made or self.keyring.ensure(purpose, name)
        self.record("key-created", {"key": made.key_id, "purpose": purpose.value}, key=made.key_id)
        return made.key_id

    def digest(self, plain: bytes) -> str:
        """Return the keyed, publishable form of a SHA-256."""
        return keyed(self.evidence_key, plain)

    def label(self, generation: int, kind: str, table: str = "", chunk: int = 0) -> Label:
        """Return the label that binds an object to case, run, generation and place."""
        return Label(self.case.case, self.run, generation, kind, table, chunk)

    def folder(self, generation: int) -> str:
        """Return the vault folder of one generation of this run's backup."""
        return f"{self.case.case}/{self.run}/g{generation}"

    def object_name(self, generation: int, name: str) -> str:
        """Return a new name for an object: by its random part no attempt meets another's."""
        return f"{self.folder(generation)}/{name}-{token_hex(4)}.seg"

    def put(self, label: Label, data: bytes, name: str) -> ObjectRef:
        """Encrypt and store an object."""
        key_id = self.backup_key_id
        blob = seal(label, [data], key_id, self.keyring.key(key_id))
        stored = self.store.put(self.object_name(label.generation, name), blob)
        return ObjectRef(name=stored.name, size=stored.size, sha256=stored.sha256)

    @cached_property
    def backup_key_id(self) -> str:
        """The key of this run's backup: one of its own, so that it can be destroyed alone."""
        return self.ensure_key(Purpose.BACKUP, self.backup_name)

    @property
    def holder(self) -> str:
        """The name of this run in a database that runs of several cases share."""
        return f"{self.case.case}/{self.run}"

    @property
    def backup_name(self) -> str:
        """The name of this run's backup in the keyring."""
        return f"{self.case.case}/{self.run}"

    def get(self, label: Label, reference: ObjectRef) -> bytes:
        """Read an object, check it against its receipt and its label, and decrypt it."""
        return self._open(label, reference, None)

    def get_chunk(self, generation: int, receipt: ChunkReceipt) -> bytes:
        """Read a chunk of this run's backup, also one that shares the object of an earlier backup."""
        shared = receipt.shared
        if shared is None:
            return self.get(self.label(generation, "rows", receipt.place, receipt.chunk), receipt.object)
        label = Label(self.case.case, shared.run, shared.generation, "rows", shared.place, shared.chunk)
        return self._open(label, receipt.object, shared)

    def _open(self, label: Label, reference: ObjectRef, shared: Shared | None) -> bytes:
        name = reference.name
        blob = self.store.get(name)
        key_id = shared.key_id if shared else read_header(blob, name).key_id
        wrapped_key = base64.b64decode(shared.wrapped_key) if shared else b""
        plain = open_segment(blob, label, self.keyring.key(key_id), name, wrapped_key)
        if hashlib.sha256(blob).hexdigest() != reference.sha256:
            # The seal finds damage, but not a whole file put in place of another attempt's.
            raise VaultCorrupt(
                f"{name} is a valid segment but not the one that its receipt names",
                hint="restore the file from a copy of the vault, or start a new run",
                object=name,
            )
        return plain


def _told(error: Exception) -> dict[str, str]:
    """Describe a failure for the ledger; an error nobody foresaw may quote a row, so its type must do."""
    foreseen = isinstance(error, HandoverError)
    message = str(error) if foreseen else "unforeseen error\nHINT: see where it happened in the task's log"
    return {"error": type(error).__name__, "message": message}


def run_name(run_id: str) -> str:
    """Return a run id that is fit for folder names; distinct ids stay distinct."""
    if re.fullmatch(r"[A-Za-z0-9-]{1,100}", run_id):
        return run_id
    plain = re.sub(r"[^A-Za-z0-9]+", "-", run_id).strip("-")[:80]
    return f"{plain}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def open_context(settings: Settings, case_id: str, run_id: str, resolve: Resolver) -> Context:
    """Open a run of a case that is written down: read and validate it, and open what it works with."""
    return open_case(settings, load_case(settings.cases, case_id), run_id, resolve)


def open_case(settings: Settings, case: Case, run_id: str, resolve: Resolver) -> Context:
    """Open a run of a case: find its connections, open ledger, vault and keyring."""
    copies = [one.place for one in declared_copies(settings.variables) if one.destroyed is None]
    keyring = Keyring.open(settings.keyring, copies)
    ledger_url = settings.require("HANDOVER_LEDGER_URL")
    urls = [
        _resolved(resolve, field, connection) if connection else ""
        for field, connection in (
            ("source.connection", case.source.connection),
            ("target.connection", case.target.connection if case.target else ""),
            ("restore_test.connection", case.restore_test.connection),
        )
    ]
    return Context(
        case=case,
        run=run_name(run_id),
        source=urls[0],
        target=urls[1],
        scratch=urls[2],
        ledger_url=ledger_url,
        ledger=Ledger(ledger_url, keyring.signer()),
        store=FolderStore(settings.vault),
        keyring=keyring,
        programs=ClientPrograms(settings.variables),
        settings=settings,
        databases=Databases(resolve),
    )


def _resolved(resolve: Resolver, field: str, connection: str) -> str:
    try:
        return resolve(connection)
    except KeyError:
        raise CaseInvalid(
            f"{field}: connection {connection!r} is not known",
            hint=f"`airflow connections add {connection} --conn-uri postgresql://…`, or correct the field",
        ) from None
