"""volward's own units on a real systemd: installed, changed by an administrator, installed again, removed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.faults.volume import MOUNT_POINT, configure
from tests.lab.host import MIB, Host

UNITS = "/etc/systemd/system"
TIMERS = ["volward-header-backup.timer", "volward-preflight.timer", "volward-rotate.timer"]
MAPPING = "volward-mapping-data.service"
FAST = 'credential = { seal = "host" }'
CANARY = f"{MOUNT_POINT}/canary"


def enabled(host: Host) -> list[str]:
    """Return what systemd itself takes for enabled."""
    words = ("list-unit-files", "--no-legend", "--state=enabled", "volward*")
    said = host.run("systemctl", *words, ok=(0, 1)).stdout  # 1: there is none
    return sorted(line.split()[0] for line in said.splitlines())


def files(host: Host) -> list[str]:
    """Return volward's own; that of the volume's mapping stays whatever happens to them."""
    found = host.sh(f"cd {UNITS}; ls -d volward* 2>/dev/null || true").stdout.split()
    return [name for name in found if name != MAPPING]


def told(host: Host) -> dict[str, Any]:
    """Return the state of each file, by its name."""
    document = json.loads(host.volward("system", "status", "--json").stdout)
    return {one["path"].rpartition("/")[2]: one for one in document["files"]}


@pytest.mark.lab
def test_installed_changed_installed_again_and_removed(host: Host) -> None:
    disk = host.disk("SYSTEM-1", 96 * MIB)
    configure(host, disk.link, more=FAST)
    host.volward("apply", "--yes", "data", "--no-recovery")
    host.sh(f"echo kept >{CANARY}; sync")
    assert enabled(host) == sorted([*TIMERS, "volward.service"]), "what a volume needs"

    shown = host.volward("system", "install", "--plan").stdout
    assert f"create {UNITS}/volward-key.socket\n  --- /dev/null\n" in shown, shown
    assert "volward-key.socket" not in files(host), "a plan changed something"
    done = host.volward("system", "install")
    assert done.stdout.endswith("install: 2 written\n"), done.stdout + done.stderr
    assert enabled(host) == sorted([*TIMERS, "volward.service"])
    for timer in TIMERS:
        assert host.run("systemctl", "is-active", timer).stdout == "active\n"
    assert host.run("systemctl", "is-active", "volward-key.socket", ok=None).stdout == "inactive\n"
    again = host.volward("system", "install").stdout
    assert again == "nothing to do, because every file is current and every unit is enabled\n"
    assert {one["is"] for one in told(host).values()} == {"current"}

    # An administrator has another time for one, and wants another not at all.
    mine = "[Timer]\nOnCalendar=monthly\n[Install]\nWantedBy=timers.target\n"
    host.put(f"{UNITS}/volward-rotate.timer", mine)
    host.run("systemctl", "disable", "--now", "volward-header-backup.timer")
    for command in (("system", "install"), ("apply", "--yes", "data", "--no-recovery")):
        host.volward(*command)
        assert host.get(f"{UNITS}/volward-rotate.timer").decode() == mine
        assert "volward-header-backup.timer" not in enabled(host)
    left = told(host)
    assert left["volward-rotate.timer"]["is"] == "changed"
    assert "systemctl edit volward-rotate.timer" in left["volward-rotate.timer"]["resolution"]
    assert left["volward-header-backup.timer"]["reason"] == "an administrator disabled it"

    # Replaced with consent, what was there is kept.
    host.volward("system", "install", "--replace", "volward-rotate.timer")
    assert host.sh("cat /var/lib/volward/replaced/volward-rotate.timer.*").stdout == mine
    assert told(host)["volward-rotate.timer"]["is"] == "current"
    host.put(f"{UNITS}/volward-rotate.timer", mine)

    host.run("systemctl", "start", "volward.service")
    removed = host.volward("system", "uninstall").stdout
    assert f"{UNITS}/volward-rotate.timer is left alone" in removed, removed
    assert "the next boot opens no volume, although the configuration has it open data" in removed, removed
    assert "volward.service is stopped, which closes nothing" in removed, removed
    assert host.run("systemctl", "is-active", "volward.service", ok=None).stdout == "inactive\n"
    assert host.run("systemctl", "is-active", MAPPING).stdout == "active\n"
    assert files(host) == ["volward-rotate.timer"]
    assert enabled(host) == []
    assert host.run("systemctl", "is-active", "volward-preflight.timer", ok=None).stdout == "inactive\n"
    assert host.get(CANARY) == b"kept\n", "the volume is open as before"
    assert host.run("test", "-e", "/var/lib/volward/system.json", ok=(1,)).status == 1
    assert "nothing is installed" in host.volward("system", "uninstall").stdout

    # The volume is closed and opened by hand as ever, and apply has the boot open it again.
    host.volward("close", "data")
    host.volward("open", "data")
    host.volward("apply", "--yes", "data", "--no-recovery")
    assert "volward.service" in enabled(host)
    assert host.get(CANARY) == b"kept\n"


@pytest.mark.full
@pytest.mark.lab
def test_a_boot_that_would_need_a_person_is_a_failed_unit(host: Host) -> None:
    disk = host.disk("SYSTEM-2", 96 * MIB)
    configure(host, disk.link, more=FAST)
    host.volward("apply", "--yes", "data", "--no-recovery")
    for service in ("volward-preflight", "volward-header-backup"):
        host.run("systemctl", "start", f"{service}.service")
    assert "volward-preflight" not in host.run("systemctl", "--failed", "--no-legend").stdout
    assert "has a proven backup already" in host.journal("--unit=volward-header-backup.service")

    host.sh("mkdir /root/away; mv /etc/credstore.encrypted/volward.data.v* /root/away/")
    host.run("systemctl", "start", "volward-preflight.service", ok=(1,))
    assert "volward-preflight.service" in host.run("systemctl", "--failed", "--no-legend").stdout
    assert "The next boot needs a person: data." in host.journal("--unit=volward-preflight.service")

    host.sh("mv /root/away/* /etc/credstore.encrypted/")
    host.run("systemctl", "start", "volward-preflight.service")
    assert "volward-preflight" not in host.run("systemctl", "--failed", "--no-legend").stdout


@pytest.mark.full
@pytest.mark.lab
def test_the_socket_stays_while_systemd_is_told_to_ask_there(host: Host) -> None:
    disk = host.disk("SYSTEM-3", 96 * MIB)
    configure(host, disk.link, more=FAST)
    host.volward("apply", "--yes", "data", "--no-recovery")
    host.sh("volward export crypttab --install >>/etc/crypttab")
    assert "volward-key.socket" in enabled(host)

    removed = host.volward("system", "uninstall").stdout
    assert "/etc/crypttab has systemd ask there for keys" in removed, removed
    assert enabled(host) == ["volward-key.socket"]
    assert host.run("systemctl", "is-active", "volward-key.socket").stdout == "active\n"

    host.sh(": >/etc/crypttab")
    host.volward("system", "uninstall")
    assert files(host) == []
    assert host.run("systemctl", "is-active", "volward-key.socket", ok=None).stdout == "inactive\n"
