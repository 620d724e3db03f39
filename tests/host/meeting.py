"""Rotations that meet: each waits, its place for the new key chosen, until it is told to go on and create it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from tests.lab.host import Host
from tests.lab.ssh import Result

ARRIVED, GO = "/run/meeting.arrived", "/run/meeting.go"
# The functions of volward are wrapped here; nothing of this is in the product.
ROTATE = f"""
import pathlib, sys, time
from volward import journal
from volward.cli import main
begin_step = journal.Operation.begin_step
def wait(self, name, **facts):
    begin_step(self, name, **facts)
    if name.startswith("create-successor"):
        pathlib.Path("{ARRIVED}").touch()
        while not pathlib.Path("{GO}").exists():
            time.sleep(0.01)
journal.Operation.begin_step = wait
sys.exit(main.run(["rotate", sys.argv[1]]))
"""


class Meeting:
    """A rotation on each of some hosts, all at the same point."""

    def __init__(self, volume: str, *hosts: Host) -> None:
        self._hosts = hosts
        self._pool = ThreadPoolExecutor(2 * len(hosts))  # a rotation waits there while another thread lets it go on
        for host in hosts:
            host.run("rm", "-f", ARRIVED, GO)
        self._running: list[Future[Result]] = [self._pool.submit(self._rotate, host, volume) for host in hosts]
        for host in hosts:
            host.sh(f"for i in $(seq 600); do [ -e {ARRIVED} ] && exit; sleep 0.2; done; exit 1")

    def go_on(self) -> list[Result]:
        """Let all go on at once; return how each ended, in the order of the hosts."""
        list(self._pool.map(lambda host: host.run("touch", GO), self._hosts))
        done = [one.result() for one in self._running]
        self._pool.shutdown()
        return done

    @staticmethod
    def _rotate(host: Host, volume: str) -> Result:
        return host.run("/opt/volward/bin/python", "-c", ROTATE, volume, ok=None)
