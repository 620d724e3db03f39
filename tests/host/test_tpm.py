"""The TPM as a provider: enrolled by volward or by systemd, opened by either, and what happens when it refuses."""

from __future__ import annotations

import json
import re

import pytest
from tests.lab.host import Host

MIB = 1024 * 1024


def _configure(host: Host, link: str, keys: str, more: str = "") -> None:
    host.put(
        "/etc/volward/volward.toml",
        f"""
[volumes.data]
device = "{link}"
store = "directory"
mount_point = "/srv/volward/data"
keys = {keys}
{more}
""",
    )


@pytest.mark.lab
def test_systemd_opens_what_volward_enrolled_and_volward_what_systemd_enrolled(host: Host) -> None:
    disk = host.disk("TPM-1", 128 * MIB)
    _configure(host, disk.link, '["tpm2", "credential"]')
    host.volward("apply", "--yes", "data")
    host.run("touch", "/srv/volward/data/there")
    host.volward("close", "data")

    # systemd opens what volward enrolled; with no key file and no terminal it has the TPM token alone.
    host.run("systemd-cryptsetup", "attach", "by-systemd", disk.link, "-", "tpm2-device=auto,headless=1")
    host.sh("mount -o ro /dev/mapper/by-systemd /mnt; test -e /mnt/there; umount /mnt")
    host.run("systemd-cryptsetup", "detach", "by-systemd")

    opened = host.volward("open", "data")
    assert "key: tpm2" in opened.stdout, opened.stdout
    host.volward("close", "data")

    # Now the token is systemd's own work alone: volward's is wiped and enrolled anew by systemd-cryptenroll.
    host.volward("key", "export", "data", "--output", "/root/key", "--confirm", "export data")
    host.secrets.append(host.get("/root/key"))
    host.run("systemd-cryptenroll", "--wipe-slot=tpm2", disk.link)
    host.run("systemd-cryptenroll", "--tpm2-device=auto", "--tpm2-pcrs=7", "--unlock-key-file=/root/key", disk.link)
    host.run("rm", "/root/key")
    opened = host.volward("open", "data")
    assert "key: tpm2" in opened.stdout, opened.stdout


@pytest.mark.lab
def test_a_changed_pcr_is_a_denial_and_the_next_provider_opens(host: Host) -> None:
    disk = host.disk("TPM-2", 128 * MIB)
    _configure(host, disk.link, '["tpm2", "credential"]', '[volumes.data.credential]\nseal = "host"')
    host.volward("apply", "--yes", "data")
    host.volward("close", "data")
    host.tpm.extend(7)

    opened = host.volward("open", "data")

    assert "key: credential" in opened.stdout, opened.stdout
    assert re.search(r"degraded: tpm2: .*", opened.stderr), opened.stderr
    assert "VOLWARD_OUTCOME=alert" in host.run("journalctl", "-o", "export", "SYSLOG_IDENTIFIER=volward").stdout
    assert host.volward("close", "data").status == 0

    _configure(
        host, disk.link, '["tpm2", "credential"]', 'on_denied = "stop"\n[volumes.data.credential]\nseal = "host"'
    )
    stopped = host.volward("open", "data", ok=(77,))
    assert "on_denied" in stopped.stderr
    assert host.run("dmsetup", "ls").stdout.count("volward-data") == 0


@pytest.mark.full
def test_a_credential_sealed_with_the_tpm_opens_after_a_reboot(host: Host) -> None:
    disk = host.disk("TPM-3", 128 * MIB)
    _configure(host, disk.link, '["credential"]', '[volumes.data.credential]\nseal = "host+tpm2"')
    host.volward("apply", "--yes", "data")
    host.put("/srv/volward/data/file", "kept")
    tokens = json.loads(host.run("cryptsetup", "luksDump", "--dump-json-metadata", disk.link).stdout)["tokens"]
    assert [token["volward"]["provider"] for token in tokens.values()] == ["credential"]
    host.reboot()
    host.run("systemctl", "start", "volward.service")
    assert host.get("/srv/volward/data/file") == b"kept"
