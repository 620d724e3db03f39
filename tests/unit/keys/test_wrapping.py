"""Secrets under keys: only the same key and purpose open them, and nothing that was changed opens at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volward.errors import KeyRejectedError
from volward.keys import wrapping
from volward.secret import SecretBytes


def _bytes(secret: SecretBytes) -> bytes:
    with secret, secret.view() as view:
        return bytes(view)


@given(st.binary(min_size=1, max_size=200), st.binary(min_size=16, max_size=80))
def test_what_is_wrapped_comes_back(content: bytes, key: bytes) -> None:
    with SecretBytes(key) as under, SecretBytes(content) as secret:
        text = wrapping.wrap(secret, under, purpose="test")
        assert _bytes(wrapping.unwrap(text, under, purpose="test")) == content
        assert content not in wrapping.decoded(text) or len(content) < 8


def test_two_wraps_of_one_secret_differ() -> None:
    with SecretBytes(bytes(64)) as under, SecretBytes(b"x" * 32) as secret:
        assert wrapping.wrap(secret, under, purpose="test") != wrapping.wrap(secret, under, purpose="test")


@given(st.data())
def test_nothing_that_was_changed_opens(data: st.DataObject) -> None:
    with SecretBytes(b"k" * 64) as under, SecretBytes(b"x" * 32) as secret:
        content = bytearray(wrapping.decoded(wrapping.wrap(secret, under, purpose="test")))
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        with pytest.raises(KeyRejectedError):
            wrapping.unwrap(wrapping.encoded(bytes(content)), under, purpose="test")


@pytest.mark.parametrize("text", ["", "!", "AAAA", "é"])
def test_what_was_never_wrapped_does_not_open(text: str) -> None:
    with SecretBytes(b"k" * 64) as under, pytest.raises(KeyRejectedError):
        wrapping.unwrap(text, under, purpose="test")


def test_another_key_or_purpose_does_not_open_it() -> None:
    with SecretBytes(b"k" * 64) as under, SecretBytes(b"l" * 64) as other, SecretBytes(b"x" * 32) as secret:
        text = wrapping.wrap(secret, under, purpose="one")
        with pytest.raises(KeyRejectedError):
            wrapping.unwrap(text, other, purpose="one")
        with pytest.raises(KeyRejectedError):
            wrapping.unwrap(text, under, purpose="two")


def test_what_is_sealed_to_a_public_key_opens_with_its_private_one_alone() -> None:
    public, private = wrapping.key_pair()
    _, other = wrapping.key_pair()
    with private, other, SecretBytes(b"x" * 32) as secret:
        text = wrapping.seal_to(secret, public, purpose="test")
        assert _bytes(wrapping.unseal(text, private, purpose="test")) == b"x" * 32
        for wrong, purpose in ((other, "test"), (private, "other")):
            with pytest.raises(KeyRejectedError):
                wrapping.unseal(text, wrong, purpose=purpose)


@pytest.mark.parametrize("public", ["", "AAAA", wrapping.encoded(bytes(32))])
def test_a_public_key_that_is_none(public: str) -> None:
    with SecretBytes(b"x") as secret, pytest.raises(KeyRejectedError):
        wrapping.seal_to(secret, public, purpose="test")


@pytest.mark.parametrize("text", ["", "AAAA", wrapping.encoded(bytes(120))])
def test_what_was_never_sealed(text: str) -> None:
    with wrapping.key_pair()[1] as private, pytest.raises(KeyRejectedError):
        wrapping.unseal(text, private, purpose="test")
