"""What the daemon costs when nothing happens: memory beside a bare asyncio program, and wake-ups a minute.

Runs in the virtual host with eight volumes open. Memory is the proportional set size (Pss of smaps_rollup, proc(5)) of
the daemon after its first pass, and of an asyncio program of the same interpreter that waits for ever; both are there
at once, so that pages of the interpreter are shared alike. Wake-ups are voluntary context switches of the daemon in
some minutes without an event. stratisd is shown beside it where the virtual host has it.

    python tests/bench/daemon.py [--minutes N] [--limit RATIO]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.lab import layer
from tests.lab.host import MIB, Host

VOLUMES = 8
NAMES = [f"bench{number}" for number in range(1, VOLUMES + 1)]
BARE = "import asyncio; asyncio.run(asyncio.Event().wait())"
READ = """
pss() { sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$1/smaps_rollup; }
switches() { cat /proc/$1/task/*/status | awk '/^voluntary_ctxt_switches/ {sum += $2} END {print sum}'; }
daemon=$(systemctl show --property=MainPID --value volward.service)
/opt/volward/bin/python3 -c "$1" & bare=$!
sleep 20
before=$(switches $daemon); sleep $(($2 * 60)); after=$(switches $daemon)
echo "daemon $(pss $daemon)"
echo "bare $(pss $bare)"
echo "switches $((after - before))"
if pid=$(pidof stratisd); then echo "stratisd $(pss $pid)"; fi
kill $bare
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--limit", type=float, default=2.0, help="the ratio of memory above which this fails")
    parser.add_argument("--wakeups", type=float, default=30.0, help="the wake-ups a minute above which this fails")
    arguments = parser.parse_args()
    host = Host(*layer.ensure())
    try:
        _provision(host)
        host.run("systemctl", "start", "volward.service", timeout=300)
        said = host.sh(READ, BARE, str(arguments.minutes), timeout=arguments.minutes * 60 + 600).stdout
    finally:
        host.close()
    found = {what: int(number) for what, number in (line.split() for line in said.splitlines())}
    ratio = found["daemon"] / found["bare"]
    print(f"the daemon with {VOLUMES} volumes   {found['daemon'] / 1024:6.1f} MiB")
    print(f"a bare asyncio program        {found['bare'] / 1024:6.1f} MiB")
    print(f"stratisd                      {_mebibytes(found.get('stratisd'))}")
    print(f"\nratio {ratio:.2f}; fails above {arguments.limit}")
    wakeups = found["switches"] / arguments.minutes
    print(f"{wakeups:.1f} wake-ups a minute in {arguments.minutes} minutes; fails above {arguments.wakeups}")
    return 0 if ratio <= arguments.limit and wakeups <= arguments.wakeups else 1


def _mebibytes(kibibytes: int | None) -> str:
    return "not in this virtual host" if kibibytes is None else f"{kibibytes / 1024:6.1f} MiB"


def _provision(host: Host) -> None:
    for name in NAMES:
        host.disk(name, 64 * MIB)
    tables = (
        f'[volumes.{name}]\ndevice = "/dev/disk/by-id/virtio-{name}"\nstore = "directory"\n'
        f'mount_point = "/srv/volward/{name}"\nkeys = ["credential"]\n'
        for name in NAMES
    )
    host.put("/etc/volward/volward.toml", '[defaults.credential]\nseal = "host"\n' + "".join(tables))
    host.volward("apply", "--yes", "--no-recovery", *NAMES, timeout=900)


if __name__ == "__main__":
    sys.exit(main())
