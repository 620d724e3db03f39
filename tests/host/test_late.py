"""Boots at which the key is late, or comes from this very host: the host is up, and everything starts by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.host.test_service import LATE, below, said, until, writer
from tests.lab.host import MIB, Host
from tests.lab.vault import guest
from tests.vault import lab_login
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.full]

NAME, ADDRESS = "vault.lab", "192.0.2.10"
# What arrives at the address goes to the end of the forwarded port.
RELAY_SOCKET = f"""[Unit]
DefaultDependencies=no
[Socket]
ListenStream={ADDRESS}:{lab_login.PORT}
FreeBind=yes
[Install]
WantedBy=sockets.target
"""
RELAY = f"""[Service]
ExecStart=/usr/lib/systemd/systemd-socket-proxyd 127.0.0.1:{lab_login.PORT}
"""
FAR_NEXT_TRY = """
at=$(systemctl show --property=StatusText volward.service | sed -n 's/.*data is tried again at \\([0-9:]*\\) .*/\\1/p')
[ -n "$at" ] && [ $(($(date --date="$at" +%s) - $(date +%s))) -ge 30 ]
"""
DEVICE_WAIT = "dev-mapper-volward\\x2ddata.device.d/50-volward.conf"

OWN_VAULT = """
storage "raft" { path = "/srv/volward/own/data" node_id = "own" }
listener "tcp" { address = "127.0.0.1:8300" tls_disable = true }
api_addr = "http://127.0.0.1:8300"
cluster_addr = "http://127.0.0.1:8301"
disable_mlock = true
"""
# A person, or another Vault, unseals a real one. Here a file does.
UNSEAL = """#!/bin/sh
export VAULT_ADDR=http://127.0.0.1:8300
while :; do
    status=0
    /opt/vault/vault status >/dev/null 2>&1 || status=$?
    [ $status -eq 0 ] && exit
    key=$(cat /etc/vault.unseal 2>/dev/null)
    [ $status -eq 2 ] && [ -n "$key" ] && /opt/vault/vault operator unseal "$key" >/dev/null
    sleep 5
done
"""
VAULT_SERVICE = """[Unit]
RequiresMountsFor=/opt/vault
[Service]
ExecStart=/opt/vault/vault server -config=/etc/vault.hcl
ExecStartPost=/etc/vault.unseal.sh
Environment=HOME=/root
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
"""
VAULT_MOUNT = f"""[Mount]
What=/dev/disk/by-id/virtio-{guest.SERIAL}
Where=/opt/vault
Options=ro
"""
OWN = """
[defaults.credential]
seal = "host"
[vault]
address = "http://127.0.0.1:8300"
timeout = 30
[vault.login]
role = "own"
role_id = "{role_id}"
credential = "volward-vault"
[volumes.own]
device = "{own}"
store = "directory"
mount_point = "/srv/volward/own"
keys = ["credential"]
consumers = ["vault.service"]
[volumes.data]
device = "{data}"
store = "directory"
mount_point = "/srv/volward/data"
keys = ["vault"]
consumers = ["writer.service"]
"""
SET_UP = """
export VAULT_ADDR=http://127.0.0.1:8300
mkdir -p /srv/volward/own/data
systemctl start --no-block vault.service
vault=/opt/vault/vault
for _ in $(seq 300); do
    status=0
    $vault status >/dev/null 2>&1 || status=$?
    [ $status -eq 2 ] && break
    sleep 2
done
$vault operator init -key-shares=1 -key-threshold=1 -format=json >/run/init.json
sed -n '/unseal_keys_b64/{n;s/[ ",]//gp}' /run/init.json >/etc/vault.unseal
chmod 0600 /etc/vault.unseal
export VAULT_TOKEN=$(sed -n 's/.*"root_token": "\\(.*\\)".*/\\1/p' /run/init.json)
for _ in $(seq 300); do $vault secrets list >/dev/null 2>&1 && break; sleep 2; done
$vault secrets enable -path=kv -version=2 kv >/dev/null
printf 'path "kv/*" { capabilities = ["create", "read", "update"] }' | $vault policy write own - >/dev/null
$vault auth enable approle >/dev/null
$vault write auth/approle/role/own token_policies=own >/dev/null
mkdir -p /etc/credstore.encrypted
$vault write -force -field=secret_id auth/approle/role/own/secret-id |
    systemd-creds encrypt --with-key=host --name=volward-vault - /etc/credstore.encrypted/volward-vault
$vault read -field=role_id auth/approle/role/own/role-id
"""


def is_waiting(host: Host, *, why: str) -> None:
    """The host is up without the volume, its consumer was not started, and the daemon says why."""
    host.wait_until_booted()
    assert host.run("systemctl", "is-active", "volward.service").stdout == "active\n"
    assert host.run("systemctl", "is-active", "writer.service", ok=(3,)).stdout == "inactive\n"
    assert below(host, ["/srv/volward/data"]) == "", "something was written below the mount point"
    said(host, why)


def test_name_network_and_seal_come_late(host: Host, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate = authority.server(NAME, "127.0.0.1")
    with Server(tmp_path / "vault", authority=authority, certificate=certificate) as server:
        disk = host.disk("LATE-1", 96 * MIB)
        writer(host)
        role = lab_login.allow(server, "lab")
        vault = lab_login.deliver(host, server, role, wrapped=True, timeout_seconds=30)
        host.put("/etc/volward/volward.toml", vault + LATE.format(device=disk.link))
        host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
        host.sh(f"sed -i s/127.0.0.1:{lab_login.PORT}/{NAME}:{lab_login.PORT}/ /etc/volward/volward.toml")
        host.put("/etc/systemd/system/relay.socket", RELAY_SOCKET)
        host.put("/etc/systemd/system/relay.service", RELAY)
        # As long as PID 1 waits for any device, or longer: nothing of volward's own cuts its wait short here.
        host.sh(f"rm '/etc/systemd/system/{DEVICE_WAIT}'; mkdir -p /etc/systemd/system.conf.d")
        host.put("/etc/systemd/system.conf.d/wait.conf", "[Manager]\nDefaultDeviceTimeoutSec=60s\n")
        host.sh("systemctl enable --quiet relay.socket; sync")
        started = "systemctl is-active --quiet writer.service && mountpoint -q /srv/volward/data"

        host.reboot()  # the name is not known
        is_waiting(host, why="data: not open, and tried again later")
        lab_login.reach(host, server.address)
        host.sh("sleep 60")  # longer than the device is waited for
        assert host.run("systemctl", "is-active", "writer.service", ok=(3,)).stdout == "inactive\n"
        host.sh(f"echo 127.0.0.1 {NAME} >>/etc/hosts")
        until(host, started)

        host.sh(f"sed -i 's/.* {NAME}$/{ADDRESS} {NAME}/' /etc/hosts")
        host.reboot()  # there is no way to the address
        is_waiting(host, why="data: not open, and tried again later")
        lab_login.reach(host, server.address)
        # The pauses have become long; the change of the network cuts them short.
        until(host, FAR_NEXT_TRY)
        host.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "eth0")
        until(host, started, seconds=25)

        server.seal()
        host.sh(f"sed -i 's/.* {NAME}$/127.0.0.1 {NAME}/' /etc/hosts")
        host.reboot()
        lab_login.reach(host, server.address)
        is_waiting(host, why="Vault is sealed")
        server.unseal()
        until(host, started)


def test_vault_on_the_same_host_on_another_volume(host: Host) -> None:
    own, data = host.disk("OWN-1", 256 * MIB), host.disk("OWN-2", 96 * MIB)
    guest.install_in(host)
    host.sh("umount /opt/vault")
    host.put("/etc/systemd/system/opt-vault.mount", VAULT_MOUNT)
    host.put("/etc/systemd/system/vault.service", VAULT_SERVICE)
    host.put("/etc/vault.hcl", OWN_VAULT)
    host.put("/etc/vault.unseal.sh", UNSEAL, mode=0o755)
    writer(host)
    configuration = OWN.format(role_id="later", own=own.link, data=data.link)
    host.put("/etc/volward/volward.toml", configuration)
    host.volward("apply", "--yes", "own", "--no-recovery", timeout=600)
    role_id = host.sh(SET_UP, timeout=600).stdout.strip()
    host.put("/etc/volward/volward.toml", configuration.replace("later", role_id))
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    host.sh("systemctl enable --quiet vault.service; sync")

    host.reboot()
    until(host, "systemctl is-active --quiet writer.service && test -s /srv/volward/data/beat", seconds=600)

    # Were the key of Vault's own volume in it, neither would open again.
    circle = configuration.replace("later", role_id).replace('keys = ["credential"]', 'keys = ["vault"]')
    host.put("/run/circle/volward.toml", circle)
    warned = json.loads(host.volward("--config", "/run/circle", "check", "--json").stdout)["warnings"]
    assert any("own needs its key from Vault" in one for one in warned), warned


def test_a_tpm_that_refuses_at_the_boot_and_a_disk_with_another_name(host: Host) -> None:
    first, disk = host.disk("EARLIER", 64 * MIB), host.disk("TPM-BOOT", 96 * MIB)
    writer(host)
    host.put(
        "/etc/volward/volward.toml",
        LATE.format(device=disk.link).replace('["vault"]', '["tpm2", "credential"]')
        + '[volumes.data.credential]\nseal = "host"\n[volumes.data.tpm2]\npcrs = [12]\n',
    )
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    before = disk.path_in_guest
    host.sh("sync")

    host.reboot()
    host.wait_until_booted()
    until(host, "systemctl is-active --quiet writer.service")
    said(host, "data: open and in use (key: tpm2)")

    host.sh(
        "printf '[Service]\\nExecStartPre=tpm2_pcrextend 12:sha256=%s\\n' "
        "\"$(printf changed | sha256sum | cut -d' ' -f1)\" | "
        "systemctl edit --stdin --drop-in=measured.conf volward.service; sync"
    )
    first.unplug()
    host.reboot()
    host.wait_until_booted()
    until(host, "systemctl is-active --quiet writer.service")
    said(host, "data: open and in use (key: credential); degraded: tpm2")
    assert disk.path_in_guest != before
