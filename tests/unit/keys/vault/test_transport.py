"""How requests travel: against a socket that answers as it is told."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.unit.keys.vault.scripted import SERVER

from volward.errors import KeyDeniedError, ProviderUnavailableError, UntrustedServerError
from volward.keys.vault import transport
from volward.keys.vault.deadline import left_seconds, until
from volward.keys.vault.exchange import Answer, Question
from volward.keys.vault.transport import HttpTransport
from volward.model import VaultServer
from volward.secret import SecretBytes

QUESTION = Question("reading x", "x")
Handler = Callable[[socket.socket, bytes], None]


@contextmanager
def listening(*handlers: Handler) -> Iterator[tuple[str, list[bytes]]]:
    """A server on loopback: each connection gets the next handler."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for handler in handlers:
                connection, _ = listener.accept()
                with connection:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += connection.recv(65536)
                    seen.append(request)
                    handler(connection, request)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        thread.join(20)


def answering(status: int, content: bytes, *headers: str) -> Handler:
    def handle(connection: socket.socket, request: bytes) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", "Connection: close", *headers]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)

    return handle


def ask(address: str, *, seconds: float = 10.0, token: str = "", **more: Any) -> Answer:
    server = replace(SERVER, address=address, **more)
    one = HttpTransport(server)
    secret = SecretBytes(token.encode()) if token else None
    try:
        return one.ask(
            QUESTION,
            lambda adapter: adapter.get("/v1/x", params={"version": 2}),
            secret,
            end=time.monotonic() + seconds,
        )
    finally:
        one.close()


@pytest.fixture(autouse=True)
def cas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cas.pem").write_text(Path(requests.utils.DEFAULT_CA_BUNDLE_PATH).read_text())
    monkeypatch.setattr(transport, "SYSTEM_CAS", tmp_path / "cas.pem")


def test_what_is_sent_and_what_of_the_environment_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "stray")
    monkeypatch.setenv("VAULT_NAMESPACE", "stray")
    with listening(answering(200, b'{"data": {"a": 1}}')) as (address, seen):
        assert ask(address, token="t1", namespace="team").data("a") == 1
    head = seen[0].decode()
    assert head.startswith("GET /v1/x?version=2 HTTP/1.1")
    assert "X-Vault-Token: t1" in head
    assert "X-Vault-Namespace: team" in head
    assert "X-Vault-Request: true" in head
    assert "stray" not in head


@pytest.mark.parametrize(
    ("status", "content", "body"),
    [(204, b"", {}), (404, b'{"errors": []}', {"errors": []}), (503, b"<html>", {}), (400, b"[1]", {})],
)
def test_statuses_are_answers(status: int, content: bytes, body: dict[str, object]) -> None:
    with listening(answering(status, content)) as (address, _):
        assert ask(address) == Answer(status, body)


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b'{"a":', b"\xff"])
def test_what_is_not_vaults_json_is_a_no(content: bytes) -> None:
    with listening(answering(200, content)) as (address, _), pytest.raises(KeyDeniedError, match="is not Vault"):
        ask(address)


def test_too_long_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LONGEST_ANSWER_BYTES", 100)
    with listening(answering(200, b"{" + b" " * 200)) as (address, _), pytest.raises(KeyDeniedError, match="longer"):
        ask(address)


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\nCache-Control: no-st",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10",
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"a":',
    ],
)
def test_cut_anywhere_may_pass(part: bytes) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(part)

    with listening(handle) as (address, _), pytest.raises(ProviderUnavailableError):
        ask(address)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_dripping_bytes_end_at_the_deadline(start: bytes) -> None:
    """In the headers and in the body: each byte comes well within the time-out of one read."""

    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(start)
        try:
            while True:
                connection.sendall(b"H")
                time.sleep(0.05)
        except OSError:
            pass

    with listening(handle) as (address, _):
        began = time.monotonic()
        with pytest.raises(ProviderUnavailableError, match=r"too long|timed out"):
            ask(address, seconds=1.0)
        assert time.monotonic() - began < 8


def test_no_time_left() -> None:
    with pytest.raises(ProviderUnavailableError, match="too long"):
        ask("http://127.0.0.1:1", seconds=-1.0)


def test_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ProviderUnavailableError, match="refused"):
            ask(f"http://127.0.0.1:{unused.getsockname()[1]}")


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/v1/x", "https://127.0.0.1:1/v1/other", ""])
def test_redirects_elsewhere_are_not_followed(location: str) -> None:
    headers = (f"Location: {location}",) if location else ()
    with listening(answering(307, b"", *headers)) as (address, _):
        assert ask(address).status == 307


def test_a_redirect_to_no_address_is_a_no() -> None:
    server = listening(answering(307, b"", "Location: https://["))
    with server as (address, _), pytest.raises(KeyDeniedError, match="an address that is none"):
        ask(address)


def test_the_redirect_of_a_standby_is_followed_over_tls_alone() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        leader = f"https://127.0.0.1:{unused.getsockname()[1]}/v1/x"
        with (
            listening(answering(307, b"", f"Location: {leader}")) as (address, _),
            pytest.raises(ProviderUnavailableError, match="refused"),
        ):
            ask(address)


def test_what_is_asked_for_is_in_the_address_that_a_standby_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_may_be_followed", lambda url, target: True)  # here without TLS
    moved = answering(307, b"", "Location: /v1/x?version=2")
    with listening(moved, answering(200, b'{"data":{}}')) as (address, seen):
        assert ask(address).status == 200
    assert [request.split(b" ")[1] for request in seen] == [b"/v1/x?version=2"] * 2


def test_plain_text_where_tls_is_spoken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(UntrustedServerError, match="does not speak TLS"):
            ask(f"https://127.0.0.1:{listener.getsockname()[1]}")


def test_a_ca_file_without_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(UntrustedServerError, match="PEM file"),
    ):
        ask(f"https://127.0.0.1:{listener.getsockname()[1]}", ca_file=tmp_path / "empty.pem")


def test_files_of_tls_that_are_not_there(tmp_path: Path) -> None:
    for setting in ("ca_file", "certificate", "private_key"):
        (tmp_path / "there").write_text("")
        files = dict.fromkeys(("ca_file", "certificate", "private_key"), tmp_path / "there") | {
            setting: tmp_path / "none"
        }
        login = replace(SERVER.login, certificate=files["certificate"], private_key=files["private_key"])
        server = VaultServer("https://vault:8200", login, ca_file=files["ca_file"])
        with pytest.raises(UntrustedServerError, match=setting):
            HttpTransport(server)


def test_deadlines_are_nested() -> None:
    assert left_seconds() == float("inf")
    with until(time.monotonic() + 100):
        with until(time.monotonic() + 1):
            assert left_seconds() <= 1
        assert left_seconds() > 50
    assert left_seconds() == float("inf")


def test_answers_as_vault_writes_them() -> None:
    content = json.dumps({"data": {"data": {"key": "x" * 5000}}}).encode()

    def chunked(connection: socket.socket, request: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        connection.sendall(head + f"{len(content):x}\r\n".encode() + content + b"\r\n0\r\n\r\n")

    with listening(chunked) as (address, _):
        assert len(ask(address).data("data", "key")) == 5000


def test_more_requests_than_connections_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_CONNECTIONS", 1)
    go_on, asked = threading.Event(), threading.Event()

    def slow(connection: socket.socket, request: bytes) -> None:
        asked.set()
        go_on.wait(20)
        answering(200, b'{"data": {"a": 1}}')(connection, request)

    with listening(slow, answering(200, b'{"data": {"a": 2}}')) as (address, seen):
        one = HttpTransport(replace(SERVER, address=address))

        def value(seconds: float) -> object:
            return one.ask(QUESTION, lambda adapter: adapter.get("/v1/x"), None, end=time.monotonic() + seconds).data(
                "a"
            )

        with ThreadPoolExecutor() as pool:
            first = pool.submit(value, 20)
            assert asked.wait(20)
            with pytest.raises(ProviderUnavailableError, match="took too long"):
                value(0.05)
            second = pool.submit(value, 20)
            go_on.set()
            assert (first.result(20), second.result(20)) == (1, 2)
        assert len(seen) == 2
        one.close()
