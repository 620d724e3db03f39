"""Each fault of the proxy does what it says, before a real server."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.vault.certificates import Authority
from tests.vault.fault import Canned, Cut, Endless, Forward, Refuse, Silent, Slow
from tests.vault.health import Health, ask
from tests.vault.proxy import Proxy
from tests.vault.server import Server

HEALTH = "/v1/sys/health"


@pytest.fixture
def tls_proxy(tls_server: Server, authority: Authority) -> Iterator[Proxy]:
    shown = authority.server("proxy", "127.0.0.1")
    show, trust = authority.server_context(shown), authority.client_context()
    with Proxy(tls_server.address, server_context=show, client_context=trust) as proxy:
        yield proxy


def fetch(proxy: Proxy, timeout_seconds: float = 30) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(*proxy.address, timeout=timeout_seconds)) as connection:
        connection.request("GET", HEALTH)
        answer = connection.getresponse()
        return answer.status, answer.read()


def raw(proxy: Proxy) -> bytes:
    """All bytes of one response, up to the end of the connection."""
    with socket.create_connection(proxy.address, timeout=30) as connection:
        connection.sendall(f"GET {HEALTH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_without_a_fault_it_is_not_noticed(proxy: Proxy) -> None:
    status, body = fetch(proxy)
    assert status == 200
    assert json.loads(body)["initialized"] is True
    assert proxy.connections == 1


def test_refused_and_back(proxy: Proxy) -> None:
    proxy.become(Refuse())
    with pytest.raises(ConnectionRefusedError):
        fetch(proxy)
    proxy.become(Forward())
    assert fetch(proxy)[0] == 200


def test_silent(proxy: Proxy) -> None:
    proxy.become(Silent())
    with pytest.raises(TimeoutError):
        fetch(proxy, timeout_seconds=0.5)
    assert proxy.connections == 1


def test_slow(proxy: Proxy) -> None:
    size = len(raw(proxy))
    proxy.become(Slow(bytes_per_second=size))
    started = time.monotonic()
    assert len(raw(proxy)) == size
    # Never faster than it was told; how much slower is up to the machine.
    assert time.monotonic() - started > 0.8


def test_cut_in_the_middle(proxy: Proxy) -> None:
    proxy.become(Cut(after_bytes=20))
    assert len(raw(proxy)) == 20
    proxy.become(Cut(after_bytes=300))
    with pytest.raises(http.client.IncompleteRead):
        fetch(proxy)


def test_cut_before_the_answer(proxy: Proxy) -> None:
    proxy.become(Cut(after_bytes=0))
    with pytest.raises(http.client.RemoteDisconnected):
        fetch(proxy)
    proxy.become(Cut(after_bytes=0, reset=True))
    with pytest.raises(ConnectionResetError):
        raw(proxy)


def test_canned(proxy: Proxy) -> None:
    proxy.become(Canned(503, b"maintenance", {"Retry-After": "1"}), Canned(500), Forward())
    assert fetch(proxy) == (503, b"maintenance")
    assert fetch(proxy)[0] == 500
    assert fetch(proxy)[0] == 200
    assert fetch(proxy)[0] == 200


def test_endless(proxy: Proxy) -> None:
    proxy.become(Endless())
    with closing(http.client.HTTPConnection(*proxy.address, timeout=30)) as connection:
        connection.request("GET", HEALTH)
        answer = connection.getresponse()
        assert len(answer.read(8 * 1024 * 1024)) == 8 * 1024 * 1024


def test_a_kept_connection_meets_the_new_fault(proxy: Proxy, dev_server: Server) -> None:
    client = dev_server.client(dev_server.root_token, url=proxy.url)
    assert client.is_authenticated()
    proxy.become(Canned(500))
    with pytest.raises(Exception, match="canned by the test"):
        client.sys.list_policies()
    proxy.become(Forward())
    assert client.is_authenticated()


def test_tls_passes_through(tls_server: Server) -> None:
    with Proxy(tls_server.address) as proxy:
        client = tls_server.client(tls_server.root_token, url=proxy.tls_url)
        assert client.is_authenticated()
        proxy.become(Cut(after_bytes=1000))
        assert ask(proxy.address, tls=True) is Health.GONE


def test_tls_that_ends_in_the_proxy(tls_server: Server, tls_proxy: Proxy) -> None:
    client = tls_server.client(tls_server.root_token, url=tls_proxy.tls_url)
    assert client.is_authenticated()
    tls_proxy.become(Canned(503), Forward())
    with pytest.raises(Exception, match="canned by the test"):
        client.sys.list_policies()
    assert client.is_authenticated()


def test_a_request_that_comes_after_the_session_ticket(tls_proxy: Proxy, authority: Authority) -> None:
    """A server sends its tickets after the handshake: there is something to read from it, and no data."""
    with (
        socket.create_connection(tls_proxy.address, timeout=60) as plain,
        authority.client_context().wrap_socket(plain, server_hostname=tls_proxy.address.host) as connection,
    ):
        time.sleep(2)
        connection.sendall(f"GET {HEALTH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
