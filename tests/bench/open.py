"""Eight volumes opened and mounted by `volward open --all`, against eight parallel `systemd-cryptsetup attach`.

Runs in the virtual host, on the same eight disks and the same keyslots (PBKDF2, 1000 iterations). The other side
gets its keys as plain files and mounts with mount(8); volward unseals its keys itself and has PID 1 mount. The two
alternate A B B A, and the figures are medians of paired ratios. Each round has volward twice: the whole program, and a
pass of a process that has imported it before (tests/lab/guest/warm_server.py). What the program takes to start, and to
find out that there is nothing to do, is shown apart. AES and Python are emulated there: only ratios mean something.

    python tests/bench/open.py [--rounds N] [--seal host|host+tpm2] [--limit RATIO] [--profile]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.lab import layer
from tests.lab.host import MIB, WARM, Host

VOLUMES = 8
NAMES = [f"bench{number}" for number in range(1, VOLUMES + 1)]

PREPARE = """
mkdir -p /run/bench
for name in "$@"; do
    sealed=volward.$name.v1
    systemd-creds decrypt --name=$sealed /etc/credstore.encrypted/$sealed /run/bench/$name.key 2>/dev/null
    mkdir -p /run/bench/$name
done
"""

# One round; times are nanoseconds on one line each: WHAT NANOSECONDS.
ROUND = """
order=$1; warm=$2; shift 2; names="$*"
stamp() { date +%s%N; }
timed() {
    what=$1; shift; begin=$(stamp)
    "$@" >/run/bench/out 2>&1 || { cat /run/bench/out >&2; exit 1; }
    echo "$what $(($(stamp) - begin))"
}
attach() {
    systemd-cryptsetup attach volward-$1 /dev/disk/by-id/virtio-$1 /run/bench/$1.key luks
    mount -o noatime,nodev,nosuid,noexec /dev/mapper/volward-$1 /run/bench/$1
}
attach_all() {
    pids=
    for name in $names; do attach $name & pids="$pids $!"; done
    for pid in $pids; do wait $pid || return 1; done
}
shut_one() {
    if [ "$1" = units ]; then systemctl stop srv-volward-$2.mount; else umount /run/bench/$2; fi
    cryptsetup close volward-$2
}
shut() {
    for name in $names; do shut_one $1 $name & done
    wait
    udevadm settle
}
ours() {
    timed volward volward open --all; timed nothing volward open --all; shut units
    timed warm $warm open --all; shut units
}
theirs() { timed attach attach_all; shut mounts; }
PATH=$PATH:/usr/lib/systemd
timed python /opt/volward/bin/python3 -c pass
timed help volward open --help
for side in $order; do $side; done
"""
ORDERS = ("ours theirs", "theirs ours")

SHUT = """
for name in "$@"; do (systemctl stop srv-volward-$name.mount; cryptsetup close volward-$name) & done
wait
udevadm settle
"""

# Where the time goes: imports by their cost, and when the child processes of a run start.
IMPORTS = """
/opt/volward/bin/python3 -X importtime -m volward.cli.main open --all 2>/run/bench/imports
grep 'import time' /run/bench/imports | sort -t'|' -k2 -n | tail -40
"""
CHILDREN = """
cat > /run/bench/children.py <<'PY'
import sys, time
children = []
def hook(event, arguments):
    if event == "subprocess.Popen":
        children.append((time.perf_counter() - begin, list(map(str, arguments[1]))[:4]))
sys.addaudithook(hook)
begin = time.perf_counter()
from volward.cli.main import run
imported = time.perf_counter() - begin
status = run(["open", "--all"])
print("cli imported", imported, "all", time.perf_counter() - begin, "status", status)
for at, argv in children:
    print(f"{at:6.2f}", *argv)
PY
/opt/volward/bin/python3 /run/bench/children.py
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seal", default="host", help="what seals volward's keys (the other side has plain files)")
    parser.add_argument("--limit", type=float, default=2.5, help="the ratio of the program above which this fails")
    parser.add_argument("--profile", action="store_true", help="show imports and child processes instead")
    arguments = parser.parse_args()
    host = Host(*layer.ensure())
    try:
        _provision(host, arguments.seal)
        if arguments.profile:
            for script in (IMPORTS, CHILDREN):
                host.sh(SHUT, *NAMES, timeout=900)
                print(host.sh(script, timeout=900).stdout, flush=True)
            return 0
        said = _rounds(host, arguments.rounds)
    finally:
        host.close()
    return _report(said, arguments.rounds, arguments.seal, arguments.limit)


def _rounds(host: Host, rounds: int) -> str:
    """The first round is for warming up and does not count."""
    host.sh(SHUT, *NAMES, timeout=900)
    said = []
    for number in range(rounds + 1):
        lines = host.sh(ROUND, ORDERS[number % 2], " ".join(WARM), *NAMES, timeout=1800).stdout
        print(f"round {number}: {' '.join(_seconds(line) for line in lines.splitlines())}", file=sys.stderr, flush=True)
        said += [lines] if number else []
    return "".join(said)


def _seconds(line: str) -> str:
    what, nanoseconds = line.split()
    return f"{what} {int(nanoseconds) / 1e9:.2f}"


def _provision(host: Host, seal: str) -> None:
    """Eight small disks, one volume on each."""
    for name in NAMES:
        host.disk(name, 64 * MIB)
    tables = (
        f'[volumes.{name}]\ndevice = "/dev/disk/by-id/virtio-{name}"\nstore = "directory"\n'
        f'mount_point = "/srv/volward/{name}"\n'
        for name in NAMES
    )
    host.put("/etc/volward/volward.toml", f'[defaults.credential]\nseal = "{seal}"\n' + "".join(tables))
    host.volward("apply", "--yes", *NAMES, timeout=900)
    host.sh(PREPARE, *NAMES)


def _report(said: str, rounds: int, seal: str, limit: float) -> int:
    seconds: dict[str, list[float]] = {}
    for line in said.splitlines():
        what, nanoseconds = line.split()
        seconds.setdefault(what, []).append(int(nanoseconds) / 1e9)
    rows = (
        ("python3 -c pass", "python"),
        ("volward open --help", "help"),
        ("volward open --all, nothing to do", "nothing"),
        (f"volward open --all, {VOLUMES} volumes (sealed by {seal})", "volward"),
        ("the same by a warm process", "warm"),
        (f"{VOLUMES} systemd-cryptsetup attach + mount", "attach"),
    )
    print(f"{'':58} {'median':>8} {'fastest':>8} {'slowest':>8}   seconds, {rounds} rounds")
    for text, what in rows:
        found = seconds[what]
        print(f"{text:58} {statistics.median(found):8.2f} {min(found):8.2f} {max(found):8.2f}")
    whole, warm = (
        [ours / theirs for ours, theirs in zip(seconds[what], seconds["attach"], strict=True)]
        for what in ("volward", "warm")
    )
    ratio = statistics.median(whole)
    print(f"\nmedian of the paired ratios: {ratio:.2f} ({min(whole):.2f} to {max(whole):.2f}); fails above {limit}")
    print(f"the same of a warm process:  {statistics.median(warm):.2f} ({min(warm):.2f} to {max(warm):.2f})")
    return 0 if ratio <= limit else 1


if __name__ == "__main__":
    sys.exit(main())
