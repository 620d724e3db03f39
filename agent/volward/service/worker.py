"""Starts the worker of a pass (service/work.py) and reads its answers.

The worker inherits the daemon's sandbox and control group. What it prints to standard error goes to the journal.
It is volward itself and no host tool, and its answers are waited for by the event loop: so it is started here, and not
by host.run, through which the worker starts every tool.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Callable, Sequence

from volward.service.task import Answer, Loaded, Task, line, read_answer

PROGRAM = (sys.executable, "-P", "-m", "volward.service.work")  # -P: nothing from the working directory
_LONGEST_LINE_BYTES = 256 * 1024
SILENCE_SECONDS = 900.0  # longer than any of its steps takes; after that it hangs on a device


class Worker:
    """One worker at a time: it is started by ``answers``, and ended by ``stop``.

    One that says nothing for too long is left alone, never killed: it holds the locks of its volumes as long as it
    lives, and the other volumes are gone on with.
    """

    def __init__(self, program: Sequence[str] = PROGRAM, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._program = program
        self._silence_seconds = silence_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._left: set[asyncio.Task[int]] = set()

    async def answers(self, task: Callable[[], Task | None]) -> AsyncGenerator[Answer, None]:
        """Have a task done, and yield each answer when it comes. A line that is none is passed over.

        ``task`` is called once the answers of the configuration were taken; None: the worker is to leave.
        """
        process = await asyncio.create_subprocess_exec(
            *self._program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE_BYTES,
        )
        self._process = process
        if self._stopping:
            self.stop()
        try:
            while text := await asyncio.wait_for(_line(process), self._silence_seconds):
                try:
                    answer = read_answer(text)
                except ValueError:
                    continue
                yield answer
                if isinstance(answer, Loaded):
                    await _say(process, task())
        except TimeoutError:
            left = asyncio.create_task(process.wait())
            self._left.add(left)
            left.add_done_callback(self._left.discard)
            return
        finally:
            self._process = None
            if process.stdin is not None:
                process.stdin.close()  # it leaves, whatever it waited for
        await process.wait()

    @property
    def left(self) -> int:
        """How many hang, and are left alone."""
        return len(self._left)

    def stop(self) -> None:
        """Ask the worker, also one that is just being started, to end after the steps that run (SIGTERM)."""
        self._stopping = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()


async def _say(process: asyncio.subprocess.Process, task: Task | None) -> None:
    if process.stdin is None:
        return
    with contextlib.suppress(ConnectionError):  # it has ended: then it answers nothing
        if task is not None:
            process.stdin.write(line(task))
            await process.stdin.drain()
        process.stdin.close()  # without a task, or after it, it leaves


async def _line(process: asyncio.subprocess.Process) -> bytes:
    """Return the next line, b"" at the end; one that is too long is dropped."""
    while True:
        try:
            return b"" if process.stdout is None else await process.stdout.readline()
        except ValueError:
            continue
