"""A header restore is cut at every step of its journal, by SIGKILL and by power: the data is there in the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.cuts import Power
from tests.faults.volume import configure
from tests.lab.host import MIB, Host

GUEST = Path(__file__).parent / "guest"
PYTHON = "/opt/volward/bin/python"
FILES = "/srv/files"
SCRATCH = "/run/volward/header"
SIZE = 64 * MIB
CUTS = [
    ("keep", "begun"),
    ("keep", "acted"),
    ("keep", "done"),
    ("write", "begun"),
    ("write", "torn"),
    ("write", "acted"),
    ("write", "done"),
    ("check", "begun"),
    ("check", "acted"),
]
WRECK = 'for name; do dd if=/dev/urandom of="$name" bs=1M count=8 conv=notrunc,fsync status=none; done'


def cut(host: Host, power: Power, cuts: list[dict[str, str]]) -> dict[str, str]:
    """Begin the restores and end each at its point; before a power cut they stand still there."""
    script = (GUEST / "cut_restore.py").read_text()
    order = json.dumps({"stop": power is Power.CUT, "cuts": cuts})
    done = host.run(PYTHON, "-c", script, input=order, timeout=1200)
    return dict(json.loads(done.stdout))


def unfinished(host: Host) -> dict[str, str]:
    """The operations that did not end, by volume."""
    return {one["volume"]: one["operation"] for one in json.loads(host.volward("journal", "--json").stdout)}


@pytest.mark.full
@pytest.mark.lab
@pytest.mark.parametrize("power", Power)
def test_cut_at_every_step(host: Host, power: Power, record_property: Callable[[str, object], None]) -> None:
    """FAULTS 33: one volume a cut; nothing is stranded and nothing is lost."""
    host.state_disk()
    files = host.disk("FILES", 2048 * MIB)
    host.sh('mkfs.ext4 -q "$1"; mkdir -p "$2"; mount "$1" "$2"', files.link, FILES)
    names = [f"v{number}" for number in range(len(CUTS))]
    images = [f"{FILES}/{name}.img" for name in names]
    for name, image in zip(names, images, strict=True):
        configure(host, f"file:{image}", name=name, more='size = "64 MiB"\ncredential = { seal = "host" }')
    host.put("/etc/volward/volward.toml", f'[header_backup]\ndirectory = "{FILES}/headers"\n')
    host.volward("apply", "--yes", *names, "--no-recovery", timeout=1200)
    host.sh('for name; do echo "of $name" >"/srv/volward/$name/canary"; done; sync', *names)
    for name in names:
        host.volward("close", name)
    host.sh(WRECK, *images)

    cuts = [
        {"volume": name, "confirm": f"{SIZE} {image}", "step": step, "point": point}
        for name, image, (step, point) in zip(names, images, CUTS, strict=True)
    ]
    assert cut(host, power, cuts) == dict.fromkeys(names, "cut")
    if power is Power.CUT:
        host.power_cut()
        host.power_on(cold=False)
        host.sh('mkdir -p "$2"; mount "$1" "$2"', files.link, FILES)

    operations = unfinished(host)
    assert set(operations) == set(names)
    lost = {}
    for one in cuts:
        try:
            finish(host, one, operations[one["volume"]])
        except AssertionError as error:
            lost[f"{one['step']} {one['point']}"] = str(error)
    record_property(
        "shown", f"header restore, {power}: {len(CUTS)} cut, {len(CUTS) - len(lost)} finished with their data"
    )
    assert not lost
    assert unfinished(host) == {}
    left = host.run("ls", "-A", f"{FILES}/headers").stdout.split()
    assert {name.partition(".")[0] for name in left if name.endswith(".kept")} == set(names)
    assert not [name for name in left if name.startswith(".")], "no half-written file is left"
    assert host.sh(f"ls -A {SCRATCH}").stdout == "", "what a restore that was killed had in memory is gone"


def finish(host: Host, one: dict[str, str], operation: str) -> None:
    """Go on with one restore as its owner would, and look at the data."""
    name = one["volume"]
    if one["step"] == "keep":  # nothing was written: the confirmation is asked for again
        asked = host.volward("resume", operation, ok=None)
        assert (asked.status, "--confirm" in asked.stderr) == (77, True), asked.stderr
        done = host.volward("header", "restore", name, "--confirm", one["confirm"], ok=None)
    else:
        done = host.volward("resume", operation, ok=None)
    assert "the header is restored and whole" in done.stdout, done.stdout + done.stderr
    # The quick restart has reverted the root disk, and with it the mount points.
    applied = host.volward("apply", "--yes", name, "--no-recovery", ok=None, timeout=1200)
    assert applied.status == 0, applied.stderr
    assert host.get(f"/srv/volward/{name}/canary") == f"of {name}\n".encode()


@pytest.mark.full
@pytest.mark.lab
def test_power_cut_and_a_cold_boot(host: Host) -> None:
    """The same root disk, and the boot meets the torn header first."""
    disk = host.disk("COLD-1", 96 * MIB)
    configure(host, disk.link, more='credential = { seal = "host" }')
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    host.sh("echo kept >/srv/volward/data/canary; sync")
    host.volward("close", "data")
    host.sh(WRECK, disk.link)
    assert cut(host, Power.CUT, [{"volume": "data", "confirm": "COLD-1", "step": "write", "point": "torn"}]) == {
        "data": "cut"
    }

    host.power_cut()
    host.power_on()
    host.wait_until_booted()

    operation = unfinished(host)["data"]
    (told,) = json.loads(host.volward("status", "--json").stdout)["volumes"]
    assert any(f"volward resume {operation}" in one["resolution"] for one in told["problems"]), told["problems"]
    host.volward("resume", operation)
    host.volward("open", "data")
    assert host.get("/srv/volward/data/canary") == b"kept\n"
