"""A new volume key on a real kernel: what is under it, which key opens it, and what an end in the middle leaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.faults.batch import PYTHON
from tests.faults.volume import MOUNT_POINT, NAME, configure, export, opens
from tests.host.terminal import Talk, talk
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host
from tests.lab.ssh import Result

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
# What the escrow has is with somebody; what volward does next is not known to have happened.
KILL_WHEN_HANDED_OVER = """
"$@" 3>/run/escrow & process=$!
head --lines=1 </run/escrow >/run/first
kill -KILL "$process"
wait || true
"""
# Writes files again and again, each to the disk, and reads some other one back from there.
WRITER = """
import hashlib, json, os, random, sys
from pathlib import Path
directory, log = Path(sys.argv[1]), Path(sys.argv[2])
directory.mkdir()
digests, count, error = {}, 0, ""
def digest(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    with open(descriptor, "rb") as opened:
        return hashlib.sha256(opened.read()).hexdigest()
try:
    while not Path(f"{log}.stop").exists():
        path, content = directory / str(count % 32), os.urandom(65536)
        with path.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        digests[path.name] = hashlib.sha256(content).hexdigest()
        count += 1
        name = random.choice(list(digests))
        if digest(directory / name) != digests[name]:
            error = f"{name} is not what was written"
            break
except OSError as raised:
    error = str(raised)
whole = Path(f"{log}.new")
whole.write_text(json.dumps({"digests": digests, "count": count, "error": error}))
whole.rename(log)
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
    operation = unfinished(host)
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

    operation = unfinished(host)
    assert "every key opens it" in host.volward("resume", operation, timeout=900).stderr

    assert "requirements" not in header(host, disk.link)["config"]
    assert len(header(host, disk.link)["digests"]) == 1
    host.volward("open", NAME)
    assert digest(host) == content
    assert not opens(host, disk.link), "the old key still opens it"
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=recovery)
    states = [row["state"] for row in json.loads(host.volward("header", "list", "--json").stdout)]
    assert states == ["current"], "what was kept is of a header that opens nothing"


@pytest.mark.full
@pytest.mark.lab
def test_a_new_recovery_key_takes_the_place_of_one_that_is_not_at_hand(host: Host) -> None:
    """Handed over, and killed before anybody knows whether it was enrolled: another one is made, and counts."""
    disk, old, content = provision(host, 96 * MIB, keys='["credential"]')
    export(host)
    host.volward("close", NAME)
    assert "--recovery-fd N" in host.volward(*ROTATE[1:], "--yes", ok=(69,)).stderr

    host.run("mkfifo", "/run/escrow")
    host.sh(KILL_WHEN_HANDED_OVER, *ROTATE, "--yes", "--recovery-fd", "3")
    first = taken(host, "/run/first")
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=old)
    shown = host.volward(*ROTATE[1:], "--plan", "--recovery-fd", "3")
    assert "replaced by a new recovery key, which its owner confirms" in shown.stderr
    assert "the newest one counts" in shown.stderr

    done = host.run(*unattended(ROTATE, "/run/second"), timeout=900)

    assert "every key opens it" in done.stderr
    second = taken(host, "/run/second")
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=second)
    for gone in (old, first):
        host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=gone, ok=(2,))
    assert not opens(host, disk.link), "the old key still opens it"
    after = header(host, disk.link)
    named = sorted(number for token in after["tokens"].values() for number in token["keyslots"])
    assert named == sorted(after["keyslots"])
    assert len(named) == 2
    host.volward("open", NAME)
    assert digest(host) == content


@pytest.mark.full
@pytest.mark.lab
def test_online_a_writer_notices_nothing_and_progress_is_told_line_by_line(host: Host) -> None:
    disk, _, content = provision(host, 128 * MIB, keys='["credential"]')
    before = volume_keys(host, disk.link)
    files, log = f"{MOUNT_POINT}/written", "/run/writer"
    host.put("/root/writer.py", WRITER)
    host.run("systemd-run", "--quiet", "--collect", "--unit=writer", "python3", "/root/writer.py", files, log)

    done = host.run(*unattended([*ZONE_BY_ZONE, "--online", "--progress-json"], "/run/second"), timeout=900)

    host.run("touch", f"{log}.stop")
    wait_until(lambda: host.run("test", "-e", log, ok=(0, 1)).status == 0)
    taken(host, "/run/second")
    wrote = json.loads(host.get(log))
    assert wrote["error"] == ""
    assert wrote["count"] > len(wrote["digests"]), "no file was written twice"
    kernel = host.run("dmesg").stdout
    assert "I/O error" not in kernel
    assert "EXT4-fs error" not in kernel
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    so_far = [line["done_bytes"] for line in lines]
    assert len(lines) > 1
    assert so_far == sorted(so_far)
    assert {line["total_bytes"] for line in lines} == {so_far[-1]}, "it does not end at 100 %"
    assert {line["volume"] for line in lines} == {NAME}
    assert volume_keys(host, disk.link) != before
    host.volward("close", NAME)
    host.volward("open", NAME)
    assert digest(host) == content
    found = host.sh('cd "$1"; sha256sum *', files).stdout.split()
    assert dict(zip(found[1::2], found[::2], strict=True)) == wrote["digests"]
    host.run("umount", MOUNT_POINT)
    host.run("fsck.ext4", "-fn", f"/dev/mapper/volward-{NAME}")


@pytest.mark.full
@pytest.mark.lab
def test_a_power_cut_in_the_middle_of_a_hot_zone(host: Host) -> None:
    disk, old, content = provision(host, 128 * MIB, keys='["credential"]')
    host.volward("close", NAME)
    words = unattended(ZONE_BY_ZONE, "/root/second")
    host.run("systemd-run", "--quiet", "--collect", "--unit=reencryption", *words)
    wait_until(lambda: in_a_hot_zone(host, disk.link))

    host.power_cut()
    host.power_on()
    host.wait_until_booted()

    second = taken(host, "/root/second")
    assert in_a_hot_zone(host, disk.link), "nothing has to be recovered"
    assert "A re-encryption has not ended." in host.volward("status", NAME).stdout
    assert "every key opens it" in host.volward("resume", unfinished(host), timeout=900).stderr
    host.volward("open", NAME)
    assert digest(host) == content
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=second)
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=old, ok=(2,))


@pytest.mark.full
@pytest.mark.lab
def test_a_mapping_that_is_left_suspended_is_told_and_wants_a_reboot(host: Host) -> None:
    """Online, SIGKILL in a hot zone leaves it so: what touches the mount waits, and `dmsetup resume` destroys it."""
    disk, _, content = provision(host, 128 * MIB, keys='["credential"]')
    host.run("sync")
    ended: list[Result] = []
    words = unattended([*ZONE_BY_ZONE, "--online"], "/root/second")
    online = threading.Thread(target=lambda: ended.append(host.run(*words, ok=None, timeout=900)))
    online.start()
    tool = running(host, "cryptsetup reencrypt")
    wait_until(lambda: in_a_hot_zone(host, disk.link))
    at_work = host.volward("status", NAME, ok=None).stdout
    assert "is suspended" not in at_work, "cryptsetup has suspended its hot zone, and resumes it"
    wait_until(lambda: in_a_hot_zone(host, disk.link))
    host.run("kill", "-KILL", tool)
    online.join()
    assert ended[0].status == 75, ended[0].stderr
    assert "Never `dmsetup resume` it: reboot the host." in ended[0].stderr
    second = taken(host, "/root/second")
    assert suspended(host) == [f"volward-{NAME}-hotzone-forward"]

    assert "is suspended, perhaps in the middle of a re-encryption: reboot the host" in " ".join(
        host.volward("status", NAME, ok=None, timeout=60).stdout.split()
    )
    for command in (["rotate", "--volume-key", "--online", "--yes"], ["close"]):
        refused = host.volward(*command, NAME, ok=None, timeout=60)
        assert refused.status != 0
        assert "never run `dmsetup resume`" in " ".join(refused.stderr.split()), command
    assert "unfinished re-encryption" in host.volward("rotate", NAME, ok=None, timeout=60).stderr
    assert suspended(host), "something resumed it"

    host.power_cut()
    host.power_on()
    host.wait_until_booted()
    assert "every key opens it" in host.volward("resume", unfinished(host), timeout=900).stderr
    host.volward("open", NAME)
    assert digest(host) == content
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=second)


def unattended(words: Sequence[str], escrow: str) -> list[str]:
    """Return the command line of a re-encryption without a terminal, whose new recovery key goes into a file."""
    return ["bash", "-c", 'exec "$@" 3>"$0"', escrow, *words, "--yes", "--recovery-fd", "3"]


def taken(host: Host, escrow: str) -> str:
    """Return the recovery key that was handed over to a file, and remove it."""
    key = host.get(escrow).split()[1]
    host.secrets.append(key)
    host.run("rm", escrow)
    return key.decode()


def suspended(host: Host) -> list[str]:
    """Return the names of the mappings that are suspended."""
    lines = host.run("dmsetup", "info", "--columns", "--noheadings", "-o", "name,suspended", "--separator", " ").stdout
    return [line.split()[0] for line in lines.splitlines() if line.split()[-1] == "Suspended"]


def unfinished(host: Host) -> str:
    return next(word for word in host.volward("journal").stdout.split() if word.startswith("reencrypt-data"))


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
