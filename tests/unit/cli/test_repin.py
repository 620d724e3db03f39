"""`volward repin`: shown, typed, recorded; or not."""

import pytest
from tests.unit.builders import IDENTITY, UUID
from tests.unit.cli.driver import Cli

from volward.model import Pin, VolumeSpec
from volward.operations.repin import Found

FOUND = Found(Pin(IDENTITY, UUID), ("serial: pinned A, found B", "size_bytes: pinned 1, found 2"))


@pytest.fixture
def recorded(cli: Cli) -> list[tuple[str, Found]]:
    pinned: list[tuple[str, Found]] = []
    cli.replace("volward.operations.repin.look", lambda spec: FOUND)

    def record(spec: VolumeSpec, found: Found) -> None:
        pinned.append((spec.name, found))

    cli.replace("volward.operations.repin.record", record)
    return pinned


def test_with_yes(cli: Cli, recorded: list[tuple[str, Found]]) -> None:
    done = cli("repin", "--yes", "cache")
    assert done.status == 0
    assert done.out == (
        "cache: /dev/disk/by-id/virtio-cache\n"
        "  serial: pinned A, found B\n"
        "  size_bytes: pinned 1, found 2\n"
        "cache: pinned\n"
    )
    assert recorded == [("cache", FOUND)]


def test_the_name_is_typed(cli: Cli, recorded: list[tuple[str, Found]]) -> None:
    cli.on_a_terminal("cache")
    assert cli("repin", "cache").status == 0
    assert recorded == [("cache", FOUND)]


@pytest.mark.parametrize("typed", ["", "yes", "queue"])
def test_anything_else_is_no(cli: Cli, recorded: list[tuple[str, Found]], typed: str) -> None:
    cli.on_a_terminal(typed)
    assert cli("repin", "cache").status == 73
    assert recorded == []


def test_nobody_to_ask(cli: Cli, recorded: list[tuple[str, Found]]) -> None:
    done = cli("repin", "cache")
    assert done.status == 73
    assert "volward repin --yes cache" in done.err
    assert recorded == []


def test_nothing_to_do(cli: Cli, recorded: list[tuple[str, Found]]) -> None:
    cli.replace("volward.operations.repin.look", lambda spec: Found(Pin(IDENTITY, UUID), ()))
    assert cli("repin", "cache").out == "cache: nothing to do, because the device is as pinned\n"
    assert recorded == []
