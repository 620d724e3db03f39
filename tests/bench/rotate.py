"""What `volward rotate` costs beyond the tools that it calls, as a multiple of `python3 -c pass`.

Runs in the virtual host, on one volume with a credential, or with `--keys vault` on one whose key a real Vault keeps.
The share of the agent is the time of the whole process without the time that its children took (cryptsetup,
systemd-creds) and that it waited for Vault's answers; it has Python's start and imports (shown apart as well), the
journal with its fsyncs, the reading of header and host, and the sealing of 16 MiB of header backup in it. Rotations and
bare interpreters alternate. The old keyslot goes at once, so that each round finds the same header. AES is emulated
there: only the multiple means something.

    python tests/bench/rotate.py [--keys credential|vault] [--rounds N] [--limit MULTIPLE]
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

RUNNER = """
import sys, time
from volward.host import run
spent = 0.0
def timed(function):
    def wrapped(*words, **named):
        global spent
        begin = time.perf_counter()
        try:
            return function(*words, **named)
        finally:
            spent += time.perf_counter() - begin
    return wrapped
run._run = timed(run._run)
if sys.argv[1] == "vault":
    from volward.keys.vault.transport import HttpTransport
    HttpTransport._once = timed(HttpTransport._once)
import cryptography.hazmat.primitives.ciphers.aead, volward.cli.rotate, volward.config, volward.operations.rotate
from volward.cli.main import run as main
start = time.time_ns() - int(sys.argv[2])
status = main(["rotate", "bench", "--now", "--yes"])
with open("/run/bench-children", "w") as file:
    print("start", start, file=file)
    print("children", int(spent * 1e9), file=file)
sys.exit(status)
"""
SEALED = '[defaults.credential]\nseal = "host"\n'
ROUND = """
stamp() { date +%s%N; }
begin=$(stamp); /opt/volward/bin/python3 -c pass; echo "python $(($(stamp) - begin))"
begin=$(stamp); /opt/volward/bin/python3 -c "$1" "$2" $begin >/run/bench-out 2>&1 || { cat /run/bench-out >&2; exit 1; }
echo "rotate $(($(stamp) - begin))"
cat /run/bench-children
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--keys", choices=("credential", "vault"), default="credential", help="where volward's keys are"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--limit", type=float, default=60.0, help="the multiple above which this fails")
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {"python": [], "rotate": [], "start": [], "children": []}
    with ExitStack() as stack:
        host = Host(*layer.ensure())
        stack.callback(host.close)
        in_vault = arguments.keys == "vault"
        _provision(host, stack.enter_context(server_for(host)) if in_vault else SEALED, arguments.keys)
        for number in range(arguments.rounds + 1):
            said = host.sh(ROUND, RUNNER, arguments.keys, timeout=600).stdout
            for line in said.splitlines() if number else ():  # the first round is for warming up
                what, nanoseconds = line.split()
                seconds[what].append(int(nanoseconds) / 1e9)
    own = [whole - children for whole, children in zip(seconds["rotate"], seconds["children"], strict=True)]
    rows = [("python3 -c pass", seconds["python"]), ("volward rotate --now", seconds["rotate"])]
    others = "  its children, Vault" if in_vault else "  its children"
    rows += [(others, seconds["children"]), ("  its own share", own), ("    of it start, imports", seconds["start"])]
    print(f"{'':24} {'median':>8} {'fastest':>8} {'slowest':>8}   seconds, {arguments.rounds} rounds")
    for text, found in rows:
        print(f"{text:24} {statistics.median(found):8.3f} {min(found):8.3f} {max(found):8.3f}")
    multiple = statistics.median(own) / statistics.median(seconds["python"])
    print(f"\nits own share is {multiple:.1f} times `python3 -c pass`; fails above {arguments.limit}")
    return 0 if multiple <= arguments.limit else 1


def _provision(host: Host, configuration: str, keys: str) -> None:
    disk = host.disk("BENCH", 96 * MIB)
    host.put(
        "/etc/volward/volward.toml",
        f'{configuration}[volumes.bench]\ndevice = "{disk.link}"\nstore = "directory"\n'
        f'mount_point = "/srv/volward/bench"\nkeys = ["{keys}"]\n',
    )
    host.volward("apply", "--yes", "bench", timeout=600)


if __name__ == "__main__":
    sys.exit(main())
