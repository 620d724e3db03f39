"""The command line's end of the control socket, against a real one and against ends that answer nonsense."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.service.fake_daemon import STATUS, Running, running

from volward.errors import DaemonAnswerError, DaemonAwayError, NotPrivilegedError
from volward.service import client
from volward.service.live import Reloaded
from volward.service.peer import Access, Peer


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, access=Access(frozenset({os.geteuid()}))) as found:
        yield found


@contextlib.contextmanager
def _answering(path: Path, answer: bytes) -> Iterator[None]:
    """Answer one call with these bytes; nothing at all when there are none, for as long as the caller waits."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                if answer:
                    connection.sendall(answer)
                else:
                    connection.recv(1)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_status_and_reload(control: Running) -> None:
    assert client.status(control.path) == STATUS
    assert client.reload(control.path) == Reloaded(good=True)
    control.daemon.reloaded = Reloaded(good=False, problems=("one",))
    assert client.reload(control.path) == control.daemon.reloaded


def test_following_waits_longer_for_a_change_than_for_the_first_answer(control: Running) -> None:
    answers = client.follow(control.path, timeout_seconds=20.0)
    assert next(answers) == STATUS
    for number in (1, 2):
        control.do(lambda: control.daemon.become(STATUS))
        assert next(answers) == replace(STATUS, revision=number)
    answers.close()  # type: ignore[attr-defined]


def test_following_ends_with_the_daemon(tmp_path: Path) -> None:
    with running(tmp_path, access=Access(frozenset({os.geteuid()}))) as control:
        answers = client.follow(control.path)
        next(answers)
    with pytest.raises(DaemonAnswerError, match="closed the connection"):
        next(answers)


@pytest.mark.parametrize("ask", [client.status, client.reload, lambda path: next(client.follow(path))])
def test_no_daemon(tmp_path: Path, ask: Callable[[Path], object]) -> None:
    with pytest.raises(DaemonAwayError, match=r"does not run: nothing listens at .*No such file") as raised:
        ask(tmp_path / "control.sock")
    assert raised.value.exit_status == 69
    assert "systemctl start volward.service" in raised.value.resolution


def test_the_socket_of_a_killed_daemon(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    with pytest.raises(DaemonAwayError, match="Connection refused"):
        client.status(path)


def test_a_daemon_that_lets_this_user_not_in(tmp_path: Path) -> None:
    with (
        running(tmp_path, peer_of=lambda _: Peer(1, 1000)) as control,
        pytest.raises(DaemonAnswerError, match="not for this user") as raised,
    ):
        client.status(control.path)
    assert raised.value.exit_status == 75


def test_a_socket_that_is_not_for_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)  # root meets no such thing
    with pytest.raises(NotPrivilegedError, match="not for this user"):
        client.status(tmp_path / "control.sock")


def test_a_daemon_whose_queue_is_full(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first,
    ):
        busy.bind(str(path))
        busy.listen(0)
        first.connect(str(path))
        with pytest.raises(DaemonAnswerError, match="takes no connection"):
            client.status(path, timeout_seconds=0.01)


def test_a_daemon_that_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with _answering(path, b""), pytest.raises(DaemonAnswerError, match="did not answer within"):
        client.status(path, timeout_seconds=0.05)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"nonsense\0", "Expecting value"),
        (b"5\0", "not iterable"),
        (b"{}\0", "revision is missing"),
        (b'{"parameters": []}\0', "revision is missing"),
        (b'{"parameters": {"revision": "x"}}\0', "client.reply.revision"),
        (b'{"error": "org.varlink.service.MethodNotFound", "parameters": {"method": "Status"}}\0', "MethodNotFound"),
        (b'{"parameters": {"revision": 1}}\0', "version is missing"),
    ],
)
def test_a_daemon_that_answers_in_another_way(tmp_path: Path, answer: bytes, said: str) -> None:
    path = tmp_path / "control.sock"
    with _answering(path, answer), pytest.raises(DaemonAnswerError, match="not understand") as raised:
        client.status(path)
    assert said in raised.value.what or "InvalidParameter" in raised.value.what
    assert "another version" in raised.value.resolution
