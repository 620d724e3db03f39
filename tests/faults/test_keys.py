"""Keys and keyslots: bytes stay bytes, a key that is there is adopted, keyslots are not used up, nothing is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.faults.volume import CREDENTIAL, configure, export, opens
from tests.lab.host import MIB, Host

AWKWARD = b"\n\x00" + bytes(range(60)) + b"\x00\n"  # a NUL, newlines, one at the very end
SEAL = "systemd-creds encrypt --with-key=host --name=volward.data.v1"
FAST = "--batch-mode --disable-external-tokens --pbkdf pbkdf2 --pbkdf-force-iterations 1000"


@pytest.mark.lab
def test_an_existing_key_is_adopted_and_comes_out_byte_for_byte(host: Host) -> None:
    """FAULTS 14 and 21."""
    disk = host.disk("KEYS-1", 96 * MIB)
    configure(host, disk.link)
    host.sh(
        f"mkdir -p /etc/credstore.encrypted; {SEAL} - {CREDENTIAL}",
        input=AWKWARD,
    )
    before = host.get(CREDENTIAL)

    host.volward("apply", "--yes", "data")

    assert host.get(CREDENTIAL) == before, "the key was replaced"
    assert export(host) == AWKWARD
    assert opens(host, disk.link)
    host.volward("close", "data")
    host.volward("open", "data")
    host.volward("apply", "--yes", "data")
    assert host.get(CREDENTIAL) == before


@pytest.mark.lab
def test_costs_in_the_header_fit_the_keys(host: Host) -> None:
    """FAULTS 7: no header that only a large host opens."""
    disk = host.disk("KEYS-1", 96 * MIB)
    configure(host, disk.link, more='recovery = { memory = "64 MiB" }')
    host.sh("volward apply --yes data --recovery-fd 3 3>/run/recovery")
    host.secrets.append(host.get("/run/recovery").split()[1])

    slots = _header(host, disk.link)["keyslots"]

    assert (slots["0"]["kdf"]["type"], slots["0"]["kdf"]["iterations"]) == ("pbkdf2", 1000)
    assert slots["1"]["kdf"]["type"] == "argon2id"
    assert slots["1"]["kdf"]["time"] == 4
    assert 63 * 1024 <= slots["1"]["kdf"]["memory"] <= 64 * 1024


@pytest.mark.full
@pytest.mark.lab
def test_a_cut_recovery_enrolment_is_taken_up_aborted_and_never_touches_the_owners_keyslots(host: Host) -> None:
    """FAULTS 22 and 23."""
    disk = host.disk("KEYS-1", 96 * MIB)
    configure(host, disk.link, more='recovery = { memory = "64 MiB" }')
    host.volward("apply", "--yes", "data")
    export(host)
    host.put("/run/owner", "the owner's own passphrase", mode=0o600)
    _cut_enrolment(host)
    host.sh(f'cryptsetup luksAddKey {FAST} --key-file /run/exported "$1" /run/owner', disk.link)
    _cut_enrolment(host)
    assert sorted(_header(host, disk.link)["keyslots"]) == ["0", "1", "2"], "an orphan was not removed first"
    (record,) = json.loads(host.volward("journal", "--json").stdout)
    assert (record["verb"], record["step_begun"]) == ("recovery", "enrol-recovery:recovery")

    host.volward("abort", record["operation"])

    assert sorted(_header(host, disk.link)["keyslots"]) == ["0", "2"]
    _cut_enrolment(host)
    (record,) = json.loads(host.volward("journal", "--json").stdout)
    host.sh('volward resume "$1" --recovery-fd 3 3>/run/recovery', record["operation"])
    header = _header(host, disk.link)
    assert sorted(header["keyslots"]) == ["0", "1", "2"]
    assert sorted(slot for token in header["tokens"].values() for slot in token["keyslots"]) == ["0", "1"]
    host.sh("tr -d '\\n' </run/recovery | cut -d' ' -f2 | tr -d '\\n' >/run/recovery-key")
    assert opens(host, disk.link, "/run/recovery-key", keyslot=1)
    assert opens(host, disk.link, "/run/owner", keyslot=2)
    assert json.loads(host.volward("journal", "--json").stdout) == []


@pytest.mark.full
def test_a_header_without_a_free_keyslot_says_so(host: Host) -> None:
    """FAULTS 22."""
    disk = host.disk("KEYS-1", 96 * MIB)
    configure(host, disk.link)
    host.volward("apply", "--yes", "data")
    export(host)
    add = f'cryptsetup luksAddKey {FAST} --key-file /run/exported "$1" /run/k'
    fill = f"for n in $(seq 31); do head -c 32 /dev/urandom >/run/k; {add}; done"
    host.sh(fill, disk.link, timeout=600)

    done = host.sh("volward recovery enrol data --recovery-fd 3 3>/run/recovery", ok=(77,))

    assert "All 32 keyslots" in done.stderr
    assert len(_header(host, disk.link)["keyslots"]) == 32
    assert json.loads(host.volward("journal", "--json").stdout) == []


@pytest.mark.lab
def test_nothing_is_asked_without_a_terminal(host: Host) -> None:
    """FAULTS 29: a headless run ends at once, in place of hanging on a question."""
    disk = host.disk("KEYS-1", 96 * MIB)
    configure(host, disk.link)
    host.volward("apply", "--yes", "data")
    host.volward("close", "data")
    host.run("mv", CREDENTIAL, "/root/key")

    for words in (
        ("open", "data"),
        ("recovery", "test", "data"),
        ("recovery", "enrol", "data"),
        ("open", "--recovery", "data"),
    ):
        done = host.volward(*words, ok=None, timeout=120)
        assert done.status not in (0, 70), done
        assert "Traceback" not in done.stderr

    host.run("mv", "/root/key", CREDENTIAL)
    host.volward("open", "data")


def _cut_enrolment(host: Host) -> None:
    """`volward recovery enrol`, killed between the keyslot and its token."""
    cut = (
        "import os, signal; from volward.host import cryptsetup; from volward.cli import main\n"
        "cryptsetup.import_token = lambda *a, **n: os.kill(os.getpid(), signal.SIGKILL)\n"
        "main.run(['recovery', 'enrol', 'data', '--recovery-fd', '3'])\n"
    )
    host.sh('/opt/volward/bin/python -c "$1" 3>/run/lost || [ $? = 137 ]', cut)


def _header(host: Host, device: str) -> Any:
    return json.loads(host.run("cryptsetup", "luksDump", "--dump-json-metadata", device).stdout)
