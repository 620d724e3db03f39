"""The main job, shown: three databases on encrypted volumes in a virtual host, across a real reboot (make demo).

Every command is run in the host as it is printed, and what it says is printed as it is. Standard library only.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import availability, databases, layer, progress
from tests.lab.databases import ALL
from tests.lab.disk import Disk
from tests.lab.errors import LabError
from tests.lab.host import MIB, Host

NAMES = " ".join(one.name for one in ALL)
SIZES = {"pg": 320 * MIB, "redis": 352 * MIB, "qdrant": 384 * MIB}
CONTROL_SIZE = 640 * MIB
BOOT_SECONDS = 900  # of a busy machine
TEXT = "Ada Lovelace, born 1815-12-10"

AFTERWARDS = """\
Look around by yourself:

    make lab-shell            a shell in a fresh host with volward and spare disks; it is gone when you leave
      volward init              write a configuration that fits the host
      volward plan              what would be done, and why
      volward apply             do it; asks before it formats
      volward status            everything from the device to the mount
    make test                 lint, types, unit tests, and the tests in this virtual host
    docs/tutorial             the same on a host of your own, without a spare disk, in ten minutes
"""


class Demo:
    """One showing: numbered headings, commands with what they say, and checks that can fail."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.failed: list[str] = []
        self._headings = 0

    def heading(self, text: str, *explained: str) -> None:
        self._headings += 1
        say(f"\n{bold(f'{self._headings}. {text}')}\n")
        for line in explained:
            say(f"   {line}")
        if explained:
            say("")

    def show(self, command: str, *, shorten: bool = False) -> str:
        """Run a command and print it with its output; `shorten` leaves out the plan that apply repeats."""
        say(f"   {bold('$ ' + command)}")
        with waiting():
            done = self.host.sh(f"exec 2>&1\n{command}", ok=None, timeout=900)
        lines = done.stdout.rstrip().splitlines()
        if shorten:
            lines = [line for line in lines if not line.startswith(("  +", "  !", "  warning")) and " " in line]
        for line in lines:
            say(f"   {line}".rstrip())
        say("")
        if done.status != 0:
            self.check(f"`{command}` ended with status {done.status}", False)
        return done.stdout

    def check(self, what: str, passed: bool) -> None:
        say(f"   {'✓' if passed else '✗'} {what}")
        if not passed:
            self.failed.append(what)


def main() -> int:
    started = time.monotonic()
    try:
        availability.check()
        host = Host(*layer.ensure())
    except LabError as error:
        say(f"The virtual host cannot be had: {error}")
        return 1
    try:
        demo = Demo(host)
        run(demo)
    except LabError as error:
        say(f"\nThe demo stopped: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted; the virtual host is gone.")
        return 130
    finally:
        host.close()
    say(f"\n{bold(f'That took {time.monotonic() - started:.0f} seconds.')}")
    if demo.failed:
        say("\nNot everything went as it should:")
        for what in demo.failed:
            say(f"   ✗ {what}")
        return 1
    say("Every check passed.\n")
    say(AFTERWARDS)
    return 0


def run(demo: Demo) -> None:
    disks, control = a_fresh_host(demo)
    demo.heading("What volward is going to do, and why", "A line with ! destroys what is there: here, blank disks.")
    demo.show("volward plan pg")
    demo.heading(
        "Doing it",
        "For each volume: a key, sealed to this host; LUKS2; a file system; a mount. The plans are shown once more",
        "(left out here). On a terminal it would ask first, and hand over recovery keys; --yes with names confirms.",
    )
    demo.show(f"volward apply --yes {NAMES}", shorten=True)
    databases_move_in(demo)
    demo.heading("How it stands")
    demo.show("volward status")
    nobody_is_stranded_or_fooled(demo)
    across_a_reboot(demo)
    nothing_is_readable(demo, disks, control)


def a_fresh_host(demo: Demo) -> tuple[dict[str, Disk], Disk]:
    host = demo.host
    demo.heading("A Debian host with blank disks", "PostgreSQL and Redis are Debian's; Qdrant is its storage engine.")
    disks = {name: host.disk(f"{name.upper()}-1", size) for name, size in SIZES.items()}
    control = host.disk("PLAIN-1", CONTROL_SIZE)
    databases.install_qdrant(host)
    links = {name: disk.link for name, disk in disks.items()}
    host.put("/etc/volward/volward.toml", databases.configuration(links, {"redis": 'file_system = "xfs"\n'}))
    demo.show("lsblk --nodeps --output NAME,SIZE,SERIAL,FSTYPE")
    demo.show("cat /etc/volward/volward.toml")
    return disks, control


def databases_move_in(demo: Demo) -> None:
    demo.heading("The databases move in", "These are their own tools; volward only made the place.")
    for one in ALL:
        for command in one.setup:
            demo.show(command)
        demo.show(one.write.format(text=TEXT))
        demo.host.sh(one.settle)
        demo.check(f"{one.name}: {databases.ROWS} rows can be read", one.rows(demo.host) == expected())
        say("")


def nobody_is_stranded_or_fooled(demo: Demo) -> None:
    demo.heading(
        "What happens while a volume is closed",
        "A volume in use is not closed by force. Once it is closed, its database cannot start on the empty",
        "directory, and not even root can write there.",
    )
    host = demo.host
    say(f"   {bold('$ volward close redis')}")
    refused = host.volward("close", "redis", ok=None)
    for line in refused.stderr.rstrip().splitlines():
        say(f"   {line}")
    say("")
    demo.check("the volume stays open (status 75: busy)", refused.status == 75)
    say("")
    demo.show("volward close --stop-consumers redis")
    start = host.sh("systemctl start redis-server", ok=None)
    demo.check("redis-server does not start", start.status != 0)
    write = host.sh("touch /srv/volward/redis/x", ok=None)
    demo.check(f"root cannot write there ({write.stderr.strip().rpartition(': ')[2]})", write.status != 0)
    say("")
    demo.show("volward open redis && systemctl start redis-server")


def across_a_reboot(demo: Demo) -> None:
    demo.heading("A reboot", "Nobody types a key: each is unsealed by this host.")
    say(f"   {bold('$ systemctl reboot')}")
    started = time.monotonic()
    with waiting():
        demo.host.reboot(timeout=BOOT_SECONDS)
        state = demo.host.wait_until_booted()
    say(f"   back after {time.monotonic() - started:.0f} s, and systemd says: {state}\n")
    demo.check("no unit failed", state == "running")
    for one in ALL:
        demo.check(f"{one.name}: {one.unit} runs, {databases.ROWS} rows read back", one.rows(demo.host) == expected())
    say("")
    demo.show("volward status")


def nothing_is_readable(demo: Demo, disks: dict[str, Disk], control: Disk) -> None:
    host = demo.host
    demo.heading(
        "What is on the raw disks",
        f'Each raw disk is searched from outside for "{TEXT}".',
        "So that this search can fail, the same files are copied to an unencrypted disk first.",
    )
    with waiting():
        host.run("systemctl", "stop", *(one.unit for one in ALL))
        host.run("mkfs.ext4", "-q", control.link)
        host.run("mount", control.link, "/mnt")
        host.run("cp", "--archive", "--parents", *(one.directory for one in ALL), "/mnt")
        host.run("umount", "/mnt")
        host.volward("close", *disks)
    needle = TEXT.encode()
    found = control.find(needle)
    demo.check(f"unencrypted disk PLAIN-1: found at byte {found}", found is not None)
    for name, disk in disks.items():
        found = disk.find(needle)
        where = "not found" if found is None else f"FOUND at byte {found}"
        demo.check(f"encrypted disk {disk.serial} ({name}, {disk.size_bytes // MIB} MiB): {where}", found is None)


def expected() -> str:
    return f"{databases.ROWS} {TEXT}"


@contextmanager
def waiting() -> Iterator[None]:
    """On a terminal, count the seconds while a command runs; an emulated machine takes its time."""
    if not sys.stdout.isatty():
        yield
        return
    ended = threading.Event()

    def count() -> None:
        started = time.monotonic()
        while not ended.wait(1):
            print(f"\r   … {time.monotonic() - started:.0f} s", end="", flush=True)
        print("\r\033[K", end="", flush=True)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        yield
    finally:
        ended.set()
        counter.join()


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    progress.say("volward: three databases on encrypted volumes, in a virtual host")
    sys.exit(main())
