"""A Vault whose own data need a key that only this Vault has: found before the boot that it would spoil, by name."""

from __future__ import annotations

import json

import pytest
from tests.faults.volume import export
from tests.host.test_late import OWN_VAULT, SET_UP, UNSEAL, VAULT_MOUNT, VAULT_SERVICE
from tests.host.test_service import below, until
from tests.lab.host import MIB, Host
from tests.lab.vault import guest

pytestmark = [pytest.mark.lab, pytest.mark.full]

FIRST, OWN, LOG = "/srv/vault-data", "/srv/volward/own", "/srv/volward/log"
ADDRESS = "http://127.0.0.1:8300"
CONFIGURATION = f"""
[defaults.credential]
seal = "host"
[vault]
address = "{ADDRESS}"
timeout = 20
[vault.login]
role = "own"
role_id = "{{role_id}}"
credential = "volward-vault"
[volumes.own]
device = "{{own}}"
store = "directory"
mount_point = "{OWN}"
keys = ["vault"]
"""
CONSUMER = 'consumers = ["vault.service"]\n'
IN_A_FILE = f"""[volumes.log]
device = "file:{OWN}/log.img"
size = "64 MiB"
store = "directory"
mount_point = "{LOG}"
"""
BESIDE = f"""[volumes.log]
device = "{{log}}"
store = "directory"
mount_point = "{LOG}"
keys = ["vault"]
"""
# What an administrator of Vault does, with the root token of SET_UP.
AUDIT = f"""
export VAULT_ADDR={ADDRESS} VAULT_TOKEN=$(sed -n 's/.*"root_token": "\\(.*\\)".*/\\1/p' /run/init.json)
/opt/vault/vault audit enable file file_path={LOG}/audit.log
"""
NEEDS_ITSELF = f"needs its key from Vault ({ADDRESS}), whose data are on"


def warned(host: Host) -> str:
    return "\n".join(json.loads(host.volward("check", "--json").stdout)["warnings"])


def preflight(host: Host, *, status: int) -> str:
    return host.volward("preflight", ok=(status,), timeout=600).stdout


def test_it_is_found_by_name_and_the_host_boots(host: Host) -> None:
    own, log = host.disk("CIRCLE-1", 256 * MIB), host.disk("CIRCLE-2", 96 * MIB)
    guest.install_in(host)
    host.sh("umount /opt/vault; mkdir " + FIRST)
    host.put("/etc/systemd/system/opt-vault.mount", VAULT_MOUNT)
    host.put("/etc/systemd/system/vault.service", VAULT_SERVICE)
    host.put("/etc/vault.hcl", OWN_VAULT.replace(OWN, FIRST))
    host.put("/etc/vault.unseal.sh", UNSEAL, mode=0o755)
    role_id = host.sh(SET_UP.replace(OWN, FIRST), timeout=600).stdout.strip()
    configuration = CONFIGURATION.format(role_id=role_id, own=own.link)
    host.put("/etc/volward/volward.toml", configuration)
    host.volward("apply", "--yes", "own", "--no-recovery", timeout=600)
    until(host, "systemctl is-active --quiet vault.service")
    assert warned(host) == ""
    assert "keeps its data on no volume that needs it" in preflight(host, status=0)

    # Vault moves in with the volume whose key it has; it is started, and unsealed by hand.
    host.put("/etc/volward/volward.toml", configuration + CONSUMER)
    host.volward("apply", "--yes", "own", "--no-recovery", timeout=600)
    host.sh(f"systemctl stop vault.service; mv {FIRST}/data {OWN}/")
    host.put("/etc/vault.hcl", OWN_VAULT)
    host.run("systemctl", "start", "vault.service", timeout=600)
    assert f"own {NEEDS_ITSELF} own: after a boot it never opens without a person" in warned(host)
    assert "Vault's own data are on own, which only Vault opens: after a reboot neither starts" in preflight(
        host, status=76
    )

    # A volume in a file on that one is refused altogether.
    host.put("/run/in-a-file/volward.toml", configuration + CONSUMER + IN_A_FILE)
    refused = host.volward("--config", "/run/in-a-file", "check", ok=(78,)).stderr
    assert "volumes.log.device is a file on volume own" in refused

    # Its log is on a second volume of the kind: each waits for the other.
    both = configuration + CONSUMER + BESIDE.format(log=log.link)
    for text in (both, both := both + CONSUMER):
        host.put("/etc/volward/volward.toml", text)
        host.volward("apply", "--yes", "own", "log", "--no-recovery", timeout=600)
    host.sh(AUDIT)
    assert NEEDS_ITSELF in warned(host)
    told = preflight(host, status=76)
    assert f"own {NEEDS_ITSELF} log" in told and f"log {NEEDS_ITSELF} own" in told, told
    assert any(f"none of {names} opens without a person" in told for names in ("own, log", "log, own")), told
    keys = {name: export(host, name) for name in ("own", "log")}

    host.sh("systemctl enable --quiet vault.service; sync")
    host.reboot()
    host.wait_until_booted()
    assert host.run("systemctl", "is-active", "volward.service").stdout == "active\n"
    assert host.run("systemctl", "is-active", "vault.service", ok=(3,)).stdout == "inactive\n"
    assert below(host, [OWN, LOG]) == "", "something was written below a mount point"

    # It takes a person with the keys; the rest comes by itself.
    for name, disk in (("own", own), ("log", log)):
        host.sh(f'cryptsetup open --key-file - "$1" volward-{name}', disk.link, input=keys[name])
    started = f"mountpoint -q {OWN} && mountpoint -q {LOG} && systemctl is-active --quiet vault.service"
    until(host, started, seconds=600)

    # What both advise: a key of this host.
    host.put("/etc/volward/volward.toml", both.replace('["vault"]', '["credential", "vault"]'))
    host.volward("apply", "--yes", "own", "log", "--no-recovery", timeout=600)
    assert warned(host) == ""
    assert "order of opening" not in preflight(host, status=0)
