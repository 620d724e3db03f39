"""A new volume key on a real kernel: what is under it, which key opens it, and what an end in the middle leaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.batch import PYTHON
from tests.faults.volume import MOUNT_POINT, NAME, configure, export, opens
from tests.host.terminal import Talk, talk
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host

FAST = 'recovery = { memory = "64 MiB" }\ncredential = { seal = "host" }'
ROTATE = ["volward", "rotate", "--volume-key", NAME]
# cryptsetup takes up to 1 GiB at once, and ends or recovers no earlier: minutes of emulated AES.
SMALL_ZONES = """
import sys
from volward.cli import main
from volward.host import reencrypt
reencrypt._COMMAND += ("--hotzone-size", "16M")
sys.exit(main.run(sys.argv[1:]))
"""
ZONE_BY_ZONE = [PYTHON, "-c", SMALL_ZONES, *ROTATE[1:]]
# Looks at the header itself, many times a second: the state lasts for less than one.
KILL_AT_THE_END = """
import os, signal, sys, time
from pathlib import Path
from volward.host import header
device, process = Path(sys.argv[1]), int(sys.argv[2])
while True:
    found = header.read(device).header
    if found is not None and found.cut_at_the_end:
        break
    os.kill(process, 0)
    time.sleep(0.002)
os.kill(process, signal.SIGKILL)
"""
YES = ("Type yes to go on: ", "yes\n")


def provision(host: Host, size: int, *, keys: str) -> tuple[Disk, str, str]:
    """Return the disk, the recovery key, and the digest of a file of half the volume."""
    disk = host.disk("REENC-1", size)
    configure(host, disk.link, keys=keys, more=FAST)
    host.sh("volward apply --yes data --recovery-fd 3 3>/run/recovery")
    recovery = host.get("/run/recovery").split()[1]
    host.secrets.append(recovery)
    host.run("rm", "/run/recovery")
    host.run("dd", "if=/dev/urandom", f"of={MOUNT_POINT}/file", "bs=1M", f"count={size // MIB // 2}", "status=none")
    return disk, recovery.decode(), digest(host)


def digest(host: Host) -> str:
    return host.run("sha256sum", f"{MOUNT_POINT}/file").stdout.split()[0]


def header(host: Host, device: str) -> Any:
    return json.loads(host.run("cryptsetup", "luksDump", "--dump-json-metadata", device).stdout)


def volume_keys(host: Host, device: str) -> list[str]:
    """Return the digests of the volume keys that the header knows."""
    return [one["digest"] for one in header(host, device)["digests"].values()]


@pytest.mark.full
@pytest.mark.lab
def test_all_data_get_another_volume_key_and_every_key_opens_it(host: Host) -> None:
    disk, recovery, content = provision(host, 96 * MIB, keys='["credential", "tpm2"]')
    export(host)
    before = volume_keys(host, disk.link)
    assert "data is open" in host.volward("rotate", "--volume-key", "--yes", NAME, ok=(75,)).stderr
    host.volward("close", NAME)
    alone = host.volward("rotate", "--volume-key", "--yes", NAME, ok=None)
    assert alone.status != 0
    assert "two are needed" in alone.stderr
    assert volume_keys(host, disk.link) == before

    done = talk(host, ROTATE, YES, ("Recovery key for data: ", recovery + "\n"), seconds=900)

    assert done.status == 0, done.output
    assert "every key opens it" in done.output
    after = header(host, disk.link)
    assert volume_keys(host, disk.link) != before
    assert len(after["digests"]) == 1
    assert "requirements" not in after["config"]
    kinds = [token.get("volward", {"provider": token["type"]})["provider"] for token in after["tokens"].values()]
    assert sorted(kinds) == ["credential", "recovery", "systemd-tpm2"]
    named = sorted(number for token in after["tokens"].values() for number in token["keyslots"])
    assert named == sorted(after["keyslots"])
    assert not opens(host, disk.link), "the old key still opens it"
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=recovery)
    ready = host.volward("preflight", ok=None)
    assert ready.status == 0, ready.stdout
    assert "key of tpm2" in ready.stdout
    assert [row["state"] for row in json.loads(host.volward("header", "list", "--json").stdout)] == ["current"]
    host.volward("open", NAME)
    assert digest(host) == content


@pytest.mark.full
@pytest.mark.lab
def test_one_that_ends_in_the_middle_is_refused_told_and_finished(host: Host) -> None:
    disk, recovery, content = provision(host, 192 * MIB, keys='["credential"]')
    host.volward("close", NAME)
    ended: list[Talk] = []
    asked = ("Recovery key for data: ", recovery + "\n")
    talking = threading.Thread(target=lambda: ended.append(talk(host, ZONE_BY_ZONE, asked, seconds=900)))
    talking.start()
    killed = running(host, "cryptsetup reencrypt")
    wait_until(lambda: in_a_hot_zone(host, disk.link))
    host.run("kill", "-KILL", killed)
    talking.join()
    assert ended[0].status == 71, ended[0].output
    assert "reencrypt" in json.dumps(header(host, disk.link)["config"])
    assert in_a_hot_zone(host, disk.link), "nothing has to be recovered"
    assert "A re-encryption has not ended." in host.volward("status", NAME).stdout
    assert "unfinished re-encryption" in host.volward("open", NAME, ok=(65,)).stderr

    pausing = threading.Thread(
        target=lambda: host.sh('"$@" --yes >/run/out 2>&1', *ZONE_BY_ZONE, ok=(130,), timeout=900)
    )
    pausing.start()
    tool = running(host, "cryptsetup reencrypt")
    host.sh('kill -INT "$(ps -o ppid= -p "$1" | tr -d " ")"', tool)
    pausing.join()
    assert "stopped on the way; it is whole, and not finished" in host.get("/run/out").decode()

    host.power_cut()
    host.power_on()
    host.wait_until_booted()
    operation = next(word for word in host.volward("journal").stdout.split() if word.startswith("reencrypt-data"))
    assert "can only be finished" in host.volward("abort", operation, ok=None).stderr
    assert "every key opens it" in host.volward("resume", operation, timeout=900).stderr
    host.volward("open", NAME)
    assert digest(host) == content
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=recovery)


@pytest.mark.full
@pytest.mark.lab
def test_one_that_is_killed_when_all_data_are_done_is_ended(host: Host) -> None:
    """cryptsetup is stuck then: it opens nothing, and does not go on."""
    disk, recovery, content = provision(host, 96 * MIB, keys='["credential"]')
    export(host)
    host.volward("close", NAME)
    ended: list[Talk] = []
    asked = ("Recovery key for data: ", recovery + "\n")
    talking = threading.Thread(target=lambda: ended.append(talk(host, ROTATE, asked, seconds=900)))
    talking.start()
    killed = running(host, "cryptsetup reencrypt")
    host.run(PYTHON, "-c", KILL_AT_THE_END, disk.link, killed, timeout=900)
    talking.join()
    assert ended[0].status == 71, ended[0].output
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=recovery, ok=(1, 2))
    assert "unfinished re-encryption" in host.volward("open", NAME, ok=(65,)).stderr

    operation = next(word for word in host.volward("journal").stdout.split() if word.startswith("reencrypt-data"))
    assert "every key opens it" in host.volward("resume", operation, timeout=900).stderr

    assert "requirements" not in header(host, disk.link)["config"]
    assert len(header(host, disk.link)["digests"]) == 1
    host.volward("open", NAME)
    assert digest(host) == content
    assert not opens(host, disk.link), "the old key still opens it"
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=recovery)
    states = [row["state"] for row in json.loads(host.volward("header", "list", "--json").stdout)]
    assert states == ["current"], "what was kept is of a header that opens nothing"


def in_a_hot_zone(host: Host, device: str) -> bool:
    """Whether a part of the data is being written: killed then, it has to be recovered.

    Progress tells too late: its first line comes after the first zone, which may be all there is (1 GiB at most).
    """
    return any("in-reencryption" in one.get("flags", ()) for one in header(host, device)["segments"].values())


def wait_until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.05)


def running(host: Host, what: str) -> str:
    """Wait for a process with that command line and return its id."""
    limit = time.monotonic() + 300
    while time.monotonic() < limit:
        # Its own shell does not match: the pattern has a bracket.
        found = host.run("pgrep", "--oldest", "--full", f"[{what[0]}]{what[1:]}", ok=(0, 1)).stdout.split()
        if found:
            return found[0]
        time.sleep(0.2)
    raise AssertionError(f"{what} was never started")
