"""The worker: one pass of the daemon in a process of its own, `python3 -m volward.service.work`.

It loads the configuration and tells of it, reads a Task from standard input, opens, releases, and starts what waited
for the volumes; each answer is written as soon as it is known. What it loaded, and every key, leaves with it.
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from volward import config, lock, openings, stores
from volward.errors import DeviceNotFoundError, DeviceUnknownError, UnknownVolumeError, VolwardError
from volward.host import run, systemd_cryptsetup
from volward.keys.providers import Providers
from volward.model import StoreKind, VaultLoginMethod, VolumeSpec
from volward.operations import login_life
from volward.operations.close import release_volume
from volward.operations.open import Opened, open_volumes
from volward.operations.watcher import Watcher
from volward.os_errors import explained
from volward.service.task import Again, Answer, Ended, Lease, Loaded, Problems, Task, Watched, line, read_task
from volward.service.waiters import Waiters

ROOT = Path("/etc/volward")
_RELOAD = "`volward reload` has the daemon read it again."
_PAUSE_SECONDS = 0.5
_SYSTEMD_SECONDS = 120.0  # the longest that systemd-cryptsetup is waited for; the other volumes are opened before
_STOPPING = threading.Event()  # the daemon is to end: no further step is begun


class Stoppable(Watcher):
    """Lets a step end, and begins no other once the daemon was told to end."""

    def interrupted(self) -> bool:
        return _STOPPING.is_set()

    def sleep(self, seconds: float) -> None:
        if _STOPPING.wait(seconds):
            self.refuse_when_interrupted("a provider is asked again")


class Worker:
    """One pass; answers go to ``out``."""

    def __init__(self, specs: Sequence[VolumeSpec], out: BinaryIO) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._out = out
        self._lock = threading.Lock()
        self._waiters = Waiters(self._specs, _STOPPING)

    def tell(self) -> None:
        """Tell of the configuration."""
        for spec in self._specs.values():
            self.say(watched(spec))
        self.say(Loaded())

    def do(self, task: Task) -> None:
        """Do what the task says."""
        for name in (*task.open, *task.release, *task.revive):
            if name not in self._specs:
                self.say(
                    _failed(name, UnknownVolumeError("It is not in the configuration any more.", resolution=_RELOAD))
                )
        lost = [self._specs[name] for name in task.release if name in self._specs]
        if lost:
            with ThreadPoolExecutor(max_workers=len(lost)) as pool:
                list(pool.map(lambda spec: self._release(spec, task.lost_usec.get(spec.name)), lost))
        wanted = [self._specs[name] for name in task.open if name in self._specs]
        in_crypttab = [spec for spec in wanted if systemd_cryptsetup.has_line(spec.mapping_name)]
        self._open([spec for spec in wanted if spec not in in_crypttab], task.deadline_seconds)
        if in_crypttab:
            self._await_systemd(in_crypttab)
            self._open(in_crypttab, task.deadline_seconds)
        revived = [name for name in task.revive if name in self._specs]
        for name in revived:
            self.say(Ended(name, started=self._waiters.start_units(name)))
        self._see_to_containers(revived)
        if task.renew:
            self._renew(task.deadline_seconds)

    def _open(self, specs: Sequence[VolumeSpec], deadline_seconds: float) -> None:
        if specs:
            opened = open_volumes(specs, Stoppable(), deadline_seconds=deadline_seconds, tell=self._opened)
            self._see_to_containers([one.volume for one in opened if one.error is None])

    @staticmethod
    def _await_systemd(specs: Sequence[VolumeSpec]) -> None:
        """Let PID 1 open what /etc/crypttab has: the second of two who open fails.

        Not once it waits for a person, nor for a key for long: then volward opens, and has it give way.
        """
        limit = time.monotonic() + _SYSTEMD_SECONDS
        mappings = [spec.mapping_name for spec in specs]
        with contextlib.suppress(VolwardError):  # PID 1 does not answer: then opening shows who was first
            while _is_left_to_systemd(mappings):
                if time.monotonic() >= limit or _STOPPING.wait(_PAUSE_SECONDS):
                    return

    def _see_to_containers(self, volumes: Sequence[str]) -> None:
        for name in sorted(self._waiters.start_containers(volumes)):
            self.say(Again(name))

    def say(self, answer: Answer) -> None:
        """Write one answer; threads share the pipe."""
        with self._lock:
            self._out.write(line(answer))
            self._out.flush()

    def _opened(self, one: Opened) -> None:
        if one.error is not None:
            self.say(_failed(one.volume, one.error))
            return
        self.say(Ended(one.volume, one.opened_by, one.degraded, self._waiters.start_units(one.volume)))

    def _renew(self, deadline_seconds: float) -> None:
        servers = {one.vault.server for one in self._specs.values() if one.vault is not None and leased_from(one)}
        with Providers() as providers:
            for server in servers:
                try:
                    left = login_life.renew(server, providers, deadline_seconds=deadline_seconds)
                except (VolwardError, ImportError) as error:
                    self.say(Lease(server.address, error=f"{error}"))
                else:
                    self.say(Lease(server.address, left.token_seconds))

    def _release(self, spec: VolumeSpec, lost_usec: int | None) -> None:
        self._waiters.stop(spec.name, time.monotonic_ns() // 1000 if lost_usec is None else lost_usec)
        try:
            with explained(f"Releasing {spec.name}"):
                release_volume(spec)
        except VolwardError as error:
            self.say(_failed(spec.name, error))
        else:
            self.say(Ended(spec.name))


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
        leased_from=leased_from(spec),
        closed_by_hand=(last := openings.read(spec.name)) is not None and last.closed_by_hand,
    )


def _is_left_to_systemd(mappings: Sequence[str]) -> bool:
    opens = systemd_cryptsetup.is_opening(mappings, longest_seconds=_SYSTEMD_SECONDS)
    return opens and not systemd_cryptsetup.asks_a_person()


def leased_from(spec: VolumeSpec) -> str:
    """Return the server that gave this host a token for good, which only renewing keeps alive; "" for other logins."""
    if spec.vault is None or spec.vault.server.login.method is not VaultLoginMethod.TOKEN:
        return ""
    return spec.vault.server.address


def _failed(volume: str, error: VolwardError) -> Ended:
    return Ended(
        volume,
        code=error.code,
        error=error.what,
        resolution=error.resolution,
        # What cannot be told now, of a disk that is just coming, say, may be told in a moment.
        needs_a_person=error.exit_status.needs_a_person and not isinstance(error, DeviceUnknownError),
        away=isinstance(error, DeviceNotFoundError),
    )


def main() -> int:
    """Do one pass."""
    run.forbid_core_dumps()
    lock.of_daemon()
    signal.signal(signal.SIGTERM, lambda *_: _STOPPING.set())
    try:
        specs = tuple(stores.specs(config.load(ROOT)).values())
    except VolwardError as error:
        sys.stdout.buffer.write(line(Problems(f"{error}")))
        return int(error.exit_status)
    worker = Worker(specs, sys.stdout.buffer)
    worker.tell()
    if task := sys.stdin.buffer.readline():
        worker.do(read_task(task))
    return 0


if __name__ == "__main__":
    sys.exit(main())
