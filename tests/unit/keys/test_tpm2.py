"""The TPM opener: asks the TPM once, warns about what the policy is worth, never asks for a PIN."""

from pathlib import Path
from types import MappingProxyType

import pytest

from volward.errors import KeyDeniedError, ProviderUnavailableError
from volward.host import cryptenroll, cryptsetup
from volward.host.cryptenroll import Tpm2Enrolment
from volward.keys.source import TokenOpener
from volward.keys.tpm2 import Tpm2Opener
from volward.model import Token
from volward.secret import SecretBytes

NODE = Path("/dev/vdb")
TOKEN = Token(2, "systemd-tpm2", (1,), MappingProxyType({"tpm2-pin": False}))
PIN = Token(3, "systemd-tpm2", (1,), MappingProxyType({"tpm2-pin": True}))


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "tpmrm0"
    path.touch()
    return path


def test_is_a_token_opener() -> None:
    assert isinstance(Tpm2Opener(), TokenOpener)


@pytest.mark.parametrize(
    ("done", "warnings"),
    [
        (Tpm2Enrolment(added=True, policy_enforced=True), []),
        (Tpm2Enrolment(added=False, policy_enforced=True), ["was there already"]),
        (Tpm2Enrolment(added=True, policy_enforced=False), ["measures nothing into PCR 7+14"]),
    ],
)
def test_enrol(monkeypatch: pytest.MonkeyPatch, device: Path, done: Tpm2Enrolment, warnings: list[str]) -> None:
    asked: list[tuple[int, ...]] = []

    def enrol(node: Path, *, existing: SecretBytes, pcrs: tuple[int, ...]) -> Tpm2Enrolment:
        asked.append(pcrs)
        return done

    monkeypatch.setattr(cryptenroll, "enrol_tpm2", enrol)
    with SecretBytes(b"key") as key:
        said = Tpm2Opener(pcrs=(7, 14), device=device).enrol(NODE, key)
    assert asked == [(7, 14)]
    assert len(said) == len(warnings)
    assert all(text in line for text, line in zip(warnings, said, strict=True))


def test_open_and_test(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    opened: list[object] = []
    monkeypatch.setattr(cryptsetup, "open_by_token", lambda *words, **options: opened.append((words, options)))
    monkeypatch.setattr(cryptsetup, "test_token", lambda node, number: number == 2)
    opener = Tpm2Opener(device=device)
    assert opener.test(NODE, TOKEN)
    opener.open(NODE, "volward-a", TOKEN, discard=True)
    assert opened == [((NODE, "volward-a"), {"token": 2, "discard": True, "read_only": False})]


def test_a_pin_is_never_asked_for(device: Path) -> None:
    opener = Tpm2Opener(device=device)
    assert not opener.test(NODE, PIN)
    with pytest.raises(KeyDeniedError, match="PIN"):
        opener.open(NODE, "volward-a", PIN, discard=False)


def test_without_a_tpm_nothing_is_asked(tmp_path: Path) -> None:
    opener = Tpm2Opener(device=tmp_path / "none")
    with SecretBytes(b"key") as key, pytest.raises(ProviderUnavailableError):
        opener.enrol(NODE, key)
    with pytest.raises(ProviderUnavailableError):
        opener.test(NODE, TOKEN)
    with pytest.raises(ProviderUnavailableError):
        opener.open(NODE, "volward-a", TOKEN, discard=False)
