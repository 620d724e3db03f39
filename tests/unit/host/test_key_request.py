"""Who asks for which key: the name of the other end's socket says it; only root's systemd-cryptsetup gets one."""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from volward.errors import KeyRequestError
from volward.host import key_request


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "key.sock"))
        listening.listen()
        yield listening


def asked(listener: socket.socket, name: bytes | None) -> key_request.KeyRequest:
    """Connect from a socket of that name, as systemd-cryptsetup does, and read the request."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        if name is not None:
            asking.bind(name)
        asking.connect(listener.getsockname())
        connection, _ = listener.accept()
        with connection:
            return key_request.read(connection)


def unique(rest: bytes) -> bytes:
    return b"\0" + os.urandom(8).hex().encode() + rest


def test_the_mapping_is_in_the_name(listener: socket.socket) -> None:
    request = asked(listener, unique(b"/cryptsetup/volward-pgdata"))
    assert request == key_request.KeyRequest("volward-pgdata", os.getpid())


@pytest.mark.parametrize("rest", [b"", b"/cryptsetup/", b"/other/volward-pgdata", b"/cryptsetup/a\0b"])
def test_somebody_else(listener: socket.socket, rest: bytes) -> None:
    with pytest.raises(KeyRequestError, match="does not say for which mapping"):
        asked(listener, unique(rest))


def test_without_a_name(listener: socket.socket) -> None:
    with pytest.raises(KeyRequestError, match="does not say for which mapping"):
        asked(listener, None)


def test_a_wrapped_key_is_not_what_is_served(listener: socket.socket) -> None:
    with pytest.raises(KeyRequestError, match=r"wrapped key \(cryptsetup-tpm2\) of volward-pgdata") as raised:
        asked(listener, unique(b"/cryptsetup-tpm2/volward-pgdata"))
    assert "tpm2-device=" in raised.value.resolution


def test_only_root(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    real = struct.Struct("=iII")

    class Peer:
        size = real.size

        def unpack(self, found: bytes) -> tuple[int, int, int]:
            return (real.unpack(found)[0], 1000, 1000)

    monkeypatch.setattr(key_request, "_CREDENTIALS", Peer())
    with pytest.raises(KeyRequestError, match="The user 1000 asks for a key"):
        asked(listener, unique(b"/cryptsetup/volward-pgdata"))


def test_no_local_connection() -> None:
    with socket.socket() as other, pytest.raises(KeyRequestError, match="no local one"):
        key_request.read(other)
