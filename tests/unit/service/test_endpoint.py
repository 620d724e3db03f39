"""The path of the control socket, with real sockets and a daemon that is really killed."""

import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from volward.errors import BusyError, OperatingSystemError
from volward.service import endpoint

AGENT = Path(__file__).parents[3] / "agent"
DAEMON = """
import sys, time
from pathlib import Path
from volward.service import endpoint
with endpoint.bound(Path(sys.argv[1])):
    print("listening", flush=True)
    time.sleep(600)
"""


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


def test_it_is_for_the_owner_and_a_group_and_goes_with_the_daemon(tmp_path: Path) -> None:
    path = tmp_path / "volward" / "control.sock"
    with endpoint.bound(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert _connects(path)
    assert not path.exists()


def test_what_a_killed_daemon_left_is_taken_over_and_a_living_one_is_not_pushed_out(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    command = [sys.executable, "-c", DAEMON, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(AGENT)}) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"listening\n"
        with (
            pytest.raises(BusyError, match=rf"Another daemon of volward \(process {other.pid}\)"),
            endpoint.bound(path),
        ):
            pass
        assert _connects(path)
        other.send_signal(signal.SIGKILL)
    assert path.exists()
    with endpoint.bound(path):
        assert _connects(path)


def test_a_lock_without_a_number_in_it(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with endpoint.bound(path):
        path.with_name("control.sock.lock").write_text("")
        with pytest.raises(BusyError, match="process unknown"), endpoint.bound(path):
            pass


def test_a_socket_unit_that_listens_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unit:
        unit.bind(str(path))
        unit.listen(1)
        with pytest.raises(BusyError, match="Another daemon of volward listens"), endpoint.bound(path):
            pass
        assert _connects(path)


def test_a_full_queue_is_a_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_PROBE_SECONDS", 0.01)
    path = tmp_path / "control.sock"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first,
    ):
        busy.bind(str(path))
        busy.listen(0)
        first.connect(str(path))
        with pytest.raises(BusyError, match="Another daemon"), endpoint.bound(path):
            pass


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("mine")
    with pytest.raises(BusyError, match="is no socket"), endpoint.bound(path):
        pass
    assert path.read_text() == "mine"


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatingSystemError, match="Listening at"), endpoint.bound(tmp_path / "file" / "control.sock"):
        pass


def test_the_path_of_a_successor_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with endpoint.bound(path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as successor:
        path.unlink()
        successor.bind(str(path))
    assert path.exists()


def test_a_path_that_somebody_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with endpoint.bound(path):
        path.unlink()
    assert not path.exists()
