"""Rotation on a real kernel: what stock cryptsetup shows afterwards, and which key opens what."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.volume import configure, export, opens
from tests.host.meeting import Meeting
from tests.host.terminal import KEY
from tests.lab.databases import POSTGRES
from tests.lab.host import MIB, Host

DAY = 24 * 3600
FAST = 'recovery = { memory = "64 MiB" }\ncredential = { seal = "host" }'
STORE = "/etc/credstore.encrypted"


def header(host: Host, device: str) -> Any:
    return json.loads(host.run("cryptsetup", "luksDump", "--dump-json-metadata", device).stdout)


def tokens(host: Host, device: str) -> dict[str, dict[str, Any]]:
    """Return volward's tokens by the keyslot that they name."""
    found = {}
    for token in header(host, device)["tokens"].values():
        assert len(token["keyslots"]) == 1, token
        found[token["keyslots"][0]] = token.get("volward", {"provider": token["type"]})
    return found


def age(host: Host, device: str, field: str, days: int, *, provider: str = "credential") -> None:
    """Move a moment in the tokens of a provider into the past, as if so many days had gone by."""
    for number, token in header(host, device)["tokens"].items():
        own = token.get("volward", {})
        if own.get("provider") == provider and field in own:
            own[field] -= days * DAY
            words = ["token", "import", "--token-id", number, "--token-replace", "--json-file", "-", device]
            host.run("cryptsetup", *words, input=json.dumps(token))


def sealed(host: Host, version: int, to: str) -> None:
    """Unseal a key of the store with systemd-creds alone."""
    name = f"volward.data.v{version}"
    host.sh(f"umask 077; rm -f {to}; systemd-creds decrypt --name={name} {STORE}/{name} {to}")
    host.secrets.append(host.get(to))


@pytest.mark.lab
def test_a_key_is_rotated_retired_and_removed_when_its_time_has_come(host: Host) -> None:
    disk = host.disk("ROTATE-1", 96 * MIB)
    configure(host, disk.link, more=FAST)
    host.sh("volward apply --yes data --recovery-fd 3 3>/run/recovery")
    host.secrets.append(host.get("/run/recovery").split()[1])
    host.sh("echo kept >/srv/volward/data/file")

    planned = host.volward("rotate", "data", "--plan").stdout
    assert "0  credential: retired, opens the volume until" in planned, planned
    assert "1  recovery: stays" in planned
    assert sorted(header(host, disk.link)["keyslots"]) == ["0", "1"], "a plan changed something"
    done = host.volward("rotate", "data")

    assert "a new key of credential opens it; keyslot 0 is retired" in done.stdout, done.stdout + done.stderr
    found = tokens(host, disk.link)
    assert sorted(header(host, disk.link)["keyslots"]) == sorted(found) == ["0", "1", "2"]
    assert [found[n]["provider"] for n in "012"] == ["credential", "recovery", "credential"]
    assert found["2"]["key_version"] == 2
    assert "retired" in found["0"]
    assert "retired" not in found["2"]
    for version, keyslot in ((1, 0), (2, 2)):
        sealed(host, version, "/run/stored")
        assert opens(host, disk.link, "/run/stored", keyslot=keyslot)
    key = export(host)
    assert key == host.get("/run/stored"), "export gives the new key"
    host.volward("close", "data")
    assert "key: credential" in host.volward("open", "data").stdout

    calm = host.volward("rotate", "--due").stdout
    assert "nothing to do, because the key of credential is 0 days old and due in" in calm, calm
    assert "nothing to do, because data is provisioned" in host.volward("apply", "data").stdout
    age(host, disk.link, "retired", 29)
    assert "nothing to do" in host.volward("rotate", "--due").stdout
    age(host, disk.link, "retired", 1)
    gone = host.volward("rotate", "--due")
    assert "keyslot 0 is removed" in gone.stdout, gone.stdout + gone.stderr
    assert sorted(tokens(host, disk.link)) == ["1", "2"]
    kept = host.sh(f"ls {STORE}").stdout.split()
    assert kept == ["volward.data.header.v1", "volward.data.v1", "volward.data.v2"], "a key left its store"

    age(host, disk.link, "created", 90)
    renewed = host.volward("rotate", "--due")
    assert "a new key of credential opens it; keyslot 2 is retired" in renewed.stdout, renewed.stdout
    assert host.get("/srv/volward/data/file") == b"kept\n"
    assert [r["outcome"] for r in json.loads(host.volward("journal", "--all", "--json").stdout)] == ["done"] * 4


@pytest.mark.full
@pytest.mark.lab
def test_at_once_by_tpm_and_by_the_owner(host: Host) -> None:
    disk = host.disk("ROTATE-2", 96 * MIB)
    configure(host, disk.link, keys='["tpm2", "credential"]', more=FAST)
    host.sh("volward apply --yes data --recovery-fd 3 3>/run/recovery")

    refused = host.volward("rotate", "data", "--now", ok=(73,))
    assert "volward rotate --yes data" in refused.stderr
    done = host.volward("rotate", "data", "--now", "--yes")
    assert "keyslot 0 is removed" in done.stdout, done.stdout + done.stderr
    found = tokens(host, disk.link)
    assert sorted(header(host, disk.link)["keyslots"]) == sorted(found) == ["1", "2", "3"]
    assert found["3"]["key_version"] == 2

    host.volward("rotate", "data", "--provider", "tpm2", "--yes")
    found = tokens(host, disk.link)
    assert sorted(header(host, disk.link)["keyslots"]) == sorted(found) == ["0", "2", "3"]
    assert found["0"]["provider"] == "systemd-tpm2"
    host.volward("close", "data")
    assert "key: tpm2" in host.volward("open", "data").stdout

    host.sh("volward rotate data --provider recovery --recovery-fd 3 3>/run/second")
    found = tokens(host, disk.link)
    assert sorted(found) == ["0", "1", "2", "3"]
    assert "retired" in found["2"]
    assert found["1"]["confirmed"] is True
    for file, keyslot in (("/run/recovery", 2), ("/run/second", 1)):
        shown = KEY.findall(host.get(file).decode())[0]
        host.secrets.append(shown.encode())
        host.put("/run/typed", shown, mode=0o600)
        assert opens(host, disk.link, "/run/typed", keyslot=keyslot)
    assert "NoTerminal" not in host.volward("rotate", "data", "--provider", "recovery", ok=(77,)).stderr
    assert json.loads(host.volward("journal", "--json").stdout) == []


@pytest.mark.full
@pytest.mark.lab
def test_the_timer_is_installed_and_rotates_without_a_terminal(host: Host) -> None:
    disk = host.disk("ROTATE-3", 96 * MIB)
    configure(host, disk.link, more=FAST)
    host.volward("apply", "--yes", "data")
    assert host.run("systemctl", "is-active", "volward-rotate.timer").stdout.strip() == "active"
    age(host, disk.link, "created", 91)
    told = json.loads(host.volward("status", "--json").stdout)["volumes"][0]
    assert any("of credential is 91 days old" in note["what"] for note in told["notes"]), told["notes"]

    host.run("systemctl", "start", "volward-rotate.service")

    assert sorted(tokens(host, disk.link)) == ["0", "1"]
    rotation = json.loads(host.volward("status", "--json").stdout)["volumes"][0]["rotation"]
    assert [(one["provider"], one["overdue"]) for one in rotation["keys"]] == [("credential", False)]
    assert [one["keyslot"] for one in rotation["retired"]] == [0]


@pytest.mark.lab
def test_two_rotations_at_once_and_a_key_of_somebody_else(host: Host) -> None:
    disk = host.disk("ROTATE-4", 96 * MIB)
    configure(host, disk.link, more=FAST)
    host.volward("apply", "--yes", "data")
    meeting = Meeting("data", host)
    busy = host.volward("rotate", "data", ok=(75,))
    assert "Another volward" in busy.stderr
    (first,) = meeting.go_on()
    assert first.status == 0, first.stderr
    found = tokens(host, disk.link)
    assert [found[number]["key_version"] for number in sorted(found)] == [1, 2], "both keys open it, and no other"

    # Another host on the same store path is first: the version is there when this one comes to create it.
    race = (
        "import sys; from volward.keys.credential import CredentialSource as Source; from volward.cli import main\n"
        "create = Source.create\n"
        "def late(self, ref, *, adopt, deadline_seconds):\n"
        "    Source.create = create\n"
        "    self.create(ref, adopt=False)\n"
        "    return self.create(ref, adopt=adopt)\n"
        "Source.create = late\n"
        "sys.exit(main.run(['rotate', 'data']))\n"
    )
    lost = host.run("/opt/volward/bin/python", "-c", race, ok=(73,))
    assert "Somebody else has just created credential:volward.data.v3" in lost.stderr
    assert sorted(tokens(host, disk.link)) == ["0", "1"]
    again = host.volward("rotate", "data")
    assert "credential:volward.data.v3 is in its store and opens no keyslot here; it is passed over" in again.stderr
    assert tokens(host, disk.link)["2"]["key_version"] == 4


@pytest.mark.full
@pytest.mark.lab
def test_a_database_under_load_notices_nothing(host: Host, record_property: Callable[[str, object], None]) -> None:
    """Rotation under a running pgbench: no failed transaction; the latencies are shown beside a calm run."""
    disk = host.disk("ROTATE-PG", 1024 * MIB)
    host.put(
        "/etc/volward/volward.toml",
        f'[volumes.pg]\ndevice = "{disk.link}"\nstore = "postgres"\nmount_point = "/srv/volward/pg"\n'
        'keys = ["credential"]\n[volumes.pg.credential]\nseal = "host"\n',
    )
    host.volward("apply", "--yes", "pg", timeout=600)
    POSTGRES.start(host)
    bench = "runuser -u postgres -- /usr/lib/postgresql/17/bin/pgbench"
    host.sh(f"cd /tmp; {bench} --initialize --quiet --scale=1 postgres 2>&1", timeout=600)
    seen = {}
    rotations = "sleep 4; volward rotate pg && volward rotate --now --yes pg"
    for name, meanwhile in (("calm", "true"), ("rotation", rotations)):
        run = f"cd /tmp; rm -f load.*; {bench} --time=40 --client=2 --log --log-prefix=/tmp/load postgres"
        script = f"({run}) >/tmp/pgbench 2>&1 & ({meanwhile}) >/tmp/meanwhile 2>&1 && status=0 || status=$?; wait"
        host.sh(f"{script}; echo $status >/tmp/status", timeout=600)
        assert host.get("/tmp/status") == b"0\n", host.get("/tmp/meanwhile")
        said = host.get("/tmp/pgbench").decode()
        assert "number of failed transactions: 0 (0.000%)" in said, said
        microseconds = sorted(int(line) for line in host.sh("cut -d' ' -f3 /tmp/load.*").stdout.split())
        assert microseconds, said
        seen[name] = microseconds[len(microseconds) * 99 // 100] / 1000
    assert len(tokens(host, disk.link)) == 2, "the first key is retired, and that of the first rotation is gone"
    latencies = f"{seen['calm']:.0f} ms in a calm run, {seen['rotation']:.0f} ms with two rotations"
    record_property("shown", f"pgbench, p99 of a transaction: {latencies}")
