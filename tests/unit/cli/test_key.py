"""`volward key export`: whole and only for root, or not there at all; never on a stream that somebody reads."""

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.unit.cli.driver import Cli

from volward.errors import NoOpenerError
from volward.model import ProviderKind, VolumeSpec
from volward.operations.keys import Exported
from volward.secret import SecretBytes

KEY = b"\n\0 a key with all that breaks text \xff" + bytes(range(27))
CONFIRMED = ("--confirm", "export cache")


@pytest.fixture
def exported(cli: Cli) -> list[SecretBytes]:
    """The keys that were handed to the command."""
    given: list[SecretBytes] = []

    def export_key(spec: VolumeSpec, *, deadline_seconds: float) -> Exported:
        given.append(SecretBytes(KEY))
        return Exported(given[-1], ProviderKind.CREDENTIAL, 2)

    cli.replace("volward.operations.keys.export_key", export_key)
    return given


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_new_file_of_roots(cli: Cli, exported: list[SecretBytes], tmp_path: Path) -> None:
    file = tmp_path / "key"
    before = os.umask(0)
    try:
        done = cli("key", "export", "cache", "--output", str(file), *CONFIRMED)
    finally:
        os.umask(before)
    assert done.status == 0
    assert done.out == f"cache: the key of credential (keyslot 2) was written to {file}\n"
    assert file.read_bytes() == KEY
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(key.wiped for key in exported)


def test_an_existing_file_stays(cli: Cli, exported: list[SecretBytes], tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("the only copy")
    done = cli("key", "export", "cache", "--output", str(file), *CONFIRMED)
    assert done.status == 73
    assert file.read_text() == "the only copy"
    assert exported == []


def test_a_link_is_not_followed(cli: Cli, exported: list[SecretBytes], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert cli("key", "export", "cache", "--output", str(tmp_path / "link"), *CONFIRMED).status == 73
    assert not (tmp_path / "target").exists()


def test_a_place_that_is_not_there(cli: Cli, exported: list[SecretBytes], tmp_path: Path) -> None:
    done = cli("key", "export", "cache", "--output", str(tmp_path / "none/key"), *CONFIRMED)
    assert done.status == 71
    assert "No such file or directory" in done.err


@pytest.mark.parametrize(
    "error", [NoOpenerError("Nobody.", resolution="Wait."), OSError(5, "EIO"), KeyboardInterrupt()]
)
def test_nothing_is_left_of_an_export_that_failed(cli: Cli, tmp_path: Path, error: BaseException) -> None:
    def export_key(spec: VolumeSpec, *, deadline_seconds: float) -> Exported:
        raise error

    cli.replace("volward.operations.keys.export_key", export_key)
    status = cli("key", "export", "cache", "--output", str(tmp_path / "key"), *CONFIRMED).status
    assert status in (69, 71, 130)
    assert not (tmp_path / "key").exists()


def test_nothing_is_left_when_the_file_system_fills_up(
    cli: Cli, exported: list[SecretBytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(descriptor: int, data: memoryview) -> int:
        if len(data) < len(KEY):
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        status = cli("key", "export", "cache", "--output", str(tmp_path / "key"), *CONFIRMED).status
    assert status == 71
    assert not (tmp_path / "key").exists()
    assert all(key.wiped for key in exported)


def test_a_descriptor(cli: Cli, exported: list[SecretBytes], pipe: tuple[int, int]) -> None:
    assert cli("key", "export", "cache", "--fd", str(pipe[1]), *CONFIRMED).status == 0
    assert os.read(pipe[0], 1000) == KEY


@pytest.mark.parametrize("number", ["0", "1", "2", "987", "-5"])
def test_a_descriptor_that_is_none_or_that_people_read(cli: Cli, exported: list[SecretBytes], number: str) -> None:
    done = cli("key", "export", "cache", f"--fd={number}", *CONFIRMED)
    assert done.status == 2
    assert f"Descriptor {number} cannot take a key" in done.err
    assert exported == []


def test_where_to_is_said_once(cli: Cli, exported: list[SecretBytes], tmp_path: Path) -> None:
    assert cli("key", "export", "cache", *CONFIRMED).status == 2
    assert cli("key", "export", "cache", "--fd", "9", "--output", str(tmp_path / "key"), *CONFIRMED).status == 2
    assert exported == []


@pytest.mark.parametrize("confirm", [(), ("--confirm", "export queue"), ("--confirm", "yes")])
def test_without_its_words_nothing_is_exported(
    cli: Cli, exported: list[SecretBytes], tmp_path: Path, confirm: tuple[str, ...]
) -> None:
    done = cli("key", "export", "cache", "--output", str(tmp_path / "key"), *confirm)
    assert done.status == 73
    assert '--confirm "export cache"' in done.err
    assert not (tmp_path / "key").exists()


def test_on_a_terminal_they_are_typed(cli: Cli, exported: list[SecretBytes], tmp_path: Path) -> None:
    cli.on_a_terminal("export cache", "export cahce", click.Abort())
    command = ("key", "export", "cache", "--output", str(tmp_path / "key"))
    assert cli(*command).status == 0
    (tmp_path / "key").unlink()
    assert cli(*command).status == 73
    assert cli(*command).status == 130
    assert not (tmp_path / "key").exists()
