"""What the lab's own steps take here and now: `python3 -m tests.lab figures`.

The medians of a few rounds, in seconds. They are of this machine at this moment: a machine that is busy with
something else shows several times as much.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.lab.host import MIB, Host
from tests.lab.image import Image
from tests.lab.machine import Snapshot
from tests.lab.progress import say

ROUNDS = 3

Timed = Callable[[str], AbstractContextManager[None]]


def measure(image: Image, snapshot: Snapshot) -> dict[str, float]:
    """Median seconds by what was done."""
    taken: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        taken[what].append(time.monotonic() - started)

    for number in range(ROUNDS):
        with timed("a fresh host, restored, ready for commands"):
            host = Host(image, snapshot)
        try:
            _round(host, timed)
            if number == 0:
                _boots(host, timed)
        finally:
            with timed("the host ended, its directory removed"):
                host.close()
    return {what: statistics.median(seconds) for what, seconds in taken.items()}


def _round(host: Host, timed: Timed) -> None:
    with timed("a command in the host (true)"):
        host.run("true")
    with timed("a disk plugged in, its link there"):
        disk = host.disk("FIGURES", 256 * MIB)
    with timed("pulled out and back under another serial number"):
        disk.replug(serial="FIGURES-2")
    with timed("a raw disk of 256 MiB hashed"):
        disk.sha256()
    with timed("luksFormat with PBKDF2, 1000 iterations"):
        host.sh('echo key | cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$1" -', disk.link)
    with timed("systemctl daemon-reload"):
        host.run("systemctl", "daemon-reload")
    with timed("volward --help"):
        host.volward("--help", ok=None)
    with timed("a scan for ten secrets"):
        host.secrets_scan([os.urandom(64) for _ in range(10)])
    with timed("a power cut and the snapshot restored with its disk"):
        host.power_cut()
        host.power_on(cold=False)


def _boots(host: Host, timed: Timed) -> None:
    with timed("a power cut and a cold boot"):
        host.power_cut()
        host.power_on()
    with timed("a reboot in good order"):
        host.reboot()


def show(image: Image, snapshot: Snapshot) -> None:
    """Measure and print."""
    load = os.getloadavg()[0]
    say(f"{ROUNDS} rounds (boots: one), {os.cpu_count()} processors, load {load:.1f} before")
    for what, seconds in measure(image, snapshot).items():
        print(f"{seconds:7.2f} s  {what}")
