"""The lab's own promises: what every other test on a real kernel takes for granted."""

from __future__ import annotations

import base64

import pytest
from tests.lab import host as host_module
from tests.lab import install_tools
from tests.lab.host import MIB, Host
from tests.lab.install_tools import Source
from tests.lab.ssh import CommandError

CANARY = b"canary-5d0c2f61-of-the-lab"
# Never typed as one literal in a command: the command line of the guest's shell would hold it.
SECRET = bytes(range(7, 71))


def test_each_host_is_fresh(host: Host) -> None:
    assert host.run("cat", "/root/left-behind", ok=(1,)).stdout == ""
    host.put("/root/left-behind", "by the first of two hosts")


def test_each_host_is_fresh_again(host: Host) -> None:
    host.run("test", "!", "-e", "/root/left-behind")


def test_a_command_that_fails_says_everything(host: Host) -> None:
    with pytest.raises(CommandError) as caught:
        host.sh("echo to-stdout; echo to-stderr >&2; exit 7")
    assert caught.value.result.status == 7
    assert "to-stdout" in str(caught.value)
    assert "to-stderr" in str(caught.value)


def test_arguments_and_input_arrive_unchanged(host: Host) -> None:
    awkward = "a 'quoted' $word; with * \\ and\nnewline"
    assert host.run("printf", "%s", awkward).stdout == awkward
    assert host.run("cat", input=bytes(range(256))).stdout_bytes == bytes(range(256))


@pytest.mark.parametrize("bus", ["virtio", "scsi"])
def test_a_disk_has_its_serial_number(host: Host, bus: str) -> None:
    disk = host.disk("SERIAL-0001", 64 * MIB, bus=bus)
    found = host.run("lsblk", "--nodeps", "--noheadings", "--bytes", "-o", "SERIAL,SIZE", disk.path_in_guest)
    assert found.stdout.split() == ["SERIAL-0001", str(64 * MIB)]
    host.run("cmp", "--bytes", str(64 * MIB), disk.link, "/dev/zero")


@pytest.mark.parametrize("bus", ["virtio", "scsi"])
def test_a_disk_comes_back_as_another(host: Host, bus: str) -> None:
    disk = host.disk("OLD", 64 * MIB, bus=bus)
    old = disk.link
    host.sh('printf written | dd of="$1" conv=fsync status=none', disk.link)
    disk.replug(serial="NEW")
    assert disk.link != old
    host.run("test", "!", "-e", old)
    assert host.run("head", "--bytes=7", disk.link).stdout == "written"


def test_a_power_cut_loses_what_was_not_written(host: Host) -> None:
    disk = host.disk("CUT", 64 * MIB)
    host.sh('mkfs.ext4 -q "$1"; mount "$1" /mnt; echo kept >/mnt/kept; sync', disk.link)
    host.sh("echo lost >/mnt/lost")
    host.power_cut()
    host.power_on(cold=False)
    host.run("mount", disk.link, "/mnt")
    assert host.run("ls", "/mnt").stdout.split() == ["kept", "lost+found"]


@pytest.mark.full
def test_a_cold_boot_keeps_root_disk_and_data_disks(host: Host) -> None:
    disk = host.disk("COLD", 64 * MIB)
    host.sh("echo kept >/root/kept; sync; echo lost >/root/lost")
    host.power_cut()
    host.power_on()
    assert host.run("cat", "/root/kept").stdout == "kept\n"
    host.run("test", "!", "-e", "/root/lost")
    host.run("test", "-b", disk.link)


@pytest.mark.full
def test_a_reboot_is_orderly(host: Host) -> None:
    disk = host.disk("REBOOT", 64 * MIB)
    at_boot = host.tpm.read(7)
    host.tpm.extend(7)
    assert host.tpm.read(7) != at_boot
    before = host.boot_id()
    host.sh("echo not-synced-by-hand >/root/kept")
    host.reboot()
    assert host.boot_id() != before
    assert host.run("cat", "/root/kept").stdout == "not-synced-by-hand\n"
    assert host.tpm.read(7) == at_boot
    host.run("test", "-b", disk.link)
    assert host.wait_until_booted() == "running"


def test_state_outlives_a_cut_and_a_restore(host: Host) -> None:
    host.state_disk()
    host.put("/etc/volward/volward.toml", "kept")
    unit = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
    host.put("/etc/systemd/system/kept.service", unit)
    host.run("sync")
    host.put("/var/lib/volward/lost", "never written")
    host.power_cut()
    host.power_on(cold=False)
    assert host.get("/etc/volward/volward.toml") == b"kept"
    host.run("systemctl", "start", "kept.service")
    host.run("test", "!", "-e", "/var/lib/volward/lost")


def test_a_tpm_opens_a_luks_volume_until_a_pcr_changes(host: Host) -> None:
    disk = host.disk("LUKS", 64 * MIB)
    host.put("/run/key", "unlocking key", mode=0o600)
    fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    host.run("cryptsetup", "luksFormat", "-q", *fast, "--key-file", "/run/key", disk.link)
    enrol = ["--unlock-key-file=/run/key", "--tpm2-device=auto", "--tpm2-pcrs=7"]
    host.run("systemd-cryptenroll", *enrol, disk.link)
    attach = ["/usr/bin/systemd-cryptsetup", "attach", "lab", disk.link, "-", "tpm2-device=auto,headless=1"]
    host.run(*attach)
    host.sh("dd of=/dev/mapper/lab conv=fsync status=none", input=CANARY)
    host.run("/usr/bin/systemd-cryptsetup", "detach", "lab")
    assert not disk.contains(CANARY)
    host.tpm.extend(7)
    assert host.run(*attach, ok=None).status != 0


def test_what_the_tpm_sealed_opens_in_the_next_restored_host(host: Host) -> None:
    host.state_disk()
    sealed = "/etc/credstore.encrypted/lab"
    host.sh(f"printf sealed | systemd-creds encrypt --with-key=host+tpm2 --name=lab - {sealed}; sync")
    host.power_cut()
    host.power_on(cold=False)
    assert host.run("systemd-creds", "decrypt", "--name=lab", sealed, "-").stdout == "sealed"


def test_a_warm_start_is_the_program(host: Host) -> None:
    """`host.volward` says what the program says that was started from nothing, with what it got from its caller."""
    host.put("/etc/volward/volward.toml", "[volumes.data]\nnothing = 1\n")
    for words in (("--version",), ("check",), ("explain", "VW0101"), ("explain", "VW9999"), ("no-such-command",)):
        warm, cold = (host.run(*start, *words, ok=None) for start in (host_module.WARM, ("volward",)))
        assert (warm.status, warm.stdout, warm.stderr) == (cold.status, cold.stdout, cold.stderr)
    host.sh("mkdir -p /root/elsewhere; cp /etc/volward/volward.toml /root/elsewhere")
    client = " ".join(host_module.WARM)
    host.sh(f"cd /root; umask 027; {client} --config elsewhere check 2>err || true; {client} explain VW0101 | grep VW")
    assert "elsewhere/volward.toml" in host.get("/root/err").decode()


def test_the_canary_scan_finds_a_canary(host: Host) -> None:
    disk = host.disk("CANARY", 64 * MIB)
    empty = disk.sha256()
    assert not disk.contains(CANARY)
    # Across a border of the pieces in which the image is read.
    at = 4 * MIB - len(CANARY) // 2
    host.sh('dd of="$1" bs=1 seek="$2" conv=notrunc status=none', disk.link, str(at), input=CANARY)
    assert disk.find(CANARY) == at
    assert disk.sha256() != empty


ENCODINGS = {
    "raw": SECRET,
    "hex": SECRET.hex().encode(),
    "HEX": SECRET.hex().upper().encode(),
    "base64+0": base64.b64encode(SECRET),
    "base64+2": base64.b64encode(b"k=" + SECRET + b";"),
    "base64url+1": base64.urlsafe_b64encode(b"{" + SECRET + b"}"),
}


def test_the_secrets_scan_finds_each_encoding(host: Host) -> None:
    assert host.secrets_scan([b"another secret", SECRET]) == []
    for encoding, text in ENCODINGS.items():
        host.put(f"/var/lib/volward/deep/{encoding}", b"before " + text + b" after")
    found = host.secrets_scan([b"another secret", SECRET])
    assert {(hit.place, hit.encoding) for hit in found} >= {
        (f"/var/lib/volward/deep/{encoding}", encoding) for encoding in ENCODINGS
    }
    assert {hit.place.rpartition("/")[2] for hit in found} == set(ENCODINGS)
    assert {hit.secret for hit in found} == {1}


def test_the_secrets_scan_looks_at_processes_journal_and_core_dumps(host: Host) -> None:
    word = SECRET.hex()
    # The shells that start them get the word on their standard input.
    host.sh("word=$(cat); setsid perl -e 'sleep 600' \"$word\" >/dev/null 2>&1 &", input=word)
    host.sh("SECRET=$(cat) setsid sleep 600 >/dev/null 2>&1 &", input=word)
    host.sh("logger --id --tag leak", input=word)
    host.sh("mkdir -p /root/cores; sysctl -qw kernel.core_pattern=/root/cores/core; cat >/run/word", input=word)
    core = 'word = open("/run/word").read(); import os; os.abort()'
    host.sh('ulimit -c unlimited; python3 -c "$1" || true', core)
    places = " ".join(hit.place for hit in host.secrets_scan([SECRET], also=["/root/cores"]))
    assert "cmdline (perl)" in places
    assert "environ (sleep)" in places
    assert "journal" in places
    assert "/root/cores/core" in places


ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://one.example/debian bookworm main contrib
deb-src http://source.example/debian bookworm-backports main
"""
DEB822 = """
Types: deb
URIs: http://two.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/b.gpg

Types: deb
URIs: http://security.example/debian
Suites: bookworm-security
Components: main
"""


def test_apt_sources_are_read_in_both_formats() -> None:
    one = Source("http://one.example/debian", "/usr/share/keyrings/a.gpg")
    two = Source("http://two.example/debian", "/usr/share/keyrings/b.gpg")
    assert install_tools.source_of("bookworm", [ONE_LINE]) == one
    assert install_tools.source_of("bookworm", [DEB822]) == two
    assert install_tools.source_of("bookworm-security", [ONE_LINE, DEB822]) == Source(
        "http://security.example/debian", ""
    )
    assert install_tools.source_of("bookworm-backports", [ONE_LINE, DEB822]) is None
