"""The daemon hears of each change of the mounts: of the real mountinfo, in a mount namespace of the test's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[3] / "agent"
PROGRAM = """
import asyncio, pathlib, subprocess, sys
from volward.service import mounts

async def main(directory):
    heard = asyncio.Event()
    with mounts.watched(heard.set, path=pathlib.Path("/proc/self/mountinfo")):
        for command in (["mount", "-t", "tmpfs", "none", directory], ["umount", directory]) * 2:
            await asyncio.sleep(0.1)
            heard.clear()
            subprocess.run(command, check=True)
            await asyncio.wait_for(heard.wait(), 30)
        heard.clear()
        await asyncio.sleep(0.3)
        print("quiet" if not heard.is_set() else "told without a change")

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")
def test_each_change_is_told_and_nothing_else(tmp_path: Path) -> None:
    words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(
        words, env={**os.environ, "PYTHONPATH": str(AGENT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "quiet\n"), done.stderr
