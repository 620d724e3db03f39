"""Scratch volumes: claimed once, a random key at each opening, made anew at boot, and only on the device claimed."""

from __future__ import annotations

import json

import pytest
from tests.lab.host import MIB, Host

TEXT = "volward-scratch-2c7d90"
BOOT_SECONDS = 900  # of a busy machine
FILE = "/srv/volward/tmp/session"


@pytest.mark.full
@pytest.mark.lab
def test_scratch_files_and_swap(host: Host) -> None:
    files = host.disk("SCRATCH-1", 96 * MIB)
    swap = host.disk("SCRATCH-2", 64 * MIB)
    slot = path_link(host, files.path_in_guest)
    host.put(
        "/etc/volward/volward.toml",
        f"""
[volumes.tmp]
device = "{slot}"
store = "scratch"
mount_point = "/srv/volward/tmp"

[volumes.swap]
device = "{swap.link}"
store = "scratch"
file_system = "swap"
""",
    )
    assert "is not claimed yet" in host.volward("open", "--all", ok=(78,)).stderr

    host.volward("apply", "--yes", "tmp", "swap")

    assert swap_size(host) == 63 * MIB
    assert host.run("stat", "--format=%U %a", "/srv/volward/tmp").stdout == "root 1777\n"
    host.run("runuser", "-u", "nobody", "--", "sh", "-c", f"echo {TEXT} >{FILE}; sync")
    again = host.volward("apply", "tmp", "swap").stdout
    assert again.count("nothing to do, because scratch volume") == 2
    key = volume_key_of(host, "volward-tmp")

    host.reboot(timeout=BOOT_SECONDS)
    assert host.wait_until_booted() == "running"

    assert host.sh("ls -A /srv/volward/tmp").stdout.split() == ["lost+found"]
    assert host.run("stat", "--format=%U %a", "/srv/volward/tmp").stdout == "root 1777\n"
    assert swap_size(host) == 63 * MIB
    assert volume_key_of(host, "volward-tmp") != key
    assert not files.contains(TEXT.encode())
    assert not [plan for plan in json.loads(host.volward("plan", "--json").stdout) if plan["actions"]]

    host.run("runuser", "-u", "nobody", "--", "sh", "-c", f"echo {TEXT} >{FILE}")
    closed = host.volward("close", "--all").stdout.splitlines()
    assert closed == ["tmp: closed", "swap: closed"]
    assert swap_size(host) == 0
    host.volward("open", "--all")
    assert swap_size(host) == 63 * MIB
    assert host.run("test", "-e", FILE, ok=None).status == 1

    # Another disk in the same slot, with the marker copied onto it.
    host.volward("close", "tmp")
    files.replug(serial="SCRATCH-3")
    before = files.sha256()
    for refused in (host.volward("open", "tmp", ok=None), host.volward("apply", "--yes", "tmp", ok=None)):
        assert refused.status == 73
        assert "serial: pinned SCRATCH-1, found SCRATCH-3" in refused.stderr
    assert files.sha256() == before


def path_link(host: Host, node: str) -> str:
    """The link that names the slot and not the disk."""
    script = 'for link in /dev/disk/by-path/*; do [ "$(readlink -e "$link")" = "$1" ] && break; done; echo "$link"'
    return host.sh(script, node).stdout.strip()


def swap_size(host: Host) -> int:
    """The bytes of all swap space in use, with the page that its header takes."""
    sizes = host.run("swapon", "--show=SIZE", "--bytes", "--noheadings").stdout.split()
    return sum(map(int, sizes)) + 4096 * len(sizes)


def volume_key_of(host: Host, mapping: str) -> str:
    """A hash of the table of a mapping, key included."""
    return host.sh('dmsetup table --showkeys "$1" | sha256sum', mapping).stdout
