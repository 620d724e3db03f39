"""No key in a core dump: neither volward's nor a child's, with a file and with a piped core_pattern.

Where else a key could show (processes, journal, volward's files) is looked at after every lab test, by the
`host` fixture.
"""

from __future__ import annotations

import pytest
from tests.lab.host import Host

MIB = 1024 * 1024
CORES = "/var/crash"

# volward, broken in the moment in which it holds the unlocking key.
BREAK_VOLWARD = """
import os, sys
from volward.host import cryptsetup
from volward.cli.main import main

def broken(node, *, key, **rest):
    os.abort()

cryptsetup.format = broken
sys.argv = ["volward", "apply", "--yes", "data"]
main()
"""

# A child that has read the key and breaks; volward's own PATH finds it first.
BREAK_CHILD = """#!/usr/bin/python3
import os, sys
if "luksFormat" not in sys.argv:
    os.execv("/usr/sbin/cryptsetup", sys.argv)
held = open(sys.argv[sys.argv.index("--key-file") + 1], "rb").read()
print(len(held), "bytes read", file=open("/run/child-read-the-key", "w"))
os.abort()
"""

# The control: what breaks without volward's limit does leave its memory behind.
CONTROL = "import os, sys; held = sys.stdin.buffer.read(); os.abort()"


@pytest.mark.lab
@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(f"{CORES}/core.%p", id="file", marks=pytest.mark.full),
        pytest.param(f"|/usr/bin/dd of={CORES}/core.%p status=none", id="pipe"),  # which ignores a limit of 0
    ],
)
def test_a_core_dump_holds_no_key(host: Host, pattern: str) -> None:
    disk = host.disk("DATA-1", 64 * MIB)
    host.put(
        "/etc/volward/volward.toml",
        f'[volumes.data]\ndevice = "{disk.link}"\nstore = "directory"\nmount_point = "/srv/volward/data"\n',
    )
    host.sh('mkdir -p "$1"; printf "%s" "$2" > /proc/sys/kernel/core_pattern', CORES, pattern)
    control = b"a secret that nobody guards 0123456789"
    host.sh('ulimit -c unlimited; exec /usr/bin/python3 -c "$1"', CONTROL, input=control, ok=None)
    _wait_for_cores(host)
    assert host.secrets_scan([control], also=[CORES]), "the control left no core dump: this test could not fail"
    host.sh(f"rm -f {CORES}/*")

    # Not exec: ssh has one status (255) for every signal, the shell one for each.
    host.sh('ulimit -c unlimited; /opt/volward/bin/python -c "$1" || exit $?', BREAK_VOLWARD, ok=(134,))
    host.put("/usr/local/sbin/cryptsetup", BREAK_CHILD, mode=0o755)
    broken = host.sh("ulimit -c unlimited; exec volward apply --yes data", ok=None)
    host.run("rm", "/usr/local/sbin/cryptsetup")
    assert broken.status == 71, broken.stderr
    assert host.get("/run/child-read-the-key") == b"64 bytes read\n"
    _wait_for_cores(host)

    keys = host.stored_keys()
    assert len(keys) == 1
    assert not host.secrets_scan(keys, also=[CORES])
    host.volward("apply", "--yes", "data")


def _wait_for_cores(host: Host) -> None:
    """A piped dump is written by a process of its own, which may end a moment later."""
    host.sh("sleep 1; while pgrep -x dd >/dev/null; do sleep 0.2; done")
