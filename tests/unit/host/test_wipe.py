"""After a wipe none of the places is left that a format keeps its signature in; the rest of the content stays."""

import errno
import os
from pathlib import Path

import pytest
from tests.unit.host.recording import Recording

from volward.errors import DeviceBusyError, ToolFailedError
from volward.host import blank, signatures, wipe
from volward.model import MIB, Presence

SIZE = 140 * MIB + 512 * 7  # an odd number of sectors, as disks have


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def test_every_place_is_zeroed(image: Path, recording: Recording) -> None:
    with image.open("r+b") as file:
        for place in signatures.places(SIZE):
            file.seek(place.offset_bytes)
            file.write(place.magic)
        for label in signatures.zfs_labels(SIZE):
            file.seek(label + 128 * 1024)
            file.write((0x00BAB10C).to_bytes(8, "little"))
        file.seek(SIZE - 1)
        file.write(b"x")
    recording.answer(stdout="")
    assert blank.probe(image, SIZE).content is Presence.PRESENT

    wipe.wipe(image, SIZE)
    found = blank.probe(image, SIZE)

    assert found.content is Presence.ABSENT, found.findings
    assert recording.calls[1] == ["wipefs", "--all", "--force", str(image)]
    assert image.stat().st_size == SIZE


def test_what_lies_between_is_left_to_be_overwritten_by_use(image: Path, recording: Recording) -> None:
    with image.open("r+b") as file:
        file.seek(18 * MIB + 5)
        file.write(b"somebody's old data")
    wipe.wipe(image, SIZE)
    with image.open("rb") as file:
        file.seek(18 * MIB + 5)
        assert file.read(10) == b"somebody's"


@pytest.mark.parametrize("size", [MIB, 18 * MIB, 17 * MIB + 512])
def test_a_small_device_is_zeroed_as_a_whole(tmp_path: Path, recording: Recording, size: int) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"\xff" * size)
    wipe.wipe(path, size)
    assert path.read_bytes() == bytes(size)


def test_it_is_on_the_disk_before_it_counts(image: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    wipe.wipe(image, SIZE)
    assert synced == [str(image)]


def test_when_wipefs_fails_nothing_else_is_done(image: Path, recording: Recording) -> None:
    with image.open("r+b") as file:
        file.write(b"still here")
    recording.fail(1, "wipefs: error")
    with pytest.raises(ToolFailedError):
        wipe.wipe(image, SIZE)
    with image.open("rb") as file:
        assert file.read(10) == b"still here"


class Node:
    """A block device as far as open(2) and the ioctl are concerned."""

    def __init__(self, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.image = image
        self.flags: list[int] = []
        self.error = 0
        self.ioctls: list[int] = []
        self.ioctl_errors: list[int] = []
        self.pauses: list[float] = []
        opened = os.open
        monkeypatch.setattr(Path, "is_block_device", lambda path: path == image)

        def fake_open(path: Path, flags: int) -> int:
            self.flags.append(flags)
            if self.error:
                raise OSError(self.error, os.strerror(self.error), str(path))
            return opened(path, flags & ~os.O_EXCL)

        def fake_ioctl(descriptor: int, request: int) -> int:
            self.ioctls.append(request)
            if self.ioctl_errors:
                raise OSError(self.ioctl_errors.pop(0), "busy")
            return 0

        monkeypatch.setattr(os, "open", fake_open)
        monkeypatch.setattr("fcntl.ioctl", fake_ioctl)
        monkeypatch.setattr("time.sleep", self.pauses.append)


def test_a_block_device_is_held_exclusively_and_its_partitions_are_forgotten(
    image: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(image, monkeypatch)
    node.ioctl_errors = [errno.EBUSY, errno.EBUSY]  # udev looks at it
    wipe.wipe(image, SIZE)
    assert node.flags[0] & os.O_EXCL
    assert node.flags[0] & os.O_RDWR
    assert node.ioctls == [0x125F] * 3
    assert len(node.pauses) == 2


def test_partitions_that_stay_are_for_the_probe_to_find(
    image: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(image, monkeypatch)
    node.ioctl_errors = [errno.EBUSY] * 100
    wipe.wipe(image, SIZE)
    assert len(node.ioctls) == 10


@pytest.mark.parametrize(("number", "error"), [(errno.EBUSY, DeviceBusyError), (errno.EROFS, OSError)])
def test_a_device_that_the_kernel_uses_is_not_touched(
    image: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    node = Node(image, monkeypatch)
    node.error = number
    with pytest.raises(error):
        wipe.wipe(image, SIZE)
    assert recording.calls == []
