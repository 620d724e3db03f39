"""systemd opens the volumes of a host with /etc/crypttab, and volward gives it their keys over a socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.volume import MOUNT_POINT, configure, export
from tests.host.test_service import LATE, below, said, until, writer
from tests.lab.host import MIB, Host
from tests.vault import lab_login
from tests.vault.certificates import Authority
from tests.vault.server import Server

CANARY = f"{MOUNT_POINT}/canary"
BOOTS = 3
QUESTION = "ls /run/systemd/ask-password/ask.*"
UNIT = "systemd-cryptsetup@volward\\x2ddata.service"


@pytest.mark.lab
@pytest.mark.full
def test_systemd_opens_with_the_key_that_volward_gives(host: Host) -> None:
    disk = host.disk("TAB-1", 96 * MIB)
    configure(host, disk.link, more='credential = { seal = "host" }')
    host.volward("apply", "--yes", "data", "--no-recovery")
    key = export(host)
    host.sh(f"echo kept >{CANARY}; sync")
    host.volward("close", "data")

    host.sh("volward export crypttab --install >>/etc/crypttab")
    assert "/run/volward/key.sock luks,nofail" in host.get("/etc/crypttab").decode()
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", UNIT)
    assert "type:    LUKS2" in host.run("cryptsetup", "status", "volward-data").stdout
    assert "open and mounted" in host.volward("open", "data").stdout
    assert host.get(CANARY) == b"kept\n"
    assert "went to systemd-cryptsetup" in host.journal("VOLWARD_EVENT=key-serve")

    # Nobody else gets it: another user is kept out, and root without the name of a mapping gets nothing.
    ask = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/volward/key.sock'); print(len(s.recv(100)))"
    )
    assert host.run("python3", "-c", ask).stdout == "0\n"
    assert host.run("runuser", "-u", "nobody", "--", "python3", "-c", ask, ok=(1,)).stderr.endswith(
        "Permission denied\n"
    )

    waits = "/etc/systemd/system/dev-mapper-volward*.device.d/50-volward.conf"  # from the end of the daemon on
    host.sh(f"systemctl disable --quiet volward.service; rm {waits}")
    host.run("systemctl", "add-wants", "multi-user.target", "srv-volward-data.mount")
    host.reboot()
    host.wait_until_booted()
    host.sh(f'for _ in $(seq 300); do [ -e "{CANARY}" ] && exit; sleep 0.2; done; exit 1')
    assert host.get(CANARY) == b"kept\n"
    assert "went to systemd-cryptsetup" in host.journal("--boot=0", "VOLWARD_EVENT=key-serve")
    assert key not in host.journal().encode()


@pytest.mark.lab
@pytest.mark.full
def test_systemd_opens_at_the_boot_and_the_daemon_does_not_open_again(host: Host) -> None:
    disk = host.disk("TAB-2", 96 * MIB)
    configure(host, disk.link, more='credential = { seal = "host" }\nconsumers = ["writer.service"]')
    writer(host)
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    host.sh(f"echo kept >{CANARY}; volward export crypttab --install >>/etc/crypttab; sync")
    for number in range(BOOTS):
        if number == BOOTS - 1:  # and the boot waits for the key, which comes before the boot has come far
            host.sh("sed -i s/,nofail// /etc/crypttab; sync")
        host.reboot()
        host.wait_until_booted()
        until(host, "systemctl is-active --quiet writer.service && test -s /srv/volward/data/beat")
        assert host.get(CANARY) == b"kept\n"

        opened = host.journal("--boot=0", f"--unit={UNIT}")
        assert "already active" not in opened, opened
        assert host.run("systemctl", "is-active", UNIT).stdout == "active\n"
        assert host.journal("--boot=0", "VOLWARD_EVENT=key-serve").count("went to systemd-cryptsetup") == 1
        said(host, "data: open and in use")
        daemon = host.journal("--boot=0", "--unit=volward.service")
        assert "(key: " not in daemon and "not open" not in daemon, daemon
        holders = host.sh('ls "/sys/class/block/$(basename "$1")/holders"', disk.path_in_guest).stdout.split()
        assert len(holders) == 1
        assert host.run("systemctl", "--failed", "--no-legend", "--plain").stdout == ""
        assert "1 volume: 1 open." in host.volward("status", "--live").stdout


@pytest.mark.lab
@pytest.mark.full
def test_a_key_that_comes_late_leaves_nobody_asking(host: Host, tmp_path: Path) -> None:
    with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
        disk = host.disk("TAB-3", 96 * MIB)
        writer(host)
        role = lab_login.allow(server, "lab")
        vault = lab_login.deliver(host, server, role, timeout_seconds=30)
        host.put("/etc/volward/volward.toml", vault + LATE.format(device=disk.link))
        host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
        host.sh("volward export crypttab --install >>/etc/crypttab; sync")
        assert "_netdev" in host.get("/etc/crypttab").decode()

        for asks in (False, True):  # while systemd waits for volward's answer, and when it has gone on to ask a person
            host.reboot()  # without Vault
            until(host, "systemctl is-active --quiet multi-user.target")
            assert host.run("systemctl", "is-active", "writer.service", ok=(3,)).stdout == "inactive\n"
            assert below(host, ["/srv/volward/data"]) == "", "something was written below the mount point"
            said(host, "data: not open, and tried again later", seconds=240)
            if asks:
                until(host, QUESTION, seconds=600)

            lab_login.reach(host, server.address)
            until(host, "systemctl is-active --quiet writer.service && mountpoint -q /srv/volward/data")
            host.run("systemctl", "is-active", "volward-mapping-data.service")
            until(host, f"! {QUESTION}")
            assert host.wait_until_booted() == "running", host.run("systemctl", "--failed", "--no-legend").stdout
            assert host.run("systemctl", "is-active", UNIT).stdout == "active\n"
            assert "1 volume: 1 open." in host.volward("status", "--live").stdout
