"""A listener of this very process, on loopback."""

import socket
from pathlib import Path

import pytest

from volward.host import listener


def test_an_address_of_this_host() -> None:
    assert listener.is_here("http://127.0.0.1:8200")
    assert listener.is_here("https://[::1]:8200")
    assert listener.is_here("https://localhost:8200")


def test_an_address_elsewhere_or_nowhere() -> None:
    assert not listener.is_here("https://192.0.2.1:8200")
    assert not listener.is_here("https://no-such-host.invalid:8200")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8200", True),
        ("https://[::1]:8200", True),
        ("https://localhost", True),
        (f"https://{socket.gethostname()}:8200", True),
        ("https://192.0.2.1:8200", False),
        ("https://vault.example:8200", False),
    ],
)
def test_a_name_of_this_host(url: str, here: bool) -> None:
    assert listener.names_this_host(url) is here


def test_what_a_listener_has_open(tmp_path: Path) -> None:
    data = tmp_path / "raft.db"
    with socket.create_server(("127.0.0.1", 0)) as server, data.open("w"):
        port = server.getsockname()[1]
        found = listener.files_of(f"https://127.0.0.1:{port}")
        assert data in found
        assert Path.cwd() in found
    assert listener.files_of(f"http://127.0.0.1:{port}") == ()
