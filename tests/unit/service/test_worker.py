"""The process of a pass: started, listened to, asked to end, and left alone when it hangs."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from volward.service.task import Answer, Problems, Task
from volward.service.worker import Worker

HANGS = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
SAYS_HOW_IT_ENDS = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print('{"kind": "problems", "text": "told"}', flush=True), sys.exit(0)))
pathlib.Path(sys.argv[1]).touch()
sys.stdin.readline()
time.sleep(600)
"""
DIES_OF_IT = "import sys; sys.stdin.readline()"


async def answers(worker: Worker) -> list[Answer]:
    return [one async for one in worker.answers(Task)]


def test_one_that_says_nothing_for_too_long_is_left_alone(tmp_path: Path) -> None:
    async def story() -> None:
        worker = Worker((sys.executable, "-c", HANGS, str(tmp_path / "pid")), silence_seconds=3.0)
        assert await answers(worker) == []
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # it lived until here
        async with asyncio.timeout(60):
            while worker.left:
                await asyncio.sleep(0.05)

    asyncio.run(story())


def test_one_that_works_when_the_daemon_ends_is_told_so(tmp_path: Path) -> None:
    async def story() -> list[Answer]:
        worker = Worker((sys.executable, "-c", SAYS_HOW_IT_ENDS, str(tmp_path / "ready")))
        heard = asyncio.create_task(answers(worker))
        async with asyncio.timeout(60):
            while not (tmp_path / "ready").exists():
                await asyncio.sleep(0.05)
        worker.stop()
        return await heard

    assert asyncio.run(story()) == [Problems("told")]


def test_one_that_is_started_while_the_daemon_ends_ends_too() -> None:
    async def story() -> list[Answer]:
        worker = Worker((sys.executable, "-c", DIES_OF_IT))
        worker.stop()
        return await asyncio.wait_for(answers(worker), 60)

    assert asyncio.run(story()) == []
