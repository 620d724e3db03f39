"""systemd-cryptenroll: the exact argv, and what its messages mean."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.host.recording import Recording

from volward.errors import (
    DamagedHeaderError,
    KeyRejectedError,
    ProviderUnavailableError,
    ToolFailedError,
    ToolMissingError,
    ToolTimeoutError,
    VolwardError,
)
from volward.host import cryptenroll
from volward.host.cryptenroll import Tpm2Enrolment
from volward.secret import SecretBytes

NODE = Path("/dev/vdb")


@pytest.fixture
def key() -> Iterator[SecretBytes]:
    with SecretBytes.random(64) as secret:
        yield secret


def test_the_key_is_seekable(recording: Recording, key: SecretBytes) -> None:
    recording.answer(stderr="New TPM2 token enrolled as key slot 1.\n")
    done = cryptenroll.enrol_tpm2(NODE, existing=key, pcrs=(7, 14))
    assert done == Tpm2Enrolment(added=True, policy_enforced=True)
    assert recording.calls == [
        [
            "systemd-cryptenroll",
            "--tpm2-device=auto",
            "--tpm2-pcrs=7+14",
            "--unlock-key-file=<seekable 64>",
            "/dev/vdb",
        ]
    ]


def test_what_it_says_with_status_0_counts(recording: Recording, key: SecretBytes) -> None:
    recording.answer(
        stderr="Selected TPM2 PCRs are not initialized on this system, most likely due to a firmware issue. "
        "PCR policy is effectively not enforced. Proceeding anyway.\n"
        "This PCR set is already enrolled, executing no operation.\n"
    )
    assert cryptenroll.enrol_tpm2(NODE, existing=key, pcrs=(7,)) == Tpm2Enrolment(added=False, policy_enforced=False)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Unlocking via keyfile failed: Operation not permitted", KeyRejectedError),
        ("TPM2 support not installed: Operation not supported", ToolMissingError),
        ("systemd-cryptenroll: unrecognized option '--unlock-key-file'", ToolMissingError),
        ("Failed to initialize TCTI context: tcti:IO failure", ProviderUnavailableError),
        ("Failed to load LUKS2 superblock: Invalid argument", DamagedHeaderError),
        ("Reading keyfile /dev/fd/3 failed: Illegal seek", ToolFailedError),
    ],
)
def test_what_may_fail(recording: Recording, key: SecretBytes, said: str, error: type[VolwardError]) -> None:
    recording.fail(1, said)
    with pytest.raises(error) as caught:
        cryptenroll.enrol_tpm2(NODE, existing=key, pcrs=(7,))
    assert type(caught.value) is error


def test_a_late_enrolment_is_reported_as_such(recording: Recording, key: SecretBytes) -> None:
    recording.answers.append(ToolTimeoutError("It is late.", resolution="Wait."))
    with pytest.raises(ToolTimeoutError):
        cryptenroll.enrol_tpm2(NODE, existing=key, pcrs=(7,))
