"""The Debian package, installed, upgraded, removed and purged under a volume that is in use.

The guest has no network: the Python packages of Debian that the package needs come from the chroot it was built in.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.volume import CREDENTIAL, MOUNT_POINT, configure
from tests.host.load import Load
from tests.lab import availability, deb
from tests.lab.deb import Package
from tests.lab.errors import LabUnavailableError
from tests.lab.host import MIB, Host

LATER = "0.1.0-1+later"
LOG = f"{MOUNT_POINT}/log"
WRITER = f"while date +%s.%N >>{LOG}; do sync {LOG}; sleep 0.1; done"
WRITTEN = """
lines() { [ ! -e "$1" ] && echo 0 || wc -l <"$1"; }
before=$(lines "$1")
for _ in $(seq 300); do
    now=$(lines "$1")
    [ "$now" -gt "$before" ] && echo "$now" && exit
    sleep 0.1
done
exit 1
"""
UNITS = ("volward.service", "volward-rotate.timer", "volward-header-backup.timer", "volward-preflight.timer")
MAPPING_UNIT = "/etc/systemd/system/volward-mapping-data.service"
DATABASE = """
[volumes.pg]
device = "{device}"
store = "postgres"
mount_point = "/srv/volward/pg"
keys = ["credential"]
credential = {{ seal = "host" }}
"""
KEPT = (
    CREDENTIAL,
    "/etc/volward/volward.d/data.toml",
    "/var/lib/volward/pins/data.json",
    "/var/lib/volward/journal",
    MAPPING_UNIT,
)
GONE = (
    "/var/lib/volward/compiled.json",
    "/var/lib/volward/system.json",
    "/etc/systemd/system/multi-user.target.wants/volward.service",
    "/etc/systemd/system/timers.target.wants/volward-rotate.timer",
)


@pytest.fixture(scope="module")
def packages() -> tuple[Package, Package]:
    """This checkout's package, and one that is newer."""
    try:
        return deb.find(), deb.find(LATER)
    except LabUnavailableError as reason:
        if availability.is_required():
            raise
        pytest.skip(str(reason))


def install(host: Host, package: Package, *, dependencies: bool = False) -> str:
    files = [*(package.dependencies if dependencies else ()), package.path]
    for file in files:
        host.put(f"/run/packages/{file.name}", file.read_bytes())
    done = host.run("dpkg", "--install", *(f"/run/packages/{file.name}" for file in files), timeout=1500)
    return done.stdout + done.stderr


def prepare(host: Host, packages: tuple[Package, Package], serial: str) -> None:
    """Put the package in the place of the virtual environment, and a volume of it on a disk."""
    host.run("rm", "/usr/local/bin/volward")
    install(host, packages[0], dependencies=True)
    disk = host.disk(serial, 96 * MIB)
    configure(host, disk.link, more='credential = { seal = "host" }')
    host.run("/usr/bin/volward", "apply", "--yes", "data", "--no-recovery")


def in_use(host: Host) -> tuple[str, str, str]:
    """The mapping, the mount and the writer, each by what changes when another takes its place."""
    mapping = host.run("dmsetup", "info", "--columns", "--noheadings", "-o", "uuid,minor", "volward-data").stdout
    mount = host.run("findmnt", "--noheadings", "--output", "ID,MAJ:MIN", "--mountpoint", MOUNT_POINT).stdout
    writer = host.run("systemctl", "show", "--property=MainPID,ActiveState,NRestarts", "writer").stdout
    assert "ActiveState=active" in writer, writer
    return mapping, mount, writer


def written(host: Host) -> int:
    """Wait until the writer has written once more (or at all), and return how many lines there are."""
    return int(host.sh(WRITTEN, LOG).stdout)


def main_process(host: Host) -> str:
    return host.run("systemctl", "show", "--property=MainPID", "--value", "volward.service").stdout.strip()


def mapping_unit(host: Host) -> str:
    return host.run("systemctl", "show", "--property=ActiveState", "volward-mapping-data.service").stdout.strip()


@pytest.mark.full
@pytest.mark.lab
def test_a_volume_in_use_stays_through_upgrade_removal_and_purge(host: Host, packages: tuple[Package, Package]) -> None:
    prepare(host, packages, "DEB-1")
    unit = host.run("systemctl", "show", "--property=FragmentPath", "volward.service").stdout
    assert unit.strip() == "FragmentPath=/usr/lib/systemd/system/volward.service"
    assert host.run("systemctl", "is-enabled", *UNITS).stdout.split() == ["enabled"] * len(UNITS)
    host.run("systemctl", "start", "volward.service")
    daemon = main_process(host)
    host.run("systemd-run", "--quiet", "--unit=writer", "sh", "-c", WRITER)
    lines = written(host)
    before = in_use(host)

    install(host, packages[1])
    assert host.run("dpkg-query", "--show", "--showformat=${Version}", "volward").stdout == LATER
    assert in_use(host) == before
    assert host.run("systemctl", "is-enabled", *UNITS).stdout.split() == ["enabled"] * len(UNITS)
    assert host.run("systemctl", "is-active", *UNITS).stdout.split() == ["active"] * len(UNITS)
    assert main_process(host) != daemon, "the daemon is the new version's"
    assert (lines := written(host)) > 0

    removed = host.run("dpkg", "--remove", "volward")
    assert "Volumes stay open and mounted" in removed.stderr, removed.stdout + removed.stderr
    assert in_use(host) == before
    for one in UNITS:
        host.run("systemctl", "is-active", one, ok=(3, 4))
    assert mapping_unit(host) == "ActiveState=active"
    assert written(host) > lines

    install(host, packages[1])
    purged = host.run("dpkg", "--purge", "volward")
    assert in_use(host) == before
    written(host)
    host.run("test", "!", "-e", "/usr/bin/volward")
    for path in KEPT:
        host.run("test", "-e", path)
    for line in (CREDENTIAL, "/etc/volward", "/var/lib/volward/pins", MAPPING_UNIT):
        assert f"  {line}\n" in purged.stdout, purged.stdout
    for path in GONE:
        host.run("test", "!", "-e", path, "-a", "!", "-L", path)

    # What was kept is enough to go on with.
    host.run("systemctl", "stop", "writer")
    content = host.get(LOG)
    install(host, packages[1])
    host.run("/usr/bin/volward", "close", "data")
    assert "key: credential" in host.run("/usr/bin/volward", "open", "data").stdout
    assert host.get(LOG) == content
    host.run("/usr/bin/volward", "system", "install")
    assert host.run("systemctl", "is-enabled", *UNITS).stdout.split() == ["enabled"] * len(UNITS)


@pytest.mark.full
@pytest.mark.lab
def test_a_database_under_load_notices_no_upgrade(host: Host, packages: tuple[Package, Package]) -> None:
    host.run("rm", "/usr/local/bin/volward")
    install(host, packages[0], dependencies=True)
    host.put("/etc/volward/volward.toml", DATABASE.format(device=host.disk("DEB-4", 512 * MIB).link))
    host.run("/usr/bin/volward", "apply", "--yes", "pg", "--no-recovery", timeout=600)
    host.run("systemctl", "start", "volward.service", timeout=300)
    load = Load(host)
    before = load.in_use()
    for package in (packages[1], packages[1], packages[0]):  # a newer one, the same once more, and back
        daemon = main_process(host)
        install(host, package)
        assert main_process(host) not in (daemon, "0")
        load.goes_on()
        assert load.in_use() == before
    load.end()
    assert "1 volume: 1 open." in host.run("/usr/bin/volward", "status", "--live").stdout


@pytest.mark.full
@pytest.mark.lab
def test_a_volume_that_is_worked_on_holds_a_removal_off(host: Host, packages: tuple[Package, Package]) -> None:
    prepare(host, packages, "DEB-2")
    host.run("systemd-run", "--quiet", "--unit=holder", "flock", "/run/volward/lock/data", "sleep", "300")
    host.sh("until ! flock --nonblock /run/volward/lock/data true; do sleep 0.1; done")
    refused = host.run("dpkg", "--remove", "volward", ok=(1,))
    assert "volward is at work on data" in refused.stderr
    assert "volward, version" in host.run("/usr/bin/volward", "--version").stdout
    host.run("systemctl", "stop", "holder")
    host.run("dpkg", "--remove", "volward")


@pytest.mark.full
@pytest.mark.lab
def test_a_boot_opens_the_volume_by_the_units_of_the_package(host: Host, packages: tuple[Package, Package]) -> None:
    prepare(host, packages, "DEB-3")
    host.sh(f"echo kept >{MOUNT_POINT}/canary; sync")
    host.reboot()
    host.wait_until_booted()
    assert host.get(f"{MOUNT_POINT}/canary") == b"kept\n"


@pytest.mark.full
@pytest.mark.lab
def test_the_same_sources_give_the_same_package(packages: tuple[Package, Package], tmp_path: Path) -> None:
    assert deb.again(tmp_path).read_bytes() == packages[0].path.read_bytes()
