"""What a person at a terminal sees and types: confirmations, recovery keys, passphrases, Ctrl-C."""

from __future__ import annotations

import json
import re

from tests.host.terminal import CTRL_C, KEY, talk
from tests.lab.disk import Disk
from tests.lab.host import MIB, Host

MOUNT_POINT = "/srv/volward/data"
PASSPHRASE = "five-random-words-of-a-person"
YES = ("Type yes to go on: ", "yes\n")
RIGHT_GROUP = (r"Type group (\d) of the key", "{group}\n")
WRONG_GROUP = (r"Type group (\d) of the key", "00000\n")


def configure(host: Host, disk: Disk, keys: str = '["credential"]') -> None:
    host.put(
        "/etc/volward/volward.toml",
        f"""
[volumes.data]
device = "{disk.link}"
store = "directory"
mount_point = "{MOUNT_POINT}"
keys = {keys}
recovery = {{ memory = "64 MiB" }}
""",
    )


def keyslots(host: Host, disk: Disk) -> dict[str, str]:
    """The KDF of each keyslot."""
    dumped = json.loads(host.run("cryptsetup", "luksDump", "--dump-json-metadata", disk.link).stdout)
    return {number: keyslot["kdf"]["type"] for number, keyslot in dumped["keyslots"].items()}


def test_a_recovery_key_is_shown_typed_back_and_opens_the_volume(host: Host) -> None:
    disk = host.disk("TERM-1", 256 * MIB)
    configure(host, disk)

    shown = talk(host, ["volward", "apply"], YES, RIGHT_GROUP, RIGHT_GROUP)

    assert shown.status == 0, shown.output
    host.secrets.append(shown.key.encode())
    assert re.search(r"! format /dev/\w+ \(serial TERM-1", shown.output)
    assert "data: provisioned, open and mounted" in shown.output
    assert keyslots(host, disk) == {"0": "pbkdf2", "1": "argon2id"}
    assert json.loads(host.volward("plan", "--json").stdout)[0]["warnings"] == []

    asked = ("Recovery key for data: ", shown.key.replace("-", "").lower() + "\n")
    tested = talk(host, ["volward", "recovery", "test", "data"], asked)
    assert tested.status == 0, tested.output
    assert "the recovery key opens keyslot 1" in tested.output

    typo = shown.key[:7] + ("0" if shown.key[7] != "0" else "1") + shown.key[8:]
    again = ("Group 2 of the recovery key does not check", typo + "\n")
    refused = talk(host, ["volward", "recovery", "test", "data"], (asked[0], typo + "\n"), again, again)
    assert refused.status == 77, refused.output
    assert "Group 2 of the recovery key does not check." in refused.output.splitlines()[-3]

    host.volward("close", "data")
    opened = talk(host, ["volward", "open", "--recovery", "data"], asked)
    assert opened.status == 0, opened.output
    assert host.run("findmnt", "--noheadings", "--output", "SOURCE", MOUNT_POINT).stdout == "/dev/mapper/volward-data\n"

    host.volward("close", "data")
    # What is enrolled is the text as it is shown: stock cryptsetup takes it when it is typed so.
    host.run("cryptsetup", "open", "--test-passphrase", "--key-slot", "1", disk.link, input=shown.key)


def test_a_recovery_key_that_was_not_typed_back_is_discarded_and_the_volume_goes_on(host: Host) -> None:
    disk = host.disk("TERM-2", 256 * MIB)
    configure(host, disk)
    empty = (WRONG_GROUP[0], "\n")

    left = talk(host, ["volward", "apply"], YES, WRONG_GROUP, RIGHT_GROUP, WRONG_GROUP, empty)

    assert left.status == 73, left.output
    assert "was not typed back, so it was discarded" in left.output
    assert "data: provisioned, open and mounted" in left.output
    assert keyslots(host, disk) == {"0": "pbkdf2"}
    host.run("cryptsetup", "open", "--test-passphrase", disk.link, input=left.key, ok=(2,))
    assert host.volward("journal").stdout == "No operation is unfinished.\n"
    assert "no confirmed recovery key" in host.volward("plan").stdout

    broken_off = talk(host, ["volward", "recovery", "enrol", "data"], (WRONG_GROUP[0], CTRL_C))
    assert broken_off.status == 130, broken_off.output
    assert "Interrupted while a question was asked" in broken_off.output
    assert keyslots(host, disk) == {"0": "pbkdf2"}

    made = talk(host, ["volward", "apply"], RIGHT_GROUP, RIGHT_GROUP)
    assert made.status == 0, made.output
    assert len({left.key, broken_off.key, made.key}) == 3
    assert keyslots(host, disk) == {"0": "pbkdf2", "1": "argon2id"}
    assert "nothing to do" in talk(host, ["volward", "apply"]).output
    host.secrets += [left.key.encode(), broken_off.key.encode(), made.key.encode()]


def test_a_passphrase_is_typed_twice_and_then_once_to_open(host: Host) -> None:
    disk = host.disk("TERM-3", 256 * MIB)
    configure(host, disk, '["prompt"]')
    host.secrets.append(PASSPHRASE.encode())
    new = ("New passphrase for data: ", PASSPHRASE + "\n")
    before = disk.sha256()

    differing = talk(
        host, ["volward", "apply", "--no-recovery"], YES, new, ("The same again: ", "another one of them\n")
    )
    assert differing.status == 73, differing.output
    assert disk.sha256() == before

    made = talk(host, ["volward", "apply"], YES, new, ("The same again: ", PASSPHRASE + "\n"), RIGHT_GROUP, RIGHT_GROUP)
    assert made.status == 0, made.output
    host.secrets.append(made.key.encode())
    assert PASSPHRASE not in made.output
    assert keyslots(host, disk) == {"0": "argon2id", "1": "argon2id"}, "what a person types is stretched"

    host.volward("close", "data")
    nobody = host.volward("open", "data", ok=(69,))
    assert "there is no terminal" in nobody.stderr
    once = ("Passphrase for data: ", PASSPHRASE + "\n")
    wrong = talk(host, ["volward", "open", "data"], (once[0], "something else entirely\n"))
    assert wrong.status == 77, wrong.output
    shell = ["bash", "-c", "volward open data; echo status $?; stty -a"]
    interrupted = talk(host, shell, (once[0], CTRL_C))
    assert "status 130" in interrupted.output
    assert re.search(r"(?<!-)\becho\b", interrupted.output), "the terminal echoes again"
    opened = talk(host, ["volward", "open", "data"], once)
    assert opened.status == 0, opened.output
    assert "(key: prompt)" in opened.output


def test_a_recovery_key_goes_to_an_escrow_that_takes_it_or_nothing_is_changed(host: Host) -> None:
    disk = host.disk("TERM-4", 256 * MIB)
    configure(host, disk)
    before = disk.sha256()
    for redirection in ("3>&-", "3</dev/null", "3> >(exec <&-; sleep 1)"):
        refused = host.sh(f"sleep 0.2; volward apply --yes --recovery-fd 3 data {redirection}", ok=(73,))
        assert "cannot take a recovery key" in refused.stderr
    assert "standard stream" in host.volward("apply", "--yes", "--recovery-fd", "1", "data", ok=(73,)).stderr
    assert disk.sha256() == before

    host.sh("umask 077; volward apply --yes --recovery-fd 3 data 3>/root/escrow")

    name, key = host.get("/root/escrow").decode().removesuffix("\n").split(" ")
    host.run("rm", "/root/escrow")
    assert name == "data"
    assert KEY.fullmatch(key)
    host.secrets.append(key.encode())
    host.run("cryptsetup", "open", "--test-passphrase", "--key-slot", "1", disk.link, input=key)
    assert json.loads(host.volward("plan", "--json").stdout)[0]["warnings"] == []


def test_stock_cryptsetup_opens_the_volume_with_the_exported_key(host: Host) -> None:
    disk = host.disk("TERM-5", 256 * MIB)
    configure(host, disk)
    host.volward("apply", "--yes", "data")
    host.sh("echo kept >/srv/volward/data/kept")
    assert host.volward("key", "export", "data", "--output", "/root/key", ok=(73,)).stdout == ""
    host.run("test", "!", "-e", "/root/key")

    confirmed = ["--confirm", "export data"]
    host.volward("key", "export", "data", "--output", "/root/key", *confirmed)

    assert host.run("stat", "--format=%a %s %U", "/root/key").stdout == "600 64 root\n"
    key = host.get("/root/key")
    host.secrets.append(key)
    host.volward("key", "export", "data", "--output", "/root/key", *confirmed, ok=(73,))
    assert host.get("/root/key") == key
    piped = host.sh('volward key export data --fd 3 --confirm "export data" 3>&1 >/dev/null | sha256sum - /root/key')
    assert len({line.split()[0] for line in piped.stdout.splitlines()}) == 1
    host.volward("key", "export", "data", "--fd", "1", *confirmed, ok=(2,))
    typed = talk(host, ["volward", "key", "export", "data", "--output", "/root/typed"], ("to go on: ", "export data\n"))
    assert typed.status == 0, typed.output
    host.run("cmp", "/root/key", "/root/typed")

    host.volward("close", "data")
    host.run("cryptsetup", "open", "--key-file", "/root/key", disk.link, "stock")
    host.sh("mount /dev/mapper/stock /mnt")
    assert host.get("/mnt/kept") == b"kept\n"
    host.sh("umount /mnt; cryptsetup close stock; rm /root/key /root/typed")
