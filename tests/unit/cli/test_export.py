"""`volward export crypttab`, and the answer of `volward key serve`."""

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.cli.driver import Cli

from volward.host import shipped
from volward.host.shipped import Part
from volward.operations.system_install import Ensured

UUID = "5d0c2a1e-0d0e-4b43-9b6e-111111111111"


@pytest.fixture
def host(cli: Cli) -> list[tuple[set[Part], set[Part]]]:
    """A host with one volume that is pinned; what was installed on it, and insisted on."""
    installed: list[tuple[set[Part], set[Part]]] = []

    def ensure(parts: set[Part], *, insist: set[Part]) -> Ensured:
        installed.append((parts, insist))
        return Ensured(reloaded=True, remarks=("volward-key.socket is left alone.",))

    cli.replace("volward.pins.read", lambda name: SimpleNamespace(luks_uuid=UUID) if name == "cache" else None)
    cli.replace("volward.host.boot.enabled", lambda name: False)
    cli.replace("volward.operations.system_install.ensure", ensure)
    return installed


def test_lines_and_what_is_missing(cli: Cli, host: list[Any]) -> None:
    done = cli("export", "crypttab")
    assert done.status == 0
    assert done.out.splitlines()[0] == f"volward-cache UUID={UUID} /run/volward/key.sock luks,nofail"
    assert "queue is not provisioned yet" in done.out
    assert "volward export crypttab --install" in done.err
    assert host == []


def test_a_socket_that_listens_is_no_remark(cli: Cli, host: list[Any]) -> None:
    cli.replace("volward.host.boot.enabled", lambda name: name == "volward-key.socket")
    assert "--install" not in cli("export", "crypttab").err
    assert host == []


def test_install(cli: Cli, host: list[Any]) -> None:
    done = cli("export", "crypttab", "--install", "cache")
    assert done.status == 0
    assert host == [({Part.KEY_SOCKET}, {Part.KEY_SOCKET})]
    assert "warning: volward-key.socket is left alone." in done.err
    assert "listens at /run/volward/key.sock" in done.err


def test_the_shipped_units_fit_each_other() -> None:
    found = {one.name: shipped.content(one).decode() for one in shipped.ALL if one.part is Part.KEY_SOCKET}
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
