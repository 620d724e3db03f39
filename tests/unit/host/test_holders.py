import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.host.fake_host import FakeHost

from volward.host import holders

ID = "ab" * 32


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    fake = FakeHost(tmp_path)
    namespace(fake, 1, "mnt:[1]")
    return fake


@pytest.fixture
def number(tmp_path: Path) -> str:
    """The number of the file system that the fake files lie on: magic links are followed for real."""
    device = tmp_path.stat().st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def namespace(host: FakeHost, pid: int, name: str) -> Path:
    directory = host.proc / str(pid)
    (directory / "ns").mkdir(parents=True)
    (directory / "ns/mnt").symlink_to(name)
    (directory / "fd").mkdir()
    return directory


def test_uses_of_a_process_are_named_with_its_unit(host: FakeHost, number: str, tmp_path: Path) -> None:
    directory = namespace(host, 50, "mnt:[1]")
    (directory / "cwd").symlink_to(tmp_path)
    (directory / "exe").symlink_to("/proc/version")
    for index in range(5):
        (tmp_path / f"f{index}").touch()
        (directory / f"fd/{index}").symlink_to(tmp_path / f"f{index}")
    (directory / "comm").write_text("postgres\n")
    (directory / "cmdline").write_text("postgres\0-D\0/srv/pg\0")
    (directory / "cgroup").write_text("0::/system.slice/system-postgresql.slice/postgresql@17-main.service\n")
    found = holders.holding(number, proc=host.proc, sysfs=host.sysfs)
    (one,) = found.processes
    assert (one.pid, one.name, one.command_line) == (50, "postgres", "postgres -D /srv/pg")
    assert one.how.startswith("working directory, file ") and one.how.endswith("2 more files")
    assert (one.unit, one.container) == ("postgresql@17-main.service", "")
    assert found.not_inspected == 0 and not found.nobody


def test_mapped_file_counts_although_no_descriptor_is_open(host: FakeHost) -> None:
    directory = namespace(host, 51, "mnt:[1]")
    (directory / "maps").write_text(
        "7f00-7f01 r--s 00000000 fd:03 12 /srv/pg/my file\n"
        "7f02-7f03 r--p 00000000 08:01 13 /usr/lib/x\n"
        "7f04-7f05 rw-p 00000000 00:00 0\n"
    )
    (one,) = holders.holding("253:3", proc=host.proc, sysfs=host.sysfs).processes
    assert one.how == "file /srv/pg/my file"


@pytest.mark.parametrize(
    "group", [f"/system.slice/docker-{ID}.scope", f"/docker/{ID}", f"/machine/libpod-{ID}.scope/x"]
)
def test_a_containers_namespace_holds_the_mount(host: FakeHost, group: str) -> None:
    for pid in (60, 61):
        directory = namespace(host, pid, "mnt:[2]")
        (directory / "cgroup").write_text(f"0::{group}\n")
        host.mountinfo("90 25 253:3 /data /var/lib/redis rw - ext4 /dev/mapper/volward-r rw", process=str(pid))
    namespace(host, 62, "mnt:[3]")
    host.mountinfo(process="62")
    (one,) = holders.holding("253:3", proc=host.proc, sysfs=host.sysfs).processes
    assert (one.pid, one.how, one.container) == (60, "mount namespace (2 processes)", ID)


@pytest.mark.parametrize(
    ("in_namespace", "holds"),
    [
        (["50 40 253:3 / /srv/pg rw shared:118 master:88 - ext4 /dev/mapper/volward-pg rw"], False),
        (["50 40 253:3 / /srv/pg rw shared:88 - ext4 /dev/mapper/volward-pg rw"], False),
        (["50 40 253:3 / /srv/pg rw - ext4 /dev/mapper/volward-pg rw"], True),
        (["50 40 253:3 / /data rw master:88 - ext4 /dev/mapper/volward-pg rw"], True),
        (["50 40 253:3 /a /srv/pg rw master:88 - ext4 /dev/mapper/volward-pg rw"], True),
        (["50 40 253:3 / /srv/pg rw master:77 - ext4 /dev/mapper/volward-pg rw"], True),
        (
            [
                "50 40 253:3 / /srv/pg rw master:88 - ext4 /dev/mapper/volward-pg rw",
                "51 50 253:3 /redis /srv/pg/redis rw master:88 - ext4 /dev/mapper/volward-pg rw",
            ],
            True,
        ),
    ],
    ids=["slave", "peer", "private", "elsewhere", "part of it", "other group", "something mounted on it"],
)
def test_a_copy_that_goes_with_the_hosts_mount_holds_nothing(
    host: FakeHost, in_namespace: list[str], holds: bool
) -> None:
    host.mountinfo("90 25 253:3 / /srv/pg rw shared:88 - ext4 /dev/mapper/volward-pg rw")
    directory = namespace(host, 63, "mnt:[4]")
    (directory / "comm").write_text("systemd-logind\n")
    host.mountinfo(*in_namespace, process="63")
    assert holders.holding("253:3", proc=host.proc, sysfs=host.sysfs).nobody is not holds


def test_a_copy_that_stayed_after_the_unmount_holds(host: FakeHost) -> None:
    namespace(host, 63, "mnt:[4]")
    host.mountinfo("50 40 253:3 / /srv/pg rw master:88 - ext4 /dev/mapper/volward-pg rw", process="63")
    (one,) = holders.holding("253:3", proc=host.proc, sysfs=host.sysfs).processes
    assert one.pid == 63


def test_a_holder_reads_as_a_line() -> None:
    assert holders.Holder(7, "bash", "bash -l", "working directory").named() == "process 7 (working directory): bash -l"
    redis = holders.Holder(8, "redis", "", "2 files", container=ID, unit="docker.service")
    assert redis.named() == "process 8 (container abababababab, 2 files): redis"
    assert redis.named("cache") == "process 8 (container cache abababababab, 2 files): redis"
    pg = holders.Holder(9, "", "", "file /a", unit="pg.service")
    assert pg.named() == "process 9 (pg.service, file /a): it has ended meanwhile"


def test_the_hosts_own_mount_holds_nothing(host: FakeHost) -> None:
    host.mountinfo("90 25 253:3 / /srv/pg rw - ext4 /dev/mapper/volward-pg rw")
    namespace(host, 70, "mnt:[1]")
    assert holders.holding("253:3", proc=host.proc, sysfs=host.sysfs).nobody


def test_devices_and_mounts_inside_the_mount(host: FakeHost) -> None:
    host.mountinfo(
        "90 25 253:3 / /srv/pg rw - ext4 /dev/mapper/volward-pg rw",
        "91 90 0:40 / /srv/pg/tmp rw - tmpfs tmpfs rw",
        "92 25 0:41 / /srv/pgother rw - tmpfs tmpfs rw",
    )
    mapping = host.block("dm-3", "253:3", dm__uuid="CRYPT-LUKS2-x")
    host.stack(host.block("dm-4", "253:4", dm__uuid="LVM-x"), mapping)
    host.block("loop7", "7:7", loop__backing_file="/srv/pg/image")
    host.block("loop8", "7:8", loop__backing_file="/srv/pgother/image")
    found = holders.holding("253:3", proc=host.proc, sysfs=host.sysfs)
    assert found.devices == ("dm-4", "loop7")
    assert found.mounts_below == (Path("/srv/pg/tmp"),)


def test_processes_that_may_not_be_inspected_are_counted(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace(host, 80, "mnt:[1]")
    real = Path.iterdir

    def iterdir(path: Path) -> object:
        if path == host.proc / "80/fd":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found = holders.holding("253:3", proc=host.proc, sysfs=host.sysfs)
    assert (found.processes, found.not_inspected, found.nobody) == ((), 1, False)


def test_process_that_ends_meanwhile_is_passed_over(host: FakeHost) -> None:
    (host.proc / "90").mkdir()
    directory = namespace(host, 91, "mnt:[2]")
    (directory / "fd/3").symlink_to(host.proc / "gone")
    assert holders.holding("253:3", proc=host.proc, sysfs=host.sysfs).nobody


def test_a_real_process(tmp_path: Path, number: str) -> None:
    file = tmp_path / "held"
    file.touch()
    with file.open() as held:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
            cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[held.fileno()],
        )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None
    try:
        child.stdout.readline()
        one = next(one for one in holders.holding(number).processes if one.pid == child.pid)
        assert "working directory" in one.how and "held" in one.how
        assert "sys.stdin.read()" in one.command_line and one.name
    finally:
        child.communicate(b"", timeout=10)
