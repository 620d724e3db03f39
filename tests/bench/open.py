"""Eight volumes opened by `volward open`, against eight parallel `systemd-cryptsetup attach`.

Runs in the virtual host, on the same eight disks and the same keyslots (PBKDF2, 1000 iterations). The other side
gets its keys as plain files; volward unseals its keys itself, or with `--keys vault` logs in to a real Vault server
beside the virtual host (TLS, AppRole, KV version 2) and fetches them. The two alternate A B B A, and the figures are
medians of paired ratios, of two pairs: mappings alone, by a warm worker, and opened and mounted, by the whole program
and by a warm worker (the other side mounts with mount(8), volward has PID 1 mount). A warm worker is a process that
has imported everything, and has done nothing yet, when its clock starts; what it takes to get there is shown apart,
and so is what the program takes to start, and to find out that there is nothing to do. AES is emulated there: only the
ratios mean something.

    python tests/bench/open.py [--keys credential|vault] [--rounds N] [--seal host|host+tpm2]
        [--limit RATIO] [--profile]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.vault_keys import server_for
from tests.lab import layer
from tests.lab.host import MIB, Host

VOLUMES = 8
NAMES = [f"bench{number}" for number in range(1, VOLUMES + 1)]

PREPARE = """
mkdir -p /run/bench
for name in "$@"; do
    volward key export $name --output /run/bench/$name.key --confirm "export $name" >/dev/null
    mkdir -p /run/bench/$name
done
"""

# Told what to call the time, what to do and when its start began.
WORKER = """
import sys, time
sys.path.insert(0, "/opt/lab")
import warm_server
from volward.cli.main import run
warm_server.import_all()
what, *words, begin = sys.argv[1:]
ready = time.time_ns()
status = run(words)
done = time.time_ns()
with open("/run/bench/times", "w") as times:
    print("start", ready - int(begin), file=times)
    print(what, done - ready, file=times)
sys.exit(status)
"""

# One round; times are nanoseconds on one line each: WHAT NANOSECONDS.
ROUND = """
order=$1; shift; names="$*"
stamp() { date +%s%N; }
timed() {
    what=$1; shift; begin=$(stamp)
    "$@" >/run/bench/out 2>&1 || { cat /run/bench/out >&2; exit 1; }
    echo "$what $(($(stamp) - begin))"
}
worker() {
    /opt/volward/bin/python3 /run/bench/worker.py "$@" $(stamp) >/run/bench/out 2>&1 ||
        { cat /run/bench/out >&2; exit 1; }
    cat /run/bench/times
}
attach() {
    systemd-cryptsetup attach volward-$1 /dev/disk/by-id/virtio-$1 /run/bench/$1.key luks
}
attach_and_mount() {
    attach $1
    mount -o noatime,nodev,nosuid,noexec /dev/mapper/volward-$1 /run/bench/$1
}
each() {
    pids=
    for name in $names; do $1 $name & pids="$pids $!"; done
    for pid in $pids; do wait $pid || return 1; done
}
shut_one() {
    case $1 in
        units) systemctl stop srv-volward-$2.mount ;;
        mounts) umount /run/bench/$2 ;;
    esac
    cryptsetup close volward-$2
}
shut() {
    for name in $names; do shut_one $1 $name & done
    wait
    udevadm settle
}
ours() {
    timed volward volward open --all; timed nothing volward open --all; shut units
    worker warm open --all; shut units
    worker mapped open --no-mount $names; shut mappings
}
theirs() {
    timed attach each attach; shut mappings
    timed mount each attach_and_mount; shut mounts
}
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
    parser.add_argument(
        "--keys", choices=("credential", "vault"), default="credential", help="where volward's keys are"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seal", default="host", help="what seals volward's keys (the other side has plain files)")
    parser.add_argument("--limit", type=float, default=1.5, help="the ratio of mappings alone above which this fails")
    parser.add_argument("--profile", action="store_true", help="show imports and child processes instead")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        host = Host(*layer.ensure())
        stack.callback(host.close)
        if arguments.keys == "vault":
            configuration = stack.enter_context(server_for(host))
        else:
            configuration = f'[defaults.credential]\nseal = "{arguments.seal}"\n'
        _provision(host, configuration, arguments.keys)
        if arguments.profile:
            for script in (IMPORTS, CHILDREN):
                host.sh(SHUT, *NAMES, timeout=900)
                print(host.sh(script, timeout=900).stdout, flush=True)
            return 0
        said = _rounds(host, arguments.rounds)
    where = "in Vault" if arguments.keys == "vault" else f"sealed by {arguments.seal}"
    return _report(said, arguments.rounds, where, arguments.limit)


def _rounds(host: Host, rounds: int) -> str:
    """The first round is for warming up and does not count."""
    host.sh(SHUT, *NAMES, timeout=900)
    said = []
    for number in range(rounds + 1):
        lines = host.sh(ROUND, ORDERS[number % 2], *NAMES, timeout=1800).stdout
        print(f"round {number}: {' '.join(_seconds(line) for line in lines.splitlines())}", file=sys.stderr, flush=True)
        said += [lines] if number else []
    return "".join(said)


def _seconds(line: str) -> str:
    what, nanoseconds = line.split()
    return f"{what} {int(nanoseconds) / 1e9:.2f}"


def _provision(host: Host, configuration: str, keys: str) -> None:
    """Eight small disks, one volume on each."""
    for name in NAMES:
        host.disk(name, 64 * MIB)
    tables = (
        f'[volumes.{name}]\ndevice = "/dev/disk/by-id/virtio-{name}"\nstore = "directory"\n'
        f'mount_point = "/srv/volward/{name}"\nkeys = ["{keys}"]\n'
        for name in NAMES
    )
    host.put("/etc/volward/volward.toml", configuration + "".join(tables))
    host.volward("apply", "--yes", "--no-recovery", *NAMES, timeout=900)
    host.sh(PREPARE, *NAMES, timeout=600)
    host.put("/run/bench/worker.py", WORKER)


def _report(said: str, rounds: int, where: str, limit: float) -> int:
    seconds: dict[str, list[float]] = {}
    for line in said.splitlines():
        what, nanoseconds = line.split()
        seconds.setdefault(what, []).append(int(nanoseconds) / 1e9)
    rows = (
        ("python3 -c pass", "python"),
        ("volward open --help", "help"),
        ("the start of a warm worker, all imports", "start"),
        ("volward open --all, nothing to do", "nothing"),
        (f"volward open --all, {VOLUMES} volumes (keys {where})", "volward"),
        ("the same by a warm worker", "warm"),
        (f"{VOLUMES} systemd-cryptsetup attach + mount", "mount"),
        (f"volward open --no-mount by a warm worker, {VOLUMES} volumes", "mapped"),
        (f"{VOLUMES} systemd-cryptsetup attach", "attach"),
    )
    print(f"{'':58} {'median':>8} {'fastest':>8} {'slowest':>8}   seconds, {rounds} rounds")
    for text, what in rows:
        found = seconds[what]
        print(f"{text:58} {statistics.median(found):8.2f} {min(found):8.2f} {max(found):8.2f}")
    print("\nmedian of the paired ratios:")
    good = True
    pairs = (
        ("mappings alone, by a warm worker", "mapped", "attach", limit),
        ("opened and mounted, the whole program", "volward", "mount", None),
        ("opened and mounted, by a warm worker", "warm", "mount", None),
    )
    for text, mine, other, most in pairs:
        ratios = [ours / theirs for ours, theirs in zip(seconds[mine], seconds[other], strict=True)]
        ratio = statistics.median(ratios)
        good &= most is None or ratio <= most
        fails = "" if most is None else f"; fails above {most}"
        print(f"{text:38} {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}){fails}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
