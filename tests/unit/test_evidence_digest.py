"""Keyed digests: stable, separated by domain and key, and never the bare digest."""

import hashlib
import hmac
from decimal import Decimal

import pytest

from handover.errors import LedgerRefused
from handover.evidence.canonical import canonical
from handover.evidence.digest import keyed, token

KEY = bytes(32)


def test_keyed_is_hmac_with_its_domain() -> None:
    digest = hashlib.sha256(b"chunk").digest()
    assert keyed(KEY, digest) == hmac.new(KEY, b"handover.chunk.v1\x00" + digest, "sha256").hexdigest()


def test_another_key_gives_another_digest() -> None:
    digest = hashlib.sha256(b"chunk").digest()
    assert keyed(KEY, digest) != keyed(b"\x01" * 32, digest)
    assert token(KEY, b"1") != token(b"\x01" * 32, b"1")


def test_token_does_not_let_parts_run_together() -> None:
    tokens = {token(KEY, *parts) for parts in [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), ()]}
    assert len(tokens) == 5
    assert {len(value) for value in tokens} == {32}


def test_canonical_sorts_and_keeps_unicode() -> None:
    value = {"b": [1, None, True], "a": '案件"\n'}
    assert canonical(value, LedgerRefused, "x") == '{"a":"案件\\"\\n","b":[1,null,true]}'.encode()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": [1, 0.5]}}, "the body holds a float at /a/b/1"),
        (0.5, "the body holds a float at its top"),
        ({"a": 2**53}, "no canonical JSON form"),
        ({"a": "\ud800"}, "no canonical JSON form"),
        ({1: "a"}, "no canonical JSON form"),
        ({"a": Decimal(1)}, "no canonical JSON form"),
        ({"a": b"bytes"}, "no canonical JSON form"),
    ],
    ids=repr,
)
def test_values_without_an_exact_form_are_refused(value: object, message: str) -> None:
    with pytest.raises(LedgerRefused, match=message):
        canonical(value, LedgerRefused, "the body")
