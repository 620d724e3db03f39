"""A database under load, and a daemon that is killed, restarted and told to read again: no transaction fails."""

from __future__ import annotations

import pytest
from tests.host.load import Load
from tests.host.test_service import main_process, start, until
from tests.lab.host import MIB, Host

pytestmark = [pytest.mark.lab, pytest.mark.full]

CONFIGURATION = """
[defaults.credential]
seal = "host"
[volumes.pg]
device = "{pg}"
store = "postgres"
mount_point = "/srv/volward/pg"
keys = ["credential"]
[volumes.aside]
device = "{aside}"
store = "directory"
mount_point = "/srv/volward/aside"
keys = ["credential"]
"""
CANARY = "/srv/volward/aside/canary"
KILL = "systemctl kill --signal=KILL volward.service"
# Has the daemon open the closed volume, and kills it with all that it has begun as soon as this is so.
KILL_WHEN = f"""
volward close aside
volward reload >/dev/null 2>&1 &
until eval "$1" || mountpoint -q /srv/volward/aside; do sleep 0.05; done
{KILL}
wait
"""
MOMENTS = {
    "it has the volume's lock": "! flock --nonblock /run/volward/lock/aside true",
    "cryptsetup opens it": "pgrep --exact cryptsetup >/dev/null",
    "its mapping is there": "test -e /dev/mapper/volward-aside",
}


def is_back(host: Host, killed: int) -> None:
    """Wait until another daemon has come in its place, and is ready."""
    until(host, f'pid=$(systemctl show --property=MainPID --value volward.service); [ "$pid" -ne 0 ] && '
                f'[ "$pid" -ne {killed} ] && systemctl is-active --quiet volward.service', seconds=600)  # fmt: skip


def test_no_transaction_fails_whatever_becomes_of_the_daemon(host: Host) -> None:
    pg, aside = host.disk("LOAD-PG", 512 * MIB), host.disk("LOAD-ASIDE", 96 * MIB)
    host.put("/etc/volward/volward.toml", CONFIGURATION.format(pg=pg.link, aside=aside.link))
    host.volward("apply", "--yes", "pg", "aside", "--no-recovery", timeout=600)
    host.sh(f"echo kept >{CANARY}; sync")
    start(host)
    load = Load(host)
    before = load.in_use()

    for words in ("systemctl restart volward.service", "systemctl reload volward.service", "volward reload", KILL):
        daemon = main_process(host)
        host.sh(words, timeout=600)
        if "reload" not in words:
            is_back(host, daemon)
        assert (main_process(host) == daemon) is ("reload" in words)
        load.goes_on()
        assert load.in_use() == before, words

    for moment, is_so in MOMENTS.items():
        daemon = main_process(host)
        host.sh(KILL_WHEN, is_so, timeout=600)
        is_back(host, daemon)
        host.volward("reload", timeout=600)
        until(host, f"test -s {CANARY}", seconds=600)
        assert host.get(CANARY) == b"kept\n"
        load.goes_on()
        assert load.in_use() == before, f"killed when {moment}"

    host.run("systemctl", "stop", "volward.service", timeout=300)
    load.goes_on()
    start(host)
    load.goes_on()
    assert load.in_use() == before
    load.end()
    assert "2 volumes: 2 open." in host.volward("status", "--live").stdout
