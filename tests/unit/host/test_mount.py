import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from volward.errors import MountPointError, NotPrivilegedError
from volward.host import mount, mountinfo
from volward.model import MountPointState

ROOT = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"


def at(path: str, *lines: str) -> str | None:
    found = mount.at(Path(path), mountinfo.parse(ROOT + "\n".join(lines)))
    return found.source if found else None


def test_what_is_mounted_at_a_path() -> None:
    lines = ("40 27 253:3 / /nonexistent/pg rw - ext4 PG rw",)
    assert at("/nonexistent/pg", *lines) == "PG"
    assert at("/nonexistent", *lines) is None
    assert at("/nonexistent/pg/base", *lines) is None


def test_the_topmost_of_several_counts_whatever_their_order() -> None:
    lower, upper = (
        "40 27 253:3 / /nonexistent/pg rw - ext4 LOWER rw",
        "41 40 253:4 / /nonexistent/pg rw - ext4 UPPER rw",
    )
    assert at("/nonexistent/pg", lower, upper) == at("/nonexistent/pg", upper, lower) == "UPPER"


def test_a_mount_on_the_parent_hides_it() -> None:
    lines = ("40 27 253:3 / /nonexistent/pg rw - ext4 PG rw", "41 27 253:4 / /nonexistent rw - ext4 PARENT rw")
    assert at("/nonexistent/pg", *lines) is None
    assert at("/nonexistent", *lines) == "PARENT"


def test_the_root_may_be_younger_than_what_was_moved_onto_it() -> None:
    assert at("/nonexistent/pg", "22 27 253:3 / /nonexistent/pg rw - ext4 PG rw") == "PG"


def test_links_in_the_way_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert at(f"{tmp_path}/link/pg", f"40 27 253:3 / {tmp_path.resolve()}/real/pg rw - ext4 PG rw") == "PG"


def test_states_without_any_privilege(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    (tmp_path / "link").symlink_to("empty")
    states = {name: mount.state(tmp_path / name, ()) for name in ("none", "empty", "full", "link", "full/file")}
    assert states == {
        "none": MountPointState.ABSENT,
        "empty": MountPointState.EMPTY,
        "full": MountPointState.OCCUPIED,
        "link": MountPointState.NOT_A_DIRECTORY,
        "full/file": MountPointState.NOT_A_DIRECTORY,
    }
    assert mount.state(tmp_path / "full/file/pg", ()) is MountPointState.NOT_A_DIRECTORY


def test_mounted_wins_and_is_seen_without_a_table() -> None:
    assert mount.state(Path("/"), mountinfo.parse(ROOT)) is MountPointState.MOUNTED
    assert mount.state(Path("/proc"), ()) is MountPointState.MOUNTED


def test_what_cannot_be_listed_is_unknown_unless_it_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "pg").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    assert mount.state(tmp_path / "pg", ()) is MountPointState.UNKNOWN
    assert mount._holds_files(tmp_path / "pg", sealed=True) is False


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The kernel's part of sealing, played: flags by directory, chown recorded, so that no root is needed."""
    kept: dict[str, int] = {}

    def name(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def ioctl(descriptor: int, request: int, argument: bytes) -> bytes:
        if request == 0x80086601:
            return kept.get(name(descriptor), 0x80000).to_bytes(4, "little")
        assert request == 0x40086602
        kept[name(descriptor)] = int.from_bytes(argument, "little")
        return argument

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    return kept


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_seal_and_unseal(tmp_path: Path, flags: dict[str, int]) -> None:
    path = tmp_path / "srv/a/pg"
    assert mount.create_and_seal(path) == ""
    assert path.stat().st_mode & 0o7777 == 0
    assert [(tmp_path / one).stat().st_mode & 0o7777 for one in ("srv", "srv/a")] == [0o755, 0o755]
    assert flags == {str(path): 0x80010}  # the other flags stay
    path.chmod(0o700 if os.geteuid() else 0)  # only root opens a directory of mode 0000
    mount.unseal(path)
    assert flags == {str(path): 0x80000} and path.stat().st_mode & 0o7777 == 0o755
    mount.unseal(tmp_path / "never")


def test_occupied_is_refused_and_stays_as_it_was(tmp_path: Path, flags: dict[str, int]) -> None:
    path = tmp_path / "pg"
    path.mkdir(mode=0o750)
    (path / "PG_VERSION").touch()
    with pytest.raises(MountPointError, match="PG_VERSION"):
        mount.create_and_seal(path)
    assert path.stat().st_mode & 0o777 == 0o750 and not flags


def test_file_that_slips_in_before_the_flag_undoes_the_seal(
    tmp_path: Path, flags: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pg"
    monkeypatch.setattr(os, "fchown", lambda *_: (path / "late").touch())
    with pytest.raises(MountPointError, match="late"):
        mount.create_and_seal(path)
    assert flags == {str(path): 0x80000}


def test_link_and_file_are_refused(tmp_path: Path, flags: dict[str, int]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    for name, message in (("link", "symbolic link"), ("file", "not a directory")):
        with pytest.raises(MountPointError, match=message):
            mount.create_and_seal(tmp_path / name)
    assert not flags


def test_mounted_is_refused(flags: dict[str, int]) -> None:
    with pytest.raises(MountPointError, match="mounted on"):
        mount.create_and_seal(Path("/proc"))
    with pytest.raises(MountPointError, match="mounted on"):
        mount.unseal(Path("/proc"))


@pytest.mark.parametrize("number", [errno.ENOTTY, errno.EOPNOTSUPP])
def test_file_system_without_flags_is_a_warning(
    tmp_path: Path, flags: dict[str, int], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def ioctl(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    assert "no immutable flag" in mount.create_and_seal(tmp_path / "pg")
    assert (tmp_path / "pg").stat().st_mode & 0o7777 == 0


def test_missing_privilege_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ioctl(*_: object) -> bytes:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    with pytest.raises(NotPrivilegedError, match="CAP_LINUX_IMMUTABLE"):
        mount.create_and_seal(tmp_path / "pg")


@pytest.mark.skipif(os.geteuid() != 0, reason="the immutable flag needs root; tests/host proves it in the lab")
def test_real_seal_stops_root(tmp_path: Path) -> None:
    path = tmp_path / "pg"
    if warning := mount.create_and_seal(path):
        pytest.skip(warning)
    try:
        assert mount.state(path, ()) is MountPointState.SEALED
        assert mount.create_and_seal(path) == ""
        with pytest.raises(PermissionError):
            (path / "PG_VERSION").touch()
    finally:
        mount.unseal(path)
    assert mount.state(path, ()) is MountPointState.EMPTY
