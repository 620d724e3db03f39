"""One lock a volume."""

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from volward import lock
from volward.errors import BusyError


def test_the_second_is_told_who_is_first(tmp_path: Path) -> None:
    directory = tmp_path / "lock"
    with lock.held("pgdata", directory=directory):
        with pytest.raises(BusyError, match=f"process {os.getpid()}"), lock.held("pgdata", directory=directory):
            pass
        with lock.held("redis", directory=directory):
            pass
    with lock.held("pgdata", directory=directory):
        pass


def test_a_holder_that_wrote_nothing_yet_is_unknown(tmp_path: Path) -> None:
    with lock.held("pgdata", directory=tmp_path):
        (tmp_path / "pgdata").write_bytes(b"")
        with pytest.raises(BusyError, match="process unknown"), lock.held("pgdata", directory=tmp_path):
            pass


def test_an_error_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cut"), lock.held("pgdata", directory=tmp_path):
        raise ValueError("cut")
    with lock.held("pgdata", directory=tmp_path):
        pass


def test_the_kernel_lets_go_of_a_killed_holders_lock(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\nfrom volward import lock\n"
        "with lock.held('pgdata', directory=pathlib.Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, check=False)

    assert killed.returncode == -9
    with lock.held("pgdata", directory=tmp_path):
        pass


LEFT_RUNNING = """
import os, pathlib, sys
from volward import lock
from volward.host import run
directory = pathlib.Path(sys.argv[1])
with lock.held("pgdata", directory=directory):
    work = f"while [ ! -e {directory}/go ]; do sleep 0.02; done"
    try:
        run.mutate(["sh", "-c", work], deadline_seconds=0.1)
    except run.ToolTimeoutError:
        if "killed" in sys.argv:
            os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_what_was_left_running_keeps_the_lock(tmp_path: Path, how: str) -> None:
    """A second volward must not meet a cryptsetup that is still writing, whatever became of the first."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", LEFT_RUNNING, str(tmp_path), how], env=environment, check=False)

    with pytest.raises(BusyError, match=r"A tool that volward .* started still works on pgdata"):
        lock.held("pgdata", directory=tmp_path).__enter__()
    (tmp_path / "go").touch()
    for _ in range(500):
        with contextlib.suppress(BusyError), lock.held("pgdata", directory=tmp_path):
            return
        time.sleep(0.02)
    pytest.fail("the lock outlived the tool")


def test_a_second_that_can_wait_gets_it_when_the_first_lets_go(tmp_path: Path) -> None:
    first = os.open(tmp_path / "units", os.O_RDWR | os.O_CREAT)
    fcntl.flock(first, fcntl.LOCK_EX)
    timer = threading.Timer(0.2, os.close, [first])
    timer.start()
    with lock.held("units", directory=tmp_path, wait_seconds=60):
        pass
    timer.join()


def test_a_second_does_not_wait_for_ever(tmp_path: Path) -> None:
    with (
        lock.held("units", directory=tmp_path),
        pytest.raises(BusyError, match="works on units"),
        lock.held("units", directory=tmp_path, wait_seconds=0.2),
    ):
        pass


DAEMON = """
import pathlib, sys, time
from volward import lock
lock.of_daemon()
with lock.held('pgdata', directory=pathlib.Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock as the daemon does, until it is written to."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", DAEMON, str(tmp_path)]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        yield process


def test_the_daemon_is_waited_for(tmp_path: Path, daemon: subprocess.Popen[str]) -> None:
    assert daemon.stdin is not None
    threading.Timer(0.5, daemon.stdin.close).start()
    with lock.held("pgdata", directory=tmp_path):
        assert daemon.wait() == 0


def test_the_daemon_is_not_waited_for_for_ever(
    tmp_path: Path, daemon: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_DAEMON_SECONDS", 0.2)
    with pytest.raises(BusyError, match=f"process {daemon.pid}\\)"), lock.held("pgdata", directory=tmp_path):
        pass


def test_the_daemon_itself_waits_for_nobody(
    tmp_path: Path, daemon: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_OWNER", [])
    lock.of_daemon()
    with pytest.raises(BusyError, match=str(daemon.pid)), lock.held("pgdata", directory=tmp_path):
        pass
