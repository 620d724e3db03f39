"""The worker: one pass of the daemon in a process of its own, `python3 -m volward.service.work`.

It reads a Task from standard input, loads the configuration, opens, releases, and starts what waited for the volumes;
each answer is written as soon as it is known. What it loaded, and every key, leaves with it.
"""

import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from volward import config, stores
from volward.errors import DeviceNotFoundError, VolwardError
from volward.host import run, systemd
from volward.model import StoreKind, VolumeSpec
from volward.operations.close import release_volume
from volward.operations.open import Opened, open_volumes
from volward.operations.watcher import Watcher
from volward.os_errors import explained
from volward.service import revival
from volward.service.task import Answer, Ended, Problems, Task, Watched, line, read_task

ROOT = Path("/etc/volward")
_STOPPING = threading.Event()  # the daemon is to end: no further step is begun


class Stoppable(Watcher):
    """Lets a step end, and begins no other once the daemon was told to end."""

    def interrupted(self) -> bool:
        return _STOPPING.is_set()


class Worker:
    """One pass; answers go to ``out``."""

    def __init__(self, specs: Sequence[VolumeSpec], task: Task, out: BinaryIO) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._task = task
        self._out = out
        self._lock = threading.Lock()

    def run(self) -> None:
        """Tell of the configuration, then do what the task says."""
        for spec in self._specs.values():
            self.say(watched(spec))
        lost = [self._specs[name] for name in self._task.release if name in self._specs]
        if lost:
            with ThreadPoolExecutor(max_workers=len(lost)) as pool:
                list(pool.map(self._release, lost))
        wanted = [self._specs[name] for name in self._task.open if name in self._specs]
        if wanted:
            open_volumes(wanted, Stoppable(), deadline_seconds=self._task.deadline_seconds, tell=self._opened)

    def say(self, answer: Answer) -> None:
        """Write one answer; threads share the pipe."""
        with self._lock:
            self._out.write(line(answer))
            self._out.flush()

    def _opened(self, one: Opened) -> None:
        if one.error is not None:
            self.say(_failed(one.volume, one.error))
            return
        self.say(Ended(one.volume, one.opened_by, one.degraded, self._start_waiting(one.volume)))

    def _start_waiting(self, volume: str) -> tuple[str, ...]:
        """Start the consumers that failed or stopped because the volume was away; return them."""
        units = [unit for unit in self._specs[volume].consumers if not unit.startswith("container:")]
        lost = {self._mount(name): usec for name, usec in self._task.lost_usec.items()}
        started = []
        try:
            for decision in revival.examine({unit: self._mounts(unit) for unit in units}, lost_usec=lost):
                if decision.start:
                    systemd.start(decision.consumer)
                    started.append(decision.consumer)
                    note(f"<5>{decision.consumer} is started: {decision.why}")
        except (VolwardError, OSError) as error:  # the volume is open all the same
            note(f"<4>{volume}: who waited for it cannot be started: {error}")
        return tuple(started)

    def _mounts(self, consumer: str) -> tuple[str, ...]:
        """Return the mount units of all volumes that a consumer needs."""
        needed = (spec for spec in self._specs.values() if consumer in spec.consumers and spec.mount_point)
        return tuple(self._mount(spec.name) for spec in needed)

    def _mount(self, volume: str) -> str:
        mount_point = self._specs[volume].mount_point if volume in self._specs else None
        return systemd.mount_unit_name(mount_point) if mount_point else ""

    def _release(self, spec: VolumeSpec) -> None:
        try:
            with explained(f"Releasing {spec.name}"):
                release_volume(spec)
        except VolwardError as error:
            self.say(_failed(spec.name, error))
        else:
            self.say(Ended(spec.name))


def note(text: str) -> None:
    """Write a line to the journal (sd-daemon(3)); standard output belongs to the daemon."""
    print(text, file=sys.stderr, flush=True)


def watched(spec: VolumeSpec) -> Watched:
    """Return what the daemon has to know of a volume. One that asks a person is not opened by itself."""
    return Watched(
        name=spec.name,
        device=str(spec.device),
        mapping=spec.mapping_name,
        mount_point=str(spec.mount_point or ""),
        is_file=spec.is_file,
        scratch=spec.store is StoreKind.SCRATCH,
        consumers=spec.consumers,
        opens=spec.open_at_boot,
    )


def _failed(volume: str, error: VolwardError) -> Ended:
    return Ended(
        volume,
        code=error.code,
        error=error.what,
        resolution=error.resolution,
        needs_a_person=error.exit_status.needs_a_person,
        away=isinstance(error, DeviceNotFoundError),
    )


def main() -> int:
    """Do one pass."""
    run.forbid_core_dumps()
    signal.signal(signal.SIGTERM, lambda *_: _STOPPING.set())
    task = read_task(sys.stdin.buffer.readline())
    try:
        specs = tuple(stores.specs(config.load(ROOT)).values())
    except VolwardError as error:
        sys.stdout.buffer.write(line(Problems(f"{error}")))
        return int(error.exit_status)
    Worker(specs, task, sys.stdout.buffer).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
