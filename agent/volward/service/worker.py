"""Starts the worker of a pass (service/work.py) and reads its answers.

The worker inherits the daemon's sandbox and control group. What it prints to standard error goes to the journal.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Sequence

from volward.service.task import Answer, Task, line, read_answer

PROGRAM = (sys.executable, "-P", "-m", "volward.service.work")  # -P: nothing from the working directory
_LONGEST_LINE_BYTES = 256 * 1024


class Worker:
    """One worker at a time: it is started by ``answers``, and ended by ``stop``."""

    def __init__(self, program: Sequence[str] = PROGRAM) -> None:
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    async def answers(self, task: Task) -> AsyncGenerator[Answer, None]:
        """Have a task done, and yield each answer when it comes. A line that is none is passed over."""
        process = await asyncio.create_subprocess_exec(
            *self._program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE_BYTES,
        )
        self._process = process
        try:
            with contextlib.suppress(ConnectionError):  # it ended at once: then it answers nothing
                await _say(process, line(task))
            while text := await _line(process):
                with contextlib.suppress(ValueError):
                    yield read_answer(text)
        finally:
            await process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask the worker to end after the steps that run (SIGTERM)."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()


async def _say(process: asyncio.subprocess.Process, text: bytes) -> None:
    if process.stdin is not None:
        process.stdin.write(text)
        await process.stdin.drain()
        process.stdin.close()


async def _line(process: asyncio.subprocess.Process) -> bytes:
    """Return the next line, b"" at the end; one that is too long is dropped."""
    while True:
        try:
            return b"" if process.stdout is None else await process.stdout.readline()
        except ValueError:
            continue
