"""The daemon's loop: looks when something happened, has a worker do what is due, and tells systemd how it goes.

Type=notify (sd_notify(3)): ready once the first pass has ended, so that whoever waits for a mapping (the drop-in of its
device unit is ordered after volward.service) waits no longer than that. Stopping it closes nothing.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace

from volward import __version__
from volward.service import lines, requests, sight
from volward.service.board import Board, Change, Sight, State
from volward.service.leases import Leases
from volward.service.live import LiveStatus, Pass, Reloaded
from volward.service.live_volume import live_volume
from volward.service.requests import Requests
from volward.service.revision import Revision
from volward.service.task import Again, Ended, Lease, Loaded, Problems, Task, Watched
from volward.service.wall_clock import WallClock
from volward.service.worker import Worker

FIRST_DEADLINE_SECONDS = 20.0  # of a provider that is unreachable, in the first pass: a boot is not held up
DEADLINE_SECONDS = 30.0
SETTLE_SECONDS = 0.3  # events come in swarms
LOOK_SECONDS = 300.0  # what no event tells of
AGAIN_SECONDS = 10.0  # after a worker that could not read the configuration
DEVICE_SECONDS = 10.0  # how long the disks of a boot are waited for before the first pass counts as ended
READY_SECONDS = 60.0  # at the latest, whatever the first pass does


@dataclass
class Outside:
    """What the daemon needs of the world; tests give their own."""

    look: Callable[[tuple[Watched, ...]], dict[str, Sight]] = sight.look
    notify: Callable[[str], None] = lambda _: None
    say: Callable[[str], None] = print
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    worker: Worker = field(default_factory=Worker)


class Daemon:
    """All volumes of the host, for as long as the service runs."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._board = Board(outside.chance)
        self._leases = Leases()
        self._problems = ""
        self._ready = False
        self._stopping = False
        self._requests = Requests()
        self._look = True
        self._said: dict[str, str] = {}
        self._revision = Revision()
        self._devices_until = 0.0
        self._started = outside.clock()
        self._clock = WallClock(self._started, outside.wall())
        self._configured_at: float | None = None
        self._last_pass: Pass | None = None
        self._something = asyncio.Event()
        self._pass: asyncio.Task[None] | None = None
        self._status = ""

    @property
    def board(self) -> Board:
        return self._board

    @property
    def problems(self) -> str:
        """Why the configuration could not be read; what was known before stays."""
        return self._problems

    def say(self, line: str) -> None:
        """Write a line to the journal, with its priority before it (sd-daemon(3)); the control socket has some, too."""
        self._outside.say(line)

    # --- what happens outside ---------------------------------------------------------------------------

    def look_again(self) -> None:
        """A device, a mapping or a mount changed."""
        self._look = True
        self._something.set()

    def hurry(self) -> None:
        """The network changed: a provider that was unreachable may be there."""
        self._board.hurry(self._outside.clock())
        self._something.set()

    def reload_soon(self) -> None:
        """Read the configuration anew (SIGHUP). What somebody closed stays closed; `reload` opens that, too."""
        self._requests.add()
        self._something.set()

    def stop(self) -> None:
        """End after the steps that run (SIGTERM). Nothing is closed."""
        self._stopping = True
        self._outside.worker.stop()
        self._something.set()

    # --- what the control socket asks (service/live.py) ---------------------------------------------------

    def snapshot(self) -> LiveStatus:
        """Return what is known now."""
        clock = self._wall_clock()
        return LiveStatus(
            revision=self._revision.number,
            version=__version__,
            started_at=clock.tell(self._started),
            configured_at=self._configured_at,
            problems=(self._problems,) if self._problems else (),
            last_pass=self._last_pass,
            volumes=tuple(live_volume(row, clock) for row in self._board.rows),
        )

    async def reload(self) -> Reloaded:
        """Read the configuration anew, and say what came of it."""
        answer = self._requests.ask()
        self._something.set()
        return await answer

    async def changed(self, since: int) -> None:
        """Return once the revision is beyond ``since``."""
        await self._revision.beyond(since)

    # --- the loop ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until ``stop``."""
        self._devices_until = self._outside.clock() + DEVICE_SECONDS
        late = asyncio.get_running_loop().call_later(READY_SECONDS, self._say_ready)
        try:
            while not self._stopping:
                self._turn()
                await self._wait()
        finally:
            late.cancel()
            self._outside.notify("STOPPING=1")
            if self._pass is not None:
                await self._pass

    def _turn(self) -> None:
        if self._look:
            self._look = False
            self._see()
        if self._pass is not None and self._pass.done():
            self._pass.result()
            self._pass = None
        if self._pass is None:
            if self._requests.pending:
                self._begin(self._load())
            elif task := self._take():
                self._begin(self._do(task))
            elif not self._awaits_devices():
                self._say_ready()
        self._tell_status()

    def _awaits_devices(self) -> bool:
        """Whether a disk may still come: at a boot the kernel finds them for a while."""
        coming = any(row.state is State.AWAY and row.volume.opens for row in self._board.rows)
        return coming and not self._ready and self._outside.clock() < self._devices_until

    async def _wait(self) -> None:
        now = self._outside.clock()
        wakes = [] if self._pass else [self._board.next_wake(now), self._leases.next_wake(now)]
        seconds = min([LOOK_SECONDS, *(wake for wake in wakes if wake is not None)])
        if self._awaits_devices():
            seconds = min(seconds, self._devices_until - now)
        try:
            await asyncio.wait_for(self._something.wait(), seconds)
        except TimeoutError:
            self._look = True
            return
        self._something.clear()
        if self._look and not self._stopping:
            await asyncio.sleep(SETTLE_SECONDS)

    # --- a pass -----------------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._pass = asyncio.create_task(work)
        self._pass.add_done_callback(lambda _: self._something.set())

    def _take(self) -> Task | None:
        """Return what is due, and note that it is being done."""
        if self._stopping:
            return None
        now = self._outside.clock()
        task = self._board.take(now, deadline_seconds=DEADLINE_SECONDS if self._ready else FIRST_DEADLINE_SECONDS)
        if task is None and self._ready and self._leases.is_due(now):
            return Task(renew=True)
        if task is not None and (names := (*task.open, *task.release)):
            self._last_pass = Pass(self._outside.wall(), volumes=names)
        return task

    async def _load(self) -> None:
        """Have the configuration read, and by the same worker, which is warm then, what is due done."""
        asked = self._requests.take()
        reloads = self._ready
        if reloads:
            self._outside.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

        def answer() -> None:
            if reloads:
                self._outside.notify("READY=1")
            requests.answer(asked, self._problems)

        def due(volumes: list[Watched]) -> Task | None:
            self._configure(volumes)
            answer()
            self._see()
            return self._take()

        problems = await self._work(due)
        if problems is None and not self._stopping:
            problems = "The worker that reads it ended without an answer. It is tried again."
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.reload_soon)
        if problems:
            self._complain(problems)
            answer()
        self._end_pass()

    async def _do(self, task: Task) -> None:
        """Have a task done."""
        problems = await self._work(lambda _: task)
        if problems:
            self._complain(problems)
        self._end_pass("The configuration cannot be read." if problems else "")
        if task.renew:
            self._leases.missed(self._outside.clock())

    async def _work(self, due: Callable[[list[Watched]], Task | None]) -> str | None:
        """Have a worker read the configuration and do what is due by it; note what it answers.

        Returns what is wrong with the configuration: "" when it was read, None when nothing was said of it.
        """
        volumes: list[Watched] = []
        task: Task | None = None
        problems: str | None = None
        async with contextlib.aclosing(self._outside.worker.answers(lambda: task)) as answers:
            async for answer in answers:
                match answer:
                    case Watched():
                        volumes.append(answer)
                    case Loaded():
                        problems = ""
                        task = due(volumes)
                    case Problems():
                        problems = answer.text
                    case Ended() | Again() | Lease() if task is not None:
                        self._note(task, answer)
        return problems

    def _configure(self, volumes: list[Watched]) -> None:
        now = self._outside.clock()
        self._problems = ""
        self._configured_at = self._outside.wall()
        self._board.configure(volumes, now, asked=self._requests.by_a_person())
        self._leases.configure((one.leased_from for one in volumes), now)

    def _end_pass(self, why: str = "") -> None:
        if not self._stopping:
            self._tell(self._board.abandoned(self._outside.clock(), why))
        if self._last_pass is not None and self._last_pass.ended_at is None:
            self._last_pass = replace(self._last_pass, ended_at=self._outside.wall())
        self._revision.rise()
        self._look = True

    def _note(self, task: Task, answer: Ended | Again | Lease) -> None:
        now = self._outside.clock()
        match answer:
            case Again():
                self._board.again(answer.name, now)
            case Lease():
                if line := self._leases.note(answer, now):
                    self._outside.say(line)
            case Ended() if answer.name in task.revive:
                self._board.revived(answer.name)  # the worker has said whom it started
            case Ended() if answer.name in task.release:
                self._tell(self._board.released(answer, now))
            case Ended():
                self._tell(self._board.ended(answer, now))
        self._tell_status()

    # --- what is seen and said --------------------------------------------------------------------------

    def _see(self) -> None:
        try:
            sights = self._outside.look(tuple(row.volume for row in self._board.rows))
        except OSError as error:
            self._outside.say(f"<4>The volumes cannot be looked at: {error}. It is tried again.")
            return
        self._tell(self._board.see(sights, self._outside.clock()))

    def _complain(self, text: str) -> None:
        if text == self._problems:
            return
        self._problems = text
        self._outside.say(f"<3>The configuration cannot be read, and what was known before stays:\n{text}")

    def _tell(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            name, line = change.row.volume.name, lines.of_change(change)
            if change.row.state is not State.OPENING and self._said.get(name) != line:
                self._said[name] = line
                self._outside.say(line)
        if changes:
            self._revision.rise()

    def _tell_status(self) -> None:
        is_read = self._configured_at is not None or self._problems
        text = lines.status(self._board.rows, self._wall_clock(), self._problems) if is_read else lines.READING
        if text != self._status:
            self._status = text
            self._outside.notify(f"STATUS={text}")

    def _wall_clock(self) -> WallClock:
        self._clock = self._clock.now(self._outside.clock(), self._outside.wall())
        return self._clock

    def _say_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self._outside.notify("READY=1")
