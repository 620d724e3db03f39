"""How long a cold boot takes until every volume is mounted, beside systemd-cryptsetup with key files.

One virtual host and the same disks: it boots once with volward (keys sealed as credentials), then once with a line in
/etc/crypttab for each volume and its unlocking key in a file, volward.service disabled, and so on in turn. What counts
is the moment when PID 1 has the last mount (ActiveEnterTimestampMonotonic: microseconds from the start of the kernel).

    python tests/bench/boot.py [--rounds N] [--limit RATIO]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.lab import layer
from tests.lab.host import MIB, Host

MOST = 8
NAMES = [f"bench{number}" for number in range(1, MOST + 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1.5, help="the ratio above which this fails")
    arguments = parser.parse_args()
    host = Host(*layer.ensure())
    worst = 0.0
    try:
        _provision(host)
        for count in (1, MOST):
            taken: dict[str, list[float]] = {"volward": [], "crypttab": []}
            for _ in range(arguments.rounds):
                for way, seconds in taken.items():
                    seconds.append(_boot(host, way, NAMES[:count]))
            ours, theirs = (statistics.median(taken[way]) for way in ("volward", "crypttab"))
            print(
                f"{count} volume{'s' if count > 1 else ''}: volward {ours:.1f} s, crypttab {theirs:.1f} s", flush=True
            )
            print(f"  each: {taken}")
            worst = max(worst, ours / theirs)
    finally:
        host.close()
    print(f"\nratio {worst:.2f}; fails above {arguments.limit}")
    return 0 if worst <= arguments.limit else 1


def _provision(host: Host) -> None:
    for name in NAMES:
        host.disk(name, 64 * MIB)
    _configure(host, NAMES)
    host.volward("apply", "--yes", "--no-recovery", *NAMES, timeout=900)
    host.run("mkdir", "-m", "0700", "/etc/keys")
    for name in NAMES:
        host.volward("key", "export", name, "--output", f"/etc/keys/{name}", "--confirm", f"export {name}")


def _configure(host: Host, opened: list[str]) -> None:
    tables = (
        f'[volumes.{name}]\ndevice = "/dev/disk/by-id/virtio-{name}"\nstore = "directory"\n'
        f'mount_point = "/srv/volward/{name}"\nkeys = ["credential"]\n'
        f"open_at_boot = {'true' if name in opened else 'false'}\n"
        for name in NAMES
    )
    host.put("/etc/volward/volward.toml", '[defaults.credential]\nseal = "host"\n' + "".join(tables))


def _boot(host: Host, way: str, names: list[str]) -> float:
    """Boot once, and return the seconds until the last of these volumes was mounted."""
    _configure(host, names)
    lines = [f"volward-{name} /dev/disk/by-id/virtio-{name} /etc/keys/{name} luks" for name in names]
    host.put("/etc/crypttab", "\n".join([*lines, ""]) if way == "crypttab" else "")
    units = " ".join(f"srv-volward-{name}.mount" for name in names)
    # How long a device is waited for counts from the end of volward.service, which is not there for crypttab.
    waits = "/etc/systemd/system/dev-mapper-volward*.device.d/50-volward.conf"
    host.sh("rm -f /etc/systemd/system/multi-user.target.wants/srv-volward-*.mount")
    if way == "crypttab":
        host.sh(f"for each in {waits}; do mv $each $each.off; done 2>/dev/null || true")
        host.sh(f"systemctl --quiet disable volward.service; systemctl add-wants multi-user.target {units} 2>/dev/null")
    else:
        host.sh(f"for each in {waits}.off; do mv $each ${{each%.off}}; done 2>/dev/null || true")
        host.sh("systemctl --quiet enable volward.service")
    host.sh("sync")
    host.reboot()
    host.wait_until_booted()
    all_active = " && ".join(f"systemctl is-active --quiet {unit}" for unit in units.split())
    host.sh(f"for _ in $(seq 120); do {all_active} && exit; sleep 1; done")
    shown = host.sh(f"systemctl show --property=ActiveState,ActiveEnterTimestampMonotonic {units}").stdout
    if shown.count("ActiveState=active") != len(names):
        raise SystemExit(f"not every volume was mounted by {way}:\n{shown}")
    entered = [int(line.partition("=")[2]) for line in shown.splitlines() if line.startswith("ActiveEnter")]
    return max(entered) / 1e6


if __name__ == "__main__":
    sys.exit(main())
