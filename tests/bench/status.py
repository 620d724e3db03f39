"""`volward status` of 1, 10 and 100 volumes: one child process at most, and effort that grows no faster than they do.

In the virtual host the volumes are open and mounted `file:` volumes; with --here they are closed ones on this
machine (real LUKS2 headers in files), which needs root and nothing else. Child processes are counted by Python's
audit hooks in the process of the command itself, whoever starts them. Times are medians of one run.

    python tests/bench/status.py [--here] [--rounds N] [--limit RATIO]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "agent")]

COUNTS = (1, 10, 100)

# Runs the command in its own process: prints its children, and the seconds of each look without the start.
PROBE = """
import contextlib, io, json, sys, time
children = []
NAMES = {"subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "pty.spawn"}
sys.addaudithook(lambda event, _: children.append(event) if event in NAMES else None)
root, rounds = sys.argv[1], int(sys.argv[2])
from pathlib import Path
from volward.cli.context import Context
from volward.cli.main import run
begin = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()) as out:
    status = run(["--config", root, "status", "--json"])
whole = time.perf_counter() - begin
count, states = len(children), [one["state"] for one in json.loads(out.getvalue())["volumes"]]
from volward.operations.status import look_at
specs = list(Context(Path(root)).specs.values())
looks = []
for _ in range(rounds):
    begin = time.perf_counter()
    look_at(specs)
    looks.append(time.perf_counter() - begin)
print(json.dumps({"status": status, "children": count, "states": states, "command": whole, "looks": looks}))
"""

OPEN = """
count=$1; dir=/var/lib/volward/images; mkdir -p $dir /var/lib/volward/pins
key=/run/bench.key; head -c 64 /dev/urandom > $key
truncate -s 64M $dir/first
cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file $key $dir/first
cryptsetup open --key-file $key $dir/first first; mkfs.ext4 -q /dev/mapper/first; cryptsetup close first
for number in $(seq $count); do
    name=v$number; uuid=$(cat /proc/sys/kernel/random/uuid); image=$dir/$name.img
    cp --sparse=always $dir/first $image
    cryptsetup luksUUID -q --uuid $uuid $image
    printf '{"identity": {"device_class": "file", "size_bytes": 67108864, "path": "%s"}, "luks_uuid": "%s"}' \\
        $image $uuid > /var/lib/volward/pins/$name.json
    cryptsetup open --key-file $key $image volward-$name
    mkdir -p /srv/volward/$name; mount /dev/mapper/volward-$name /srv/volward/$name
done
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--here", action="store_true", help="closed volumes on this machine")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--limit", type=float, default=1.3, help="how much more a volume may cost among 10 times as many"
    )
    arguments = parser.parse_args()
    found = _here(arguments.rounds) if arguments.here else _lab(arguments.rounds)
    return _report(found, arguments.limit)


def configuration(count: int, images: Path) -> str:
    return "".join(
        f'[volumes.v{number}]\ndevice = "file:{images}/v{number}.img"\nsize = "64 MiB"\nstore = "directory"\n'
        f'mount_point = "/srv/volward/v{number}"\nconsumers = ["v{number}.service"]\n'
        for number in range(1, count + 1)
    )


def _here(rounds: int) -> dict[int, dict[str, object]]:
    from tests.unit.host import luks_image

    found = {}
    with tempfile.TemporaryDirectory(dir="/var/cache") as directory:  # /tmp is no place for images
        images = Path(directory)
        for number in range(1, max(COUNTS) + 1):
            own = str(uuid.uuid4())
            copies = [luks_image.header_copy(uuid=own, offset=offset, label=b"v") for offset in (0, 0x4000)]
            luks_image.write(images / f"v{number}.img", primary=copies[0], secondary=copies[1])
        for count in COUNTS:
            root = images / f"config{count}"
            root.mkdir()
            (root / "volward.toml").write_text(configuration(count, images))
            argv = [sys.executable, "-c", PROBE, str(root), str(rounds)]
            environment = {"PYTHONPATH": str(CHECKOUT / "agent"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
            said = subprocess.run(argv, check=True, stdout=subprocess.PIPE, env=environment).stdout
            found[count] = json.loads(said)
    return found


def _lab(rounds: int) -> dict[int, dict[str, object]]:
    from tests.lab import layer
    from tests.lab.host import Host

    host = Host(*layer.ensure())
    try:
        host.sh(OPEN, str(max(COUNTS)), timeout=3600)
        found = {}
        for count in COUNTS:
            root = f"/etc/bench{count}"
            host.put(f"{root}/volward.toml", configuration(count, Path("/var/lib/volward/images")))
            argv = ("/opt/volward/bin/python3", "-c", PROBE, root, str(rounds))
            found[count] = json.loads(host.run(*argv, timeout=900).stdout)
        return found
    finally:
        host.close()


def _report(found: dict[int, dict[str, object]], limit: float) -> int:
    print(f"{'volumes':>8} {'children':>9} {'command (s)':>12} {'look (s)':>9} {'a volume (ms)':>14}  states")
    costs, failures = {}, []
    for count, one in found.items():
        looks = one["looks"]
        assert isinstance(looks, list) and isinstance(one["states"], list) and isinstance(one["children"], int)
        look = statistics.median(looks)
        costs[count] = look / count
        states = ", ".join(sorted(set(one["states"])))
        print(f"{count:8} {one['children']:9} {one['command']:12.2f} {look:9.3f} {costs[count] * 1000:14.2f}  {states}")
        if one["children"] > 1:
            failures.append(f"{one['children']} child processes for {count} volumes")
        if len(one["states"]) != count:
            failures.append(f"{len(one['states'])} of {count} volumes were told")
    ratio = costs[COUNTS[-1]] / costs[COUNTS[-2]]
    print(f"a volume among {COUNTS[-1]} costs {ratio:.2f} times one among {COUNTS[-2]}; fails above {limit}")
    if ratio > limit:
        failures.append("more than linear")
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
