"""Header backups on a real kernel: wrecked by dd, restored by provider or recovery key, refused where they misfit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.faults.volume import configure, export
from tests.host.terminal import talk
from tests.host.test_terminal import RIGHT_GROUP, YES
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host

WRECK_BOTH = 'dd if=/dev/urandom of="$1" bs=1M count=8 conv=notrunc,fsync status=none'
WRECK_ONE = 'dd if=/dev/urandom of="$1" bs=4096 seek="$2" count=2 conv=notrunc,fsync status=none'
PRIMARY, SECONDARY = "0", "4"  # in blocks of 4096 bytes
CANARY = "/srv/volward/data/canary"


def backups(host: Host, name: str = "data") -> list[dict[str, Any]]:
    return list(json.loads(host.volward("header", "list", "--json", name).stdout))


def state_of_backup(host: Host) -> str:
    (volume,) = json.loads(host.volward("status", "--json", "data").stdout)["volumes"]
    return str(volume["header"]["backup"]["state"])


def write_canary(host: Host) -> None:
    host.sh(f"echo here >{CANARY}; sync")


def wreck(host: Host, disk: Disk) -> None:
    host.sh(WRECK_BOTH, disk.link)
    host.run("cryptsetup", "isLuks", disk.link, ok=(1,))


@pytest.mark.lab
def test_both_copies_are_wrecked_and_restored_by_provider_and_by_recovery_key_alone(host: Host) -> None:
    disk = host.disk("HEAD-1", 96 * MIB)
    configure(host, disk.link, more='recovery = { memory = "64 MiB" }')
    made = talk(host, ["volward", "apply"], YES, RIGHT_GROUP, RIGHT_GROUP)
    assert made.status == 0, made.output
    host.secrets.append(made.key.encode())
    assert "warning" not in made.output
    write_canary(host)
    assert state_of_backup(host) == "fresh", "made by apply itself"
    (one,) = backups(host)
    assert one["state"] == "current" and not one["expired"]
    assert [slot["provider"] for slot in one["keyslots"]] == ["credential", "recovery"]
    assert [name.partition(":")[0] for name in one["recipients"]] == ["credential", "recovery"]
    assert host.sh('stat -c "%a" "$1" "$(dirname "$1")"', one["file"]).stdout.split() == ["600", "700"]
    assert "keyslot" in host.volward("header", "verify", "data").stdout
    assert "has a proven backup already" in host.volward("header", "backup", "data").stdout

    host.volward("close", "data")
    wreck(host, disk)
    assert "volward header restore data" in host.volward("open", "data", ok=(65,)).stderr
    assert "volward header restore data" in host.volward("header", "repair", "data", ok=(65,)).stderr
    before = disk.sha256()
    assert "--confirm" in host.volward("header", "restore", "data", ok=(77,)).stderr
    host.volward("header", "restore", "data", "--confirm", "HEAD-2", ok=(73,))
    assert disk.sha256() == before
    done = host.volward("header", "restore", "data", "--confirm", "HEAD-1")
    assert "the header is restored and whole; keyslot 0 opens" in done.stdout
    host.volward("open", "data")
    assert host.get(CANARY) == b"here\n"
    assert state_of_backup(host) == "fresh"
    assert [row["state"] for row in backups(host)] == ["kept", "current"]

    # Header gone, and no provider answers: the file and the paper are enough.
    host.volward("close", "data")
    wreck(host, disk)
    host.sh("mkdir -m 700 /root/away; mv /etc/credstore.encrypted/volward.* /root/away/")
    assert "--recovery" in host.volward("header", "restore", "data", "--confirm", "HEAD-1", ok=(69,)).stderr
    typed = ("Recovery key for data: ", made.key + "\n")
    proven = talk(host, ["volward", "header", "verify", "data", "--recovery"], typed)
    assert proven.status == 0 and "keyslot 1 opens" in proven.output, proven.output
    restored = talk(
        host, ["volward", "header", "restore", "data", "--recovery"], ("serial number: ", "HEAD-1\n"), typed
    )
    assert restored.status == 0, restored.output
    assert "keyslot 1 opens (by recovery:data.recovery.v1)" in restored.output
    opened = talk(host, ["volward", "open", "--recovery", "data"], typed)
    assert opened.status == 0, opened.output
    assert host.get(CANARY) == b"here\n"
    host.sh("mv /root/away/volward.* /etc/credstore.encrypted/")
    audited = host.journal("SYSLOG_IDENTIFIER=volward")
    for event in ("the header was backed up and proven", "the header was restored, and keyslot 1 opens"):
        assert event in audited


@pytest.mark.full
@pytest.mark.lab
def test_one_copy_is_repaired_and_a_header_restored_while_the_volume_is_open(host: Host) -> None:
    disk = host.disk("HEAD-1", 96 * MIB)
    configure(host, disk.link)
    host.volward("apply", "--yes", "data", "--no-recovery")
    write_canary(host)
    assert "nothing to do" in host.volward("header", "repair", "data").stdout

    for copy in (PRIMARY, SECONDARY):
        host.sh(WRECK_ONE, disk.link, copy)
        assert "volward header repair data" in host.volward("status", "data").stdout
        done = host.volward("header", "repair", "data")
        assert "both copies of the header are whole" in done.stdout
        assert "One copy of the header is not whole" not in host.volward("status", "data").stdout
    assert state_of_backup(host) == "fresh"

    wreck(host, disk)
    host.sh(f"echo more >>{CANARY}; sync")
    restored = host.volward("header", "restore", "data", "--confirm", "HEAD-1")
    assert "the header is restored and whole" in restored.stdout
    assert "volward.proof" not in host.run("dmsetup", "ls").stdout
    host.volward("close", "data")
    host.volward("open", "data")
    assert host.get(CANARY) == b"here\nmore\n"
    assert host.volward("journal").stdout == "No operation is unfinished.\n"


@pytest.mark.full
@pytest.mark.lab
def test_a_header_goes_back_to_its_own_device_and_data_alone(host: Host) -> None:
    disk, other = host.disk("HEAD-1", 64 * MIB), host.disk("HEAD-2", 64 * MIB)
    configure(host, disk.link)
    configure(host, other.link, name="other")
    host.volward("apply", "--yes", "data", "other", "--no-recovery")
    write_canary(host)
    host.volward("close", "data")
    host.volward("close", "other")
    (of_data,), (of_other,) = backups(host), backups(host, "other")

    before = disk.sha256()
    refused = host.volward("header", "restore", "data", "--from", of_other["file"], "--confirm", "HEAD-1", ok=(65,))
    assert "a header backup of other, not of data" in refused.stderr
    assert disk.sha256() == before
    # Another disk in its place.
    wreck(host, disk)
    disk.replug(serial="HEAD-3")
    configure(host, disk.link)
    before = disk.sha256()
    refused = host.volward("header", "restore", "data", "--confirm", "HEAD-3", ok=(73,))
    assert "serial: pinned HEAD-1, found HEAD-3" in refused.stderr
    assert disk.sha256() == before
    disk.replug(serial="HEAD-1")
    configure(host, disk.link)
    host.volward("header", "restore", "data", "--confirm", "HEAD-1")
    host.volward("open", "data")
    assert host.get(CANARY) == b"here\n"
    export(host)
    host.volward("close", "data")

    # After a re-encryption the old header, of the same UUID and key, would decrypt the data to noise.
    words = ["--batch-mode", "--disable-locks", "--key-file", "/run/exported", "--resilience", "none"]
    host.run("cryptsetup", "reencrypt", *words, disk.link, timeout=900)
    assert state_of_backup(host) == "stale"
    refused = host.volward("header", "restore", "data", "--from", of_data["file"], "--confirm", "HEAD-1", ok=(65,))
    assert "is not the one of the data" in refused.stderr
    host.volward("open", "data")
    assert host.get(CANARY) == b"here\n"
    made = host.volward("header", "backup", "data")
    assert "backed up and proven" in made.stdout
    assert state_of_backup(host) == "fresh"
