"""Power cuts in a header restore, at every step of its journal: resume finishes it, and the data is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.volume import configure
from tests.lab.host import MIB, Host

GUEST = Path(__file__).parent / "guest"
PYTHON = "/opt/volward/bin/python"
FILES = "/srv/files"
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


def cut(host: Host, order: list[dict[str, str]]) -> dict[str, str]:
    """Begin the restores and stop each at its point."""
    script = (GUEST / "cut_restore.py").read_text()
    done = host.run(PYTHON, "-c", script, input=json.dumps(order), timeout=1200)
    return dict(json.loads(done.stdout))


def unfinished(host: Host) -> dict[str, str]:
    """The operations that did not end, by volume."""
    return {one["volume"]: one["operation"] for one in json.loads(host.volward("journal", "--json").stdout)}


@pytest.mark.full
@pytest.mark.lab
def test_power_cut_at_every_step(host: Host, record_property: Callable[[str, object], None]) -> None:
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

    order = [
        {"volume": name, "confirm": f"{SIZE} {image}", "step": step, "point": point}
        for name, image, (step, point) in zip(names, images, CUTS, strict=True)
    ]
    assert cut(host, order) == dict.fromkeys(names, "cut")
    host.power_cut()
    host.power_on(cold=False)
    host.sh('mkdir -p "$2"; mount "$1" "$2"', files.link, FILES)

    operations = unfinished(host)
    assert set(operations) == set(names)
    for name, image, (step, _) in zip(names, images, CUTS, strict=True):
        if step == "keep":  # nothing was written: the confirmation is asked for again
            assert "--confirm" in host.volward("resume", operations[name], ok=(77,)).stderr
            done = host.volward("header", "restore", name, "--confirm", f"{SIZE} {image}")
        else:
            done = host.volward("resume", operations[name])
        assert "the header is restored and whole" in done.stdout, done.stdout
    assert unfinished(host) == {}
    # The quick restart has reverted the root disk, and with it the mount points.
    host.volward("apply", "--yes", *names, "--no-recovery", timeout=1200)
    for name in names:
        assert host.get(f"/srv/volward/{name}/canary") == f"of {name}\n".encode()
    left = host.run("ls", "-A", f"{FILES}/headers").stdout.split()
    assert {name.partition(".")[0] for name in left if name.endswith(".kept")} == set(names)
    assert not [name for name in left if name.startswith(".")], "no half-written file is left"
    record_property("shown", f"header restore: {len(CUTS)} power cuts, {len(CUTS)} resumed, 0 lost")


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
    assert cut(host, [{"volume": "data", "confirm": "COLD-1", "step": "write", "point": "torn"}]) == {"data": "cut"}

    host.power_cut()
    host.power_on()
    host.wait_until_booted()

    operation = unfinished(host)["data"]
    (told,) = json.loads(host.volward("status", "--json").stdout)["volumes"]
    assert any(f"volward resume {operation}" in one["resolution"] for one in told["problems"]), told["problems"]
    host.volward("resume", operation)
    host.volward("open", "data")
    assert host.get("/srv/volward/data/canary") == b"kept\n"
