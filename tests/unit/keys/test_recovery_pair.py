"""The pair beside a recovery key: public details, and the private half for the typed key alone."""

import json

import pytest

from volward.errors import KeyRejectedError
from volward.keys import recovery, recovery_pair, wrapping
from volward.secret import SecretBytes


def test_a_backup_is_sealed_without_the_recovery_key_and_opened_with_it() -> None:
    with recovery.generate() as key, SecretBytes(b"d" * 32) as data_key:
        details = recovery_pair.make(key)
        with key.view() as view:
            assert bytes(view).decode() not in json.dumps(details)
        assert recovery_pair.is_complete(details)
        sealed = wrapping.seal_to(data_key, details[recovery_pair.PUBLIC], purpose="test")
        with (
            recovery_pair.private_key(details, key) as private,
            wrapping.unseal(sealed, private, purpose="test") as opened,
        ):
            assert opened.matches(data_key)


def test_another_recovery_key_does_not_open_it() -> None:
    with recovery.generate() as key, recovery.generate() as other:
        details = recovery_pair.make(key)
        with pytest.raises(KeyRejectedError):
            recovery_pair.private_key(details, other)


@pytest.mark.parametrize(
    "changed",
    [
        {recovery_pair.SCRYPT: ""},
        {recovery_pair.SCRYPT: "1:1:1:"},
        {recovery_pair.SCRYPT: "x:8:1:AAAA"},
        {recovery_pair.SCRYPT: f"{2**24}:8:1:AAAA"},  # 16 GiB
        {recovery_pair.SCRYPT: "1024:8:17:AAAA"},
        {recovery_pair.SCRYPT: f"{2**20}:8:16:AAAA"},  # 1 GiB, sixteen times over
        {recovery_pair.SCRYPT: f"2:1:{2**29}:AAAA"},
        {recovery_pair.SCRYPT: "-2:8:1:AAAA"},
        {recovery_pair.PRIVATE: "AAAA"},
    ],
)
def test_damaged_details(changed: dict[str, str]) -> None:
    with recovery.generate() as key, pytest.raises(KeyRejectedError):
        recovery_pair.private_key({**recovery_pair.make(key), **changed}, key)


def test_a_token_without_a_pair() -> None:
    assert not recovery_pair.is_complete({})
    with recovery.generate() as key, pytest.raises(KeyRejectedError):
        recovery_pair.private_key({}, key)


@pytest.mark.parametrize("public", ["", "AAAA", "no base64", "\u00e9", "A" * 43 + "="])
def test_a_public_half_that_nothing_can_be_sealed_to(public: str) -> None:
    with recovery.generate() as key:
        assert not recovery_pair.is_complete({**recovery_pair.make(key), recovery_pair.PUBLIC: public})
