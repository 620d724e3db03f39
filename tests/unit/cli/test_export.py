"""`volward export crypttab`, and the answer of `volward key serve`."""

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.cli.driver import Cli

from volward.host import boot
from volward.host.systemd import UnitFile

UUID = "5d0c2a1e-0d0e-4b43-9b6e-111111111111"


@pytest.fixture
def host(cli: Cli, tmp_path: Path) -> list[tuple[tuple[str, ...], bool]]:
    """A host with one volume that is pinned, and a directory for its units."""
    enabled: list[tuple[tuple[str, ...], bool]] = []

    def enable(names: list[str], *, now: bool) -> None:
        enabled.append((tuple(names), now))

    cli.replace("volward.pins.read", lambda name: SimpleNamespace(luks_uuid=UUID) if name == "cache" else None)
    cli.replace("volward.host.boot.enabled", lambda name: False)
    cli.replace("volward.host.boot.enable", enable)
    cli.replace("volward.host.boot.key_units", lambda: (UnitFile(tmp_path / boot.KEY_SOCKET, "text"),))
    return enabled


def test_lines_and_what_is_missing(cli: Cli, host: list[Any]) -> None:
    done = cli("export", "crypttab")
    assert done.status == 0
    assert done.out.splitlines()[0] == f"volward-cache UUID={UUID} /run/volward/key.sock luks,nofail"
    assert "queue is not provisioned yet" in done.out
    assert "volward export crypttab --install" in done.err
    assert host == []


def test_install(cli: Cli, host: list[Any], tmp_path: Path) -> None:
    done = cli("export", "crypttab", "--install", "cache")
    assert done.status == 0
    assert (tmp_path / boot.KEY_SOCKET).read_text() == "text"
    assert host == [((boot.KEY_SOCKET,), True)]
    assert "listens at /run/volward/key.sock" in done.err


def test_the_shipped_units_fit_each_other() -> None:
    found = {unit.path.name: unit.content for unit in boot.key_units()}
    assert "Accept=yes" in found["volward-key.socket"]
    assert "ListenStream=/run/volward/key.sock" in found["volward-key.socket"]
    service = found["volward-key@.service"]
    assert "StandardInput=socket" in service
    assert "StandardOutput=journal" in service, "else it is a part of the key"
    assert "key serve" in service


def test_serve_on_a_socket(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()

    def serve(connection: socket.socket, specs: Any, *, deadline_seconds: float) -> str:
        connection.sendall(b"key")
        assert [spec.name for spec in specs] == ["cache", "queue"]
        return "cache"

    cli.replace("volward.operations.serve_key.serve", serve)
    with os.fdopen(ours.detach(), "rb") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        done = cli("key", "serve", "--timeout", "5")
    assert done.status == 0
    assert done.out == ""
    with theirs:
        assert theirs.recv(10) == b"key"


def test_serve_without_a_socket(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open("rb") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        done = cli("key", "serve")
    assert done.status == 77
    assert "Standard input is no socket." in done.err
