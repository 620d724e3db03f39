"""systemd-creds: the exact argv, and which of its refusals are refusals."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.host.recording import Recording

from volward.errors import (
    KeyDeniedError,
    NoSpaceError,
    ProviderUnavailableError,
    ToolFailedError,
    ToolMissingError,
    ToolTimeoutError,
    VolwardError,
)
from volward.host import creds
from volward.host.creds import Seal
from volward.secret import SecretBytes

NAME = "volward.pgdata.v1"
PATH = Path("/etc/credstore.encrypted") / NAME


@pytest.fixture
def key() -> Iterator[SecretBytes]:
    with SecretBytes(b"key") as secret:
        yield secret


@pytest.mark.parametrize(
    ("seal", "options"),
    [
        ("host", ["--with-key=host"]),
        ("tpm2", ["--with-key=tpm2", "--tpm2-pcrs=7+14"]),
        ("host+tpm2", ["--with-key=host+tpm2", "--tpm2-pcrs=7+14"]),
    ],
)
def test_encrypt(recording: Recording, key: SecretBytes, seal: Seal, options: list[str]) -> None:
    assert creds.encrypt(NAME, key, seal=seal, pcrs=(7, 14)) == b"sealed"
    assert recording.calls == [["systemd-creds", "encrypt", *options, f"--name={NAME}", "-", "-"]]
    assert recording.keys == [b"key"]


@pytest.mark.parametrize("seal", ["null", "auto", "", "tpm2-absent"])
def test_a_seal_that_is_none_is_refused(recording: Recording, key: SecretBytes, seal: Seal) -> None:
    with pytest.raises(ValueError, match="no way to seal"):
        creds.encrypt(NAME, key, seal=seal, pcrs=(7,))
    assert recording.calls == []


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("TPM2 support not installed: Operation not supported", ToolMissingError),
        ("Failed to initialize TCTI context: tcti:IO failure", ProviderUnavailableError),
        ("Failed to write: No space left on device", NoSpaceError),
        ("Invalid credential name", ToolFailedError),
    ],
)
def test_sealing_that_failed(recording: Recording, key: SecretBytes, said: str, error: type[VolwardError]) -> None:
    recording.fail(1, said)
    with pytest.raises(error) as caught:
        creds.encrypt(NAME, key, seal="tpm2", pcrs=(7,))
    assert type(caught.value) is error


def test_decrypt(recording: Recording, key: SecretBytes) -> None:
    recording.answers.append(key)
    assert creds.decrypt(NAME, PATH) is key
    assert recording.calls == [["systemd-creds", "decrypt", "--newline=no", f"--name={NAME}", str(PATH), "-"]]


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Current policy digest does not match stored policy digest, cancelling TPM2 authentication attempt.", "PCRs"),
        ("Failed to unseal data: tpm:parameter(1):integrity check failed", "PCRs"),
        ("tpm:warn(2.0): the TPM is in DA lockout mode", "do not try again"),
        ("Embedded credential name 'x' does not match filename 'y', refusing.", "renamed"),
        ("Failed to determine local credential key: No such file or directory", "credential.secret"),
        ("Decryption failed (incorrect key?): error:0", "another key"),
        ("", "another key"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(recording: Recording, said: str, advice: str) -> None:
    recording.fail(1, said)
    with pytest.raises(KeyDeniedError) as caught:
        creds.decrypt(NAME, PATH)
    assert advice in caught.value.resolution
    assert NAME in caught.value.what


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Failed to initialize TCTI context: tcti:IO failure", ProviderUnavailableError),
        ("Failed to open session in TPM: tpm:warn(2.0): out of memory for session contexts", ProviderUnavailableError),
        ("TPM2 support not installed: Operation not supported", ToolMissingError),
    ],
)
def test_what_may_pass_is_no_refusal(recording: Recording, said: str, error: type[VolwardError]) -> None:
    recording.fail(1, said)
    with pytest.raises(error):
        creds.decrypt(NAME, PATH)


def test_a_hanging_tpm_may_pass(recording: Recording, key: SecretBytes) -> None:
    late = ToolTimeoutError("It is late.", resolution="Wait.")
    recording.answers += [late, late]
    with pytest.raises(ProviderUnavailableError):
        creds.decrypt(NAME, PATH)
    with pytest.raises(ProviderUnavailableError):
        creds.encrypt(NAME, key, seal="host", pcrs=())


def test_a_missing_tool_is_told_as_it_is(recording: Recording) -> None:
    recording.answers.append(ToolMissingError("systemd-creds is not installed.", resolution="Install it."))
    with pytest.raises(ToolMissingError):
        creds.decrypt(NAME, PATH)


@pytest.mark.parametrize(
    ("said", "has"),
    [
        ("partial\n-firmware\n+driver\n+system\n+subsystem\n", True),
        ("yes\n+firmware\n+driver\n+system\n+subsystem\n+libraries\n", True),
        ("partial\n+firmware\n+driver\n+system\n+subsystem\n-libraries\n", False),
        ("no\n-firmware\n-driver\n-system\n-subsystem\n", False),
    ],
)
def test_has_tpm2(recording: Recording, tmp_path: Path, said: str, has: bool) -> None:
    device = tmp_path / "tpmrm0"
    assert not creds.has_tpm2(device=device, library="libc.so.6")
    assert recording.calls == []
    device.touch()
    recording.answer(1, said)
    assert creds.has_tpm2(device=device, library="libc.so.6") is has


def test_a_tpm_without_its_library_is_none(recording: Recording, tmp_path: Path) -> None:
    device = tmp_path / "tpmrm0"
    device.touch()
    recording.answer(1, "partial\n-firmware\n+driver\n+system\n+subsystem\n")
    assert not creds.has_tpm2(device=device, library="libnosuchthing.so.0")
