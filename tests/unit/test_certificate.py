"""A certificate of destruction says exactly what its facts carry: final or provisional, in which words."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from fixtures.destruction import DIGEST, TODAY, at, backup_key, facts, involved, treated
from handover.errors import EvidenceInvalid
from handover.model.destruction_certificate import NOT_COVERED, Certificate, certify
from handover.model.destruction_claims import METHODS, effective_date, method_words, search_words
from handover.model.destruction_facts import (
    CertificateFacts,
    IdentityTest,
    Key,
    KeyCopy,
    ListReference,
    ResidueLine,
    TableCount,
    Validated,
    Verified,
    residue_line,
)
from handover.model.policy import Text
from handover.model.residue import PLACES, Residue

FACTS = facts()
SEARCH = FACTS.search
WHY = Text(zh="更改过", en="changed since the backup")
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)
PLAIN = tuple(line.model_copy(update={"method": "logical_deletion"}) for line in FACTS.treated)
IDENTITY_TEST = IdentityTest(
    level=3, passed=True, no_lookup_table=True, on=TODAY, by="检验甲", report_sha256=DIGEST
)

OTHER = backup_key(
    name="b", state="live", at=None, decryption_fails=False, copies=(), backup="nightly/run-1", until=TOMORROW
)


def refused(given: CertificateFacts) -> str:
    with pytest.raises(EvidenceInvalid) as error:
        certify(given)
    with pytest.raises(ValidationError):  # nor can it be made past the builder
        made(given, "provisional", None)
    return error.value.message


def made(given: CertificateFacts, finality: str, day: object) -> Certificate:
    values = {name: getattr(given, name) for name in CertificateFacts.model_fields}
    return Certificate.model_validate(values | {"finality": finality, "effective_erasure_date": day})


def pseudonym_key(**changes: Any) -> Key:
    return backup_key(name="p", purpose="pseudonyms", **changes)


def test_the_sample_carries_a_final_certificate() -> None:
    got = certify(FACTS)
    assert (got.finality, got.effective_erasure_date, got.open_points) == ("final", TODAY, ())
    assert Certificate.model_validate_json(got.model_dump_json()) == got


# -- provisional --------------------------------------------------------------------------------------------

_OPEN_STORE = FACTS.stores[0].model_copy(update={"name": "邮箱 / mail", "kind": "mail", "state": "open"})
_STAYED = TableCount(table="t", planned=3, done=2, stayed=1, because=WHY)
PROVISIONAL: dict[str, tuple[dict[str, Any], str]] = {
    "an open store": ({"stores": (*FACTS.stores, _OPEN_STORE)}, "open store: 邮箱 / mail"),
    "an undeclared store": ({"undeclared": ("旧备份机",)}, "a store that was not declared: 旧备份机"),
    "a live backup key": (
        {"treated": PLAIN, "keys": (backup_key(state="live", at=None, decryption_fails=False),)},
        "still lives",
    ),
    "no key named": ({"treated": PLAIN, "keys": ()}, "no backup key is named"),
    "no attempt to decrypt": (
        {"treated": PLAIN, "keys": (backup_key(decryption_fails=False),)},
        "that decryption fails was not shown",
    ),
    "a copy of the key": (
        {"keys": (backup_key(copies=(KeyCopy(place="示例异地", destroyed=False),)),)},
        "a copy of key sample-deregistration/run-1: 示例异地",
    ),
    "a live key of pseudonyms": (
        {"keys": (backup_key(), pseudonym_key(state="live", at=None, decryption_fails=False))},
        "key p still lives",
    ),
    "another backup": (
        {"treated": PLAIN, "keys": (backup_key(), OTHER)},
        "another backup of the database, nightly/run-1, still lives, and may hold the rows; "
        f"it does not end before {TOMORROW}",
    ),
    "another backup that was never sealed": (
        {"treated": PLAIN, "keys": (backup_key(), OTHER.model_copy(update={"until": None}))},
        "nightly/run-1, still lives, and may hold the rows",
    ),
    "no search": (
        {"search": None, "stores": (FACTS.stores[1],)},
        "search: no search was made",
    ),
    "a match": (
        {"search": SEARCH and SEARCH.model_copy(update={"matches": 13})},
        "1 matches are not explained",
    ),
    "something left": (
        {"residue": (*FACTS.residue, FACTS.residue[1].model_copy(update={"outcome": "not cleared"}))},
        "residue not cleared: WAL segments",
    ),
    "no validation": ({"treated": (treated(validation=None),)}, "former customers: not validated"),
    "rows that stayed": ({"treated": (treated(tables=(_STAYED,)),)}, "former customers: 1 rows stayed"),
    "a list on its way": (
        {"lists": (ListReference(number="XH-2026-1", sha256=DIGEST, state="executed"),)},
        "destruction list XH-2026-1: executed",
    ),
}


@pytest.mark.parametrize("changes, point", PROVISIONAL.values(), ids=PROVISIONAL)
def test_it_stays_provisional_and_says_why(changes: dict[str, Any], point: str) -> None:
    given = facts(**changes)
    got = certify(given)
    assert (got.finality, got.effective_erasure_date) == ("provisional", None)
    assert any(point in one.en for one in got.open_points)
    assert all(one.zh for one in got.open_points)
    with pytest.raises(ValidationError, match="it cannot be final"):
        made(given, "final", effective_date(given))


def test_a_provisional_one_has_no_date_and_a_final_one_the_last_of_all() -> None:
    with pytest.raises(ValidationError, match="the facts say None"):
        made(FACTS, "provisional", TODAY)
    with pytest.raises(
        ValidationError, match="effective_erasure_date is 2026-11-22, the facts say 2026-11-23"
    ):
        made(FACTS, "final", YESTERDAY)
    later = facts(issued_at=at(20) + timedelta(days=9), keys=(backup_key(at=at(1) + timedelta(days=5)),))
    assert certify(later).effective_erasure_date == TODAY + timedelta(days=5)
    ended = OTHER.model_copy(
        update={"state": "unlinked", "at": at(1) + timedelta(days=8), "decryption_fails": True}
    )
    assert certify(
        later.model_copy(update={"keys": (*later.keys, ended)})
    ).effective_erasure_date == TODAY + timedelta(days=8)
    copy = KeyCopy(place="x", destroyed=True, on=TODAY + timedelta(days=9))
    copied = later.model_copy(update={"keys": (backup_key(copies=(copy,)),)})
    assert certify(copied).effective_erasure_date == copy.on
    archive = backup_key(name="a", purpose="archive", state="live", at=None, decryption_fails=False)
    assert certify(facts(keys=(backup_key(), archive))).finality == "final"


def test_what_was_found_at_a_place_of_a_database_becomes_a_line() -> None:
    why = Text(zh="快照", en="a snapshot sees it")
    found = Residue(place="heap", outcome="cannot be verified", how=WHY, reasons=(why,))
    got = residue_line(found, {"heap"})
    assert (got.place, got.reasons, got.mandatory, got.clean) == (PLACES["heap"], (why,), True, False)
    assert not residue_line(found, ()).mandatory
    assert "residue: tables and their dead rows cannot be verified" in refused(facts(residue=(got,)))


def test_a_residue_that_need_not_be_clean_is_told_and_no_obstacle() -> None:
    assert any(one.outcome == "cannot be verified" for one in FACTS.residue)
    assert certify(FACTS).finality == "final"


# -- refused ------------------------------------------------------------------------------------------------


def line(**changes: Any) -> dict[str, Any]:
    return {"treated": (treated(**changes),)}


def count(**numbers: Any) -> dict[str, Any]:
    return line(tables=(TableCount(table="客户.customers", **numbers),))


_NOW = Text(zh="今", en="now")
_UNCLEAN = ResidueLine(
    place=Text(zh="预写日志", en="WAL segments"), outcome="cannot be verified", how=_NOW, mandatory=True
)
_LEFT = _UNCLEAN.model_copy(update={"outcome": "not cleared"})
UNPROVEN_CE = "not all data was always encrypted"
NO_SHRED = "the backup's key was not destroyed"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a skipped table": ({"skipped": ("客户.notes",)}, "客户.notes was skipped"),
    "unclean and mandatory": ({"residue": (_UNCLEAN,)}, "residue: WAL segments cannot be verified"),
    "left and mandatory": ({"residue": (_LEFT,)}, "residue: WAL segments not cleared"),
    "rows unaccounted for": (count(planned=3, done=2), "do not add up to the 3 planned"),
    "more rows than planned": (count(planned=3, done=4), "do not add up to the 3 planned"),
    "stayed without a reason": (count(planned=3, done=2, stayed=1), "say why rows stayed"),
    "a reason without rows": (count(planned=3, done=3, because=WHY), "say why rows stayed"),
    "failed verification": (
        line(verification=Verified(how=_NOW, checked=1, passed=False)), "verification failed",
    ),
    "failed validation": (
        line(validation=Validated(how=_NOW, by="甲", on=TODAY, good_enough=False)), "not good enough",
    ),
    "accounting without a list": (line(needs_list=True), "no executed"),
    "accounting by another list": (line(needs_list=True, list_sha256="cd" * 32), "no executed"),
    "a list not executed": (
        {"lists": (ListReference(number="X", sha256=DIGEST, state="checked"),)}, "no executed",
    ),
    "shredding, key alive": (
        {"keys": (backup_key(state="live", at=None, decryption_fails=False),)}, NO_SHRED,
    ),
    "shredding, no key": ({"keys": ()}, NO_SHRED),
    "shredding, not shown": ({"keys": (backup_key(decryption_fails=False),)}, NO_SHRED),
    "shredding, another backup alive": ({"keys": (backup_key(), OTHER)}, NO_SHRED),
    "shredding, one of two": (
        {"keys": (backup_key(), backup_key(name="b", decryption_fails=False))}, NO_SHRED,
    ),
    "nobody supervised": (
        {"involved": tuple(one for one in FACTS.involved if one.part != "supervisor")},
        "nobody is named as supervisor",
    ),
    "asked and approved": (
        {"involved": (*FACTS.involved, involved("approver", "申请 甲"))}, "same person asked and approved",
    ),
    "executed and supervised": (
        {"involved": (*FACTS.involved, involved("executor", "监销甲"))}, "same person executed",
    ),
    "a store that was not searched": (
        {"search": SEARCH and SEARCH.model_copy(update={"stores": ("另一库",)})},
        "not those that the search names",
    ),
    "a store twice": ({"stores": (*FACTS.stores, FACTS.stores[0])}, "a store is declared twice"),
    "a search before the erasing": (
        {"search": SEARCH and SEARCH.model_copy(update={"on": YESTERDAY})}, "before the erasing ended",
    ),
    "a key destroyed after it": ({"keys": (backup_key(at=at(1) + timedelta(days=2)),)}, "dated after it"),
    "erased after it": ({"erased_at": at(17)}, "dated after it"),
}  # fmt: skip


@pytest.mark.parametrize("changes, said", REFUSED.values(), ids=REFUSED)
def test_no_certificate_is_made(changes: dict[str, Any], said: str) -> None:
    assert said in refused(facts(**changes))


@pytest.mark.parametrize(
    "key",
    [
        backup_key(state="unlinked"),
        backup_key(from_the_start=False),
        backup_key(copies=(KeyCopy(place="x", destroyed=False),)),
        backup_key(copies=()),
        backup_key(decryption_fails=False),
    ],
)
def test_a_purge_needs_every_copy_of_the_key_destroyed_with_proof(key: Key) -> None:
    assert UNPROVEN_CE in refused(facts(treated=(treated(method="purge_by_ce"),), keys=(key,)))


def test_a_purge_needs_a_key() -> None:
    assert UNPROVEN_CE in refused(facts(treated=(treated(method="purge_by_ce"),), keys=()))


def test_facts_that_contradict_themselves_are_none() -> None:
    searched, attested = FACTS.stores
    for store, other in ((searched, "attested"), (attested, "searched"), (attested, "open")):
        with pytest.raises(ValidationError, match="register the attestation of an attested store"):
            store.model_copy(update={"state": other})
    with pytest.raises(ValidationError, match="of_retained is more than all matches"):
        FACTS.model_copy(update={"search": SEARCH and SEARCH.model_copy(update={"matches": 11})})
    for changes in ({"state": "live"}, {"state": "live", "at": None}, {"at": None}):
        with pytest.raises(ValidationError, match="say when it was destroyed"):
            backup_key(**changes)


def test_a_purge_that_was_proven_may_be_called_so() -> None:
    assert certify(facts(treated=(treated(method="purge_by_ce"),))).finality == "final"


@pytest.mark.parametrize(
    ("keys", "test", "said"),
    [
        ((), IDENTITY_TEST, "keys of its pseudonyms were not destroyed"),
        ((pseudonym_key(state="unlinked"),), IDENTITY_TEST, "keys of its pseudonyms were not destroyed"),
        ((pseudonym_key(), pseudonym_key(decryption_fails=False)), IDENTITY_TEST, "were not destroyed"),
        ((pseudonym_key(),), None, "no re-identification test was passed"),
        ((pseudonym_key(),), IDENTITY_TEST.model_copy(update={"passed": False}), "no re-identification test"),
        ((pseudonym_key(),), IDENTITY_TEST.model_copy(update={"level": 2}), "no re-identification test"),
        ((pseudonym_key(),), IDENTITY_TEST.model_copy(update={"no_lookup_table": False}), "no re-ident"),
        (
            (pseudonym_key(),),
            IDENTITY_TEST.model_copy(update={"on": YESTERDAY}),
            "older than the destruction",
        ),
    ],
)
def test_anonymised_needs_dead_keys_and_a_passed_test(keys: Any, test: Any, said: str) -> None:
    given = facts(treated=(treated(method="anonymised"),), keys=(backup_key(), *keys), identity_test=test)
    assert said in refused(given)


def test_anonymised_data_may_be_called_so() -> None:
    given = facts(
        treated=(treated(method="anonymised"),),
        keys=(backup_key(), pseudonym_key()),
        identity_test=IDENTITY_TEST,
    )
    assert certify(given).finality == "final"


# -- words --------------------------------------------------------------------------------------------------


def test_the_words_are_those_that_were_agreed() -> None:
    method = "logical_deletion_crypto_shredding"
    assert METHODS[method].en == "logical deletion + crypto-shredding"
    assert method_words(FACTS, method) == METHODS[method]
    unlinked = facts(keys=(backup_key(state="unlinked"),))
    assert method_words(unlinked, method).en.endswith("(key unlinked, not verifiable)")
    assert method_words(unlinked, "logical_deletion").en == "logical deletion"
    assert certify(unlinked).finality == "final"
    assert b"unlinked, not verifiable" in certify(unlinked).json_bytes


def test_what_was_searched_is_said_and_what_was_not() -> None:
    said = search_words(FACTS).en
    assert said.startswith("no match found in the declared stores by the stated method")
    assert "other than 12 cells of people whose data is retained" in said
    assert said.endswith("not searched: 纸质合同 / paper contracts")
    clean = SEARCH.model_copy(update={"matches": 0, "of_retained": 0}) if SEARCH else None
    alone = facts(search=clean, stores=FACTS.stores[:1])
    assert search_words(alone).en == "no match found in the declared stores by the stated method"
    assert search_words(alone).zh == "按所述方法，在已申报的存储位置中未发现匹配项"
    vain = clean.model_copy(update={"values": 0}) if clean else None
    assert search_words(facts(search=vain)).en.startswith("there was no value to search for")
    assert "no match" not in certify(facts(search=vain)).json_bytes.decode()


@pytest.mark.parametrize(
    "text",
    ["已匿名化", "the data is anonymised", "不可恢复地删除", "irrecoverably gone", "permanently deleted",
     "彻底删除", "通过密评", "purged from the disk", "密码擦除", "forensically clean"],
)  # fmt: skip
def test_a_stronger_word_in_any_text_is_refused(text: str) -> None:
    residue = FACTS.residue[2].model_copy(update={"how": Text(zh="x", en=text)})
    assert "which no fact carries" in refused(facts(residue=(residue,)))
    assert "which no fact carries" in refused(facts(also_not_covered=(Text(zh=text, en="x"),)))


@pytest.mark.parametrize(
    "text", ["未匿名化", "not anonymised", "kept permanently", "cannot be purged", "永久保管"]
)
def test_a_denial_is_no_claim(text: str) -> None:
    assert certify(facts(also_not_covered=(Text(zh=text, en=text),))).finality == "final"


def test_what_it_does_not_vouch_for_stands_in_every_one() -> None:
    also = Text(zh="另有", en="and more")
    got = certify(facts(also_not_covered=(also,)))
    assert got.not_covered == (*NOT_COVERED, also)
    for word in (b"replicas, WAL archives", b"copies made by people", b"physical media", b"signing key",
                 b"not legal advice", b"NIST SP 800-88r2"):  # fmt: skip
        assert word in got.json_bytes
