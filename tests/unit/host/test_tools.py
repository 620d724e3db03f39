"""What is missing is named with its package, all at once, and before anything is changed."""

import shutil
from dataclasses import replace

import pytest
from tests.unit.builders import SCRATCH, SPEC, SWAP
from tests.unit.host.recording import Recording

from volward.errors import ToolMissingError
from volward.host import tools
from volward.model import FileSystem, ProviderKind, VolumeSpec


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The programs of this host; a test takes some away. Also records that none was searched for elsewhere."""
    names = {
        *("cryptsetup", "systemctl", "blkid", "wipefs", "mkfs.ext4", "mkfs.xfs", "mkswap", "swapon"),
        *("systemd-creds", "systemd-cryptenroll"),
    }

    def which(name: str, *, path: str) -> str | None:
        assert "/usr/sbin" in path, "the PATH of the children counts, not this process's"
        return f"/usr/bin/{name}" if name in names else None

    monkeypatch.setattr(shutil, "which", which)
    return names


def answer(recording: Recording, systemd: str = "systemd 252 (252.38-1~deb12u1)\n+PAM\n") -> None:
    recording.answer(stdout="cryptsetup 2.6.1 flags: UDEV\n")
    recording.answer(stdout=systemd)


def test_everything_is_there(there: set[str], recording: Recording) -> None:
    answer(recording)
    tools.demand([SPEC, replace(SPEC, file_system=FileSystem.XFS)], provisioning=True)
    assert recording.calls == [["cryptsetup", "--version"], ["systemctl", "--version"]]


def test_opening_starts_no_process(there: set[str], recording: Recording) -> None:
    there -= {"wipefs", "mkfs.ext4", "mkfs.xfs", "systemd-cryptenroll"}
    tools.demand([SPEC], provisioning=False)
    assert recording.calls == []


def test_no_volume_needs_nothing(there: set[str], recording: Recording) -> None:
    there.clear()
    tools.demand([], provisioning=True)
    assert recording.calls == []


@pytest.mark.parametrize(
    ("spec", "provisioning", "missing", "package"),
    [
        (SPEC, True, "mkfs.ext4", "e2fsprogs"),
        (replace(SPEC, file_system=FileSystem.XFS), True, "mkfs.xfs", "xfsprogs"),
        (SPEC, True, "wipefs", "util-linux"),
        (SPEC, False, "cryptsetup", "cryptsetup-bin"),
        (SPEC, False, "systemd-creds", "systemd"),
        (replace(SPEC, providers=(ProviderKind.PROMPT, ProviderKind.TPM2)), True, "systemd-cryptenroll", "systemd"),
        (SCRATCH, False, "mkfs.ext4", "e2fsprogs"),
        (SWAP, False, "mkswap", "util-linux"),
        (SWAP, False, "swapon", "util-linux"),
    ],
)
def test_one_is_missing(
    there: set[str], recording: Recording, *, spec: VolumeSpec, provisioning: bool, missing: str, package: str
) -> None:
    there.discard(missing)
    with pytest.raises(ToolMissingError) as refused:
        tools.demand([SPEC, spec], provisioning=provisioning)
    assert refused.value.what == f"{missing} is not installed."
    assert package in refused.value.resolution
    assert recording.calls == [], "presence comes before versions"


def test_all_that_is_missing_is_named_at_once(there: set[str], recording: Recording) -> None:
    there -= {"wipefs", "mkfs.ext4", "blkid"}
    with pytest.raises(ToolMissingError) as refused:
        tools.demand([SPEC], provisioning=True)
    assert refused.value.what == "blkid and mkfs.ext4 and wipefs are not installed."
    assert refused.value.resolution == "Install what is missing: apt install e2fsprogs util-linux."


@pytest.mark.parametrize("said", ["systemd 251 (251)\n", "", "something else\n"])
def test_an_old_systemd_is_refused(there: set[str], recording: Recording, said: str) -> None:
    answer(recording, said)
    with pytest.raises(ToolMissingError, match="needs 252 or newer"):
        tools.demand([SPEC], provisioning=True)
