"""systemd opens the volumes of a host with /etc/crypttab, and volward gives it their keys over a socket."""

from __future__ import annotations

import pytest
from tests.faults.volume import MOUNT_POINT, configure, export
from tests.lab.host import MIB, Host

CANARY = f"{MOUNT_POINT}/canary"
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
