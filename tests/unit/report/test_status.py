"""Status as text: the table, what stands below it, and the full view of one volume."""

from dataclasses import replace

import pytest
from tests.unit import builders
from tests.unit.report.volumes import CUT, WHOLE, volume

from volward.header_backup.freshness import BackupState, Freshness
from volward.model import CopyState, Keyslot, MountPointState, MountUnitState, Presence, Token
from volward.openings import Opening
from volward.report import amount, condition, detail, keyslots, status
from volward.report.state import State
from volward.report.volume import SeenVolume

GONE = replace(
    builders.AT_BOOT, device=None, device_presence=Presence.ABSENT, device_error="The link is gone.", header=None,
    header_presence=Presence.UNKNOWN,
)  # fmt: skip


def _row(one: SeenVolume) -> tuple[str, ...]:
    return status.row(one, condition.judge(one))


def _full(one: SeenVolume) -> str:
    return "\n".join(detail.lines(one, condition.judge(one)))


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1 KiB"),
        (512, "512 bytes"),
        (1536, "1.5 KiB"),
        (2 * 1024**3, "2 GiB"),
        (10**15, "909 TiB"),
    ],
)
def test_sizes_have_three_digits_at_most(size_bytes: int, text: str) -> None:
    assert amount.size(size_bytes) == text


def test_rows() -> None:
    assert _row(WHOLE) == ("pgdata", "ok", "vdb PG1", "16 % of 2 GiB", "/srv/volward/pgdata", "credential, recovery")
    assert _row(volume(builders.AT_BOOT))[1:4] == ("closed", "vdb PG1", "- of 2 GiB")
    assert _row(volume(GONE)) == ("pgdata", "absent", "absent", "-", "/srv/volward/pgdata", "unknown")
    unreadable = replace(GONE, device_presence=Presence.UNKNOWN)
    assert _row(volume(unreadable))[2] == "unknown"
    assert _row(replace(WHOLE, space=None))[3] == "unknown"
    assert _row(volume(builders.CLAIMED, spec=builders.SWAP))[4:] == ("(swap)", "random")
    file = replace(builders.AT_BOOT, device=replace(builders.DEVICE, node=builders.FILE_SPEC.device))
    assert _row(volume(file, spec=builders.FILE_SPEC))[2] == "file pgdata.img"


def test_rows_fit_a_terminal_of_100_columns() -> None:
    widths = [max(len(a), len(b)) for a, b in zip(status.HEADINGS, _row(WHOLE), strict=True)]
    assert sum(widths) + 2 * len(widths) <= 100


def test_below_the_table_stand_problems_then_notes_once_then_the_sum() -> None:
    unconfirmed = replace(builders.PERFECT, recovery_confirmed=False)
    other = volume(unconfirmed, spec=replace(builders.SPEC, name="redis"))
    mine = volume(replace(unconfirmed, mount_unit=MountUnitState.ABSENT))
    judged = [(one, condition.judge(one)) for one in (mine, other)]
    lines = list(status.below(judged))
    assert lines[1] == "pgdata is degraded:"
    assert lines[2].startswith("  ! The unit files are absent")
    assert lines.count("  - It has no confirmed recovery key.") == 1
    assert "pgdata, redis:" in lines
    assert "    `volward recovery enrol VOLUME` makes one." in lines
    assert lines[-1] == "2 volumes: 2 degraded."  # redis: its label and pin are of pgdata


def test_the_sum_begins_with_what_is_well() -> None:
    judged = [condition.judge(one) for one in (volume(GONE), WHOLE, volume(builders.AT_BOOT))]
    assert status.summary(judged) == "3 volumes: 1 ok, 1 closed, 1 absent."
    assert status.summary([]) == "No volume is configured."


def test_every_state_has_a_style() -> None:
    assert set(status.STYLES) == set(State)


def test_the_full_view_has_every_layer() -> None:
    text = _full(WHOLE)
    for part in (
        "/dev/disk/by-id/virtio-PG1 is /dev/vdb (252:16)",
        "disk, 2 GiB, serial PG1, WWN 0x5000c500a1b2c3d4",
        "sectors 4096 physical, 512 logical, unknown whether rotational",
        "the device is the one pinned",
        "primary copy valid, secondary copy valid, sequence 4",
        "aes-xts-plain64, 512-bit key, 4096-byte sectors, data at 16 MiB",
        "0  pbkdf2, 1000 iterations, 512-bit key: credential (token 0)",
        "512-bit key in the kernel's keyring",
        "active flags sector_size:4096",
        "300 MiB of 2 GiB used (16 %), 1.6 GiB free, 1200 of 131072 inodes",
        "10 reads (40 KiB), 3 writes (12 KiB)",
        "postgresql@17-main.service running",
        "by credential",
        "none unfinished",
    ):
        assert part in text, text


def test_what_could_not_be_read_is_unknown_and_not_left_out() -> None:
    text = _full(
        replace(
            WHOLE,
            seen=replace(builders.PERFECT, pin=None, recovery_confirmed=False),
            pin_error="The pin cannot be read.",
            table=None,
            table_error="dmsetup is missing.",
            io=None,
            space=None,
            operations_error="The journal cannot be read.",
            opening=None,
        )
    )
    for line in ("pinned      unknown", "cipher and flags unknown", "space unknown", "i/o         unknown",
                 "operations  unknown", "opened      unknown by what"):  # fmt: skip
        assert f"  {line}" in text or line in text, text


def test_the_full_view_of_a_device_that_is_not_there() -> None:
    text = _full(volume(GONE))
    assert "/dev/disk/by-id/virtio-PG1: absent" in text
    assert "not compared" in text
    assert "header      unknown" in text
    assert "mapping     closed" in text
    assert "not mounted (sealed)" in text


def test_a_header_with_strangers() -> None:
    header = replace(
        builders.HEADER,
        primary=CopyState.STALE,
        keyslots=(
            Keyslot(0, "argon2id", 4, 262144, 4, 512, 2),
            Keyslot(1, "pbkdf2", 1000, 0, 0, 512, 0),
            Keyslot(2, "reencrypt", 0, 0, 0, 0, 0, opens_data=False),
            Keyslot(3, "pbkdf2", 1000, 0, 0, 512, 1),
        ),
        tokens=(
            Token(0, "systemd-tpm2", (1,)),
            Token(1, "clevis", (0,)),
            Token(2, "volward", (0,), {"volward": {"provider": "recovery"}}),
        ),
        flags=("allow-discards",),
    )
    text = _full(volume(replace(builders.PERFECT, header=header)))
    assert (
        "0  argon2id, 4 iterations, 256 MiB, 4 lanes, 512-bit key, preferred: clevis (token 1), recovery (not" in text
    )
    assert "1  pbkdf2, 1000 iterations, 512-bit key, ignored unless named: tpm2 (token 0)" in text
    assert "2  working area of a re-encryption" in text
    assert "3  pbkdf2, 1000 iterations, 512-bit key: no token names it" in text
    assert "1  clevis (not volward's): keyslots 0" in text
    assert "no confirmed recovery key" in text
    assert "flags allow-discards" in text
    assert keyslots.kinds(header) == ("tpm2", "clevis", "recovery (not confirmed)", "no token")


def test_other_mounts_swap_failures_and_cut_operations() -> None:
    foreign = replace(builders.PERFECT, mount=replace(builders.MOUNT, number="8:1", source="/dev/sda1"))
    assert "from /dev/sda1, not this volume" in _full(volume(foreign))
    swap = replace(builders.CLAIMED, mapping=builders.OPEN, mapping_file_system="swap", swap_active=True)
    assert "swap, in use" in _full(volume(swap, spec=builders.SWAP))
    assert "scratch marker" in _full(volume(swap, spec=builders.SWAP))
    failed = Opening(1.0, code="VW0407", error="No provider.", resolution="Use the recovery key.")
    assert "not: VW0407" in _full(volume(builders.AT_BOOT, opening=failed))
    assert "provision-pgdata-0123abcd, 1 step done" in _full(replace(WHOLE, operations=(CUT,)))
    unseen = replace(builders.AT_BOOT, mount_point=MountPointState.UNKNOWN)
    assert "not mounted (could not be looked at)" in _full(volume(unseen))


def test_a_time_that_there_is_not_hides_nothing_else() -> None:
    """A server's answer, or a file in /run, is no reason to show nothing."""
    assert WHOLE.opening
    backup = BackupState(Freshness.STALE, created_at=10**30)
    text = _full(replace(WHOLE, header_backup=backup, opening=replace(WHOLE.opening, at=float("inf"))))
    assert "backup stale (at no time that there is)" in text
    assert "at no time that there is by credential" in text
