"""One lock a volume."""

import os
import subprocess
import sys
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
