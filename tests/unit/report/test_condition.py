"""The state word of a volume, its reasons, and whether `status --check` is content."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit import builders
from tests.unit.report.volumes import CUT, WHOLE, volume

from volward.logins import LoginLife
from volward.model import (
    CopyState,
    Mapping,
    MappingState,
    MountPointState,
    MountUnitState,
    Observation,
    Presence,
)
from volward.openings import Opening
from volward.report import condition
from volward.report.state import State
from volward.report.volume import SeenVolume

SEEN = builders.PERFECT
CLOSED = builders.AT_BOOT
GONE = replace(CLOSED, device=None, device_presence=Presence.ABSENT, device_error="The link is gone.", header=None)
NO_HEADER = replace(CLOSED, header=None, header_presence=Presence.ABSENT)


def _mapped(state: MappingState) -> Observation:
    return replace(SEEN, mapping=Mapping("volward-pgdata", state, Path("/dev/dm-0"), "253:0", detail="Why."))


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (SEEN, State.OK),
        (CLOSED, State.CLOSED),
        (replace(SEEN, mount=None, mount_point=MountPointState.SEALED), State.UNMOUNTED),
        (replace(SEEN, mount=replace(builders.MOUNT, number="8:1", source="/dev/sda1")), State.UNMOUNTED),
        (GONE, State.ABSENT),
        (replace(GONE, device_presence=Presence.UNKNOWN), State.UNKNOWN),
        (builders.BLANK, State.NEW),
        (replace(NO_HEADER, unfinished=builders.unfinished(("pin",), "format")), State.NEW),
        (NO_HEADER, State.DAMAGED),
        (replace(NO_HEADER, header_presence=Presence.PRESENT, header_error="It is damaged."), State.DAMAGED),
        (replace(NO_HEADER, header_presence=Presence.PRESENT, header_error="It has a LUKS1 header."), State.FOREIGN),
        (replace(NO_HEADER, header_presence=Presence.UNKNOWN, header_error="Read error."), State.UNKNOWN),
        (replace(CLOSED, header=replace(builders.HEADER, uuid=builders.OTHER_UUID)), State.FOREIGN),
        (replace(CLOSED, pin=None), State.FOREIGN),
        (_mapped(MappingState.SUSPENDED), State.SUSPENDED),
        (_mapped(MappingState.ZOMBIE), State.ZOMBIE),
        (_mapped(MappingState.FOREIGN), State.FOREIGN),
        (_mapped(MappingState.UNKNOWN), State.UNKNOWN),
    ],
)
def test_state(seen: Observation, state: State) -> None:
    judged = condition.judge(volume(seen))
    assert judged.state is state
    assert all(remark.what and remark.resolution for remark in judged.remarks)


def test_a_whole_volume_has_nothing_to_see_to() -> None:
    judged = condition.judge(WHOLE)
    assert judged.remarks == ()
    assert condition.is_fine(WHOLE, judged)


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (replace(SEEN, header=replace(builders.HEADER, secondary=CopyState.DAMAGED)), "secondary damaged"),
        (replace(SEEN, header=replace(builders.HEADER, primary=CopyState.UNKNOWN)), "disk may be failing"),
        (replace(SEEN, header=replace(builders.HEADER, label="other")), "label is other"),
        (replace(SEEN, header=replace(builders.HEADER, label="other")), "until then it cannot be opened"),
        (replace(SEEN, header=replace(builders.HEADER, requirements=("online-reencrypt-v2",))), "re-encryption"),
        (replace(SEEN, header=replace(builders.HEADER, keyslots=())), "No keyslot opens"),
        (replace(SEEN, header=replace(builders.HEADER, tokens=())), "No key of credential"),
        (replace(SEEN, device=replace(builders.DEVICE, identity=builders.OTHER_IDENTITY)), "pinned PG1, found PG2"),
        (replace(SEEN, device=replace(builders.DEVICE, read_only=True)), "/dev/vdb is read-only"),
        (replace(SEEN, same_uuid_elsewhere=("/dev/vdc",)), "/dev/vdc"),
        (replace(SEEN, mount=replace(builders.MOUNT, options=("ro", "noatime"))), "is read-only"),
        (replace(SEEN, mapping_file_system="xfs"), "carries xfs, not ext4"),
        (replace(SEEN, directories_differ=("/srv/volward/pgdata/data is missing",)), "data is missing"),
        (replace(SEEN, mount_unit=MountUnitState.DIFFERENT), "unit files are different"),
        (replace(SEEN, opens_at_boot=False), "The next boot will not open it"),
    ],
)
def test_what_makes_a_volume_in_use_degraded(seen: Observation, says: str) -> None:
    judged = condition.judge(volume(seen))
    assert judged.state is State.DEGRADED
    assert any(says in f"{remark.what} {remark.resolution}" for remark in judged.problems)
    assert not condition.is_fine(volume(seen), judged)


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (replace(WHOLE, operations=(CUT,)), "provision-pgdata-0123abcd was cut in the step format"),
        (replace(WHOLE, operations_error="The journal is damaged."), "The journal is damaged."),
        (replace(WHOLE, pin_error="The pin is damaged."), "The pin is damaged."),
        (
            replace(WHOLE, opening=Opening(1.0, by="tpm2", degraded=("credential: Sealed by another TPM.",))),
            "A key provider failed: credential: Sealed by another TPM.",
        ),
    ],
)
def test_what_history_and_records_say_counts(one: SeenVolume, says: str) -> None:
    judged = condition.judge(one)
    assert judged.state is State.DEGRADED
    assert [remark.what for remark in judged.problems if says in remark.what]


def test_the_last_failure_of_a_closed_volume_is_told() -> None:
    failed = Opening(1.0, code="VW0407", error="No provider could open it.", resolution="Use the recovery key.")
    judged = condition.judge(volume(CLOSED, opening=failed))
    assert judged.state is State.CLOSED
    assert "VW0407" in judged.problems[0].what


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (MountPointState.OCCUPIED, "holds files"),
        (MountPointState.NOT_A_DIRECTORY, "not a directory"),
        (MountPointState.EMPTY, "not sealed"),
        (MountPointState.UNKNOWN, "could not be looked at"),
    ],
)
def test_an_unmounted_mount_point_that_is_not_sealed_is_a_problem(found: MountPointState, says: str) -> None:
    judged = condition.judge(volume(replace(CLOSED, mount_point=found)))
    assert says in judged.problems[0].what


def test_notes_leave_the_state_alone() -> None:
    assert WHOLE.table and WHOLE.space
    noted = replace(
        WHOLE,
        seen=replace(SEEN, recovery_confirmed=False),
        table=replace(WHOLE.table, key_in_keyring=False),
        space=replace(WHOLE.space, used_bytes=99, available_bytes=1),
        table_error="dmsetup is not installed.",
    )
    judged = condition.judge(noted)
    assert judged.state is State.OK
    assert len(judged.notes) == 4
    assert condition.is_fine(noted, judged)


def test_a_volume_that_the_boot_leaves_closed_is_fine() -> None:
    spec = replace(builders.SPEC, open_at_boot=False)
    closed = volume(CLOSED, spec=spec)
    assert condition.is_fine(closed, condition.judge(closed))
    assert not condition.is_fine(volume(CLOSED), condition.judge(volume(CLOSED)))
    damaged = volume(replace(CLOSED, mount_point=MountPointState.OCCUPIED), spec=spec)
    assert not condition.is_fine(damaged, condition.judge(damaged))


def test_a_file_that_was_never_made_is_new_and_not_absent() -> None:
    assert condition.judge(volume(builders.NO_FILE, spec=builders.FILE_SPEC)).state is State.NEW
    lost = replace(builders.NO_FILE, pin=builders.PERFECT.pin)
    assert condition.judge(volume(lost, spec=builders.FILE_SPEC)).state is State.ABSENT


def test_scratch_volumes_go_by_their_marker() -> None:
    scratch = builders.SCRATCH
    assert condition.judge(volume(builders.BLANK, spec=scratch)).state is State.NEW
    assert condition.judge(volume(builders.CLAIMED, spec=scratch)).state is State.CLOSED
    other = replace(builders.CLAIMED, scratch_uuid="")
    assert condition.judge(volume(other, spec=scratch)).state is State.FOREIGN


def test_swap_is_ok_when_it_is_in_use() -> None:
    in_use = replace(builders.CLAIMED, mapping=builders.OPEN, mapping_file_system="swap", swap_active=True)
    assert condition.judge(volume(in_use, spec=builders.SWAP)).state is State.OK
    idle = replace(in_use, swap_active=False)
    assert condition.judge(volume(idle, spec=builders.SWAP)).state is State.UNMOUNTED


@pytest.mark.parametrize(
    ("ends_in", "uses", "said"),
    [
        (3.5 * 24 * 3600, 0, "The login to Vault at https://vault.example ends in 3 days."),
        (-1.0, 0, "The login to Vault at https://vault.example has ended."),
        (None, 1, "The secret id for Vault at https://vault.example has one use left."),
    ],
)
def test_a_login_that_ends_soon_is_told_early(ends_in: float | None, uses: int, said: str) -> None:
    at = 1_700_000_000.0
    life = LoginLife("https://vault.example", at, None if ends_in is None else at + ends_in, uses)
    judged = condition.judge(replace(WHOLE, at=at, login=life))
    assert said in [remark.what for remark in judged.problems]
    assert judged.state is State.DEGRADED


@pytest.mark.parametrize("life", [None, LoginLife("https://v", 0.0), LoginLife("https://v", 0.0, 1e12, 2)])
def test_a_login_that_lasts_is_no_problem(life: LoginLife | None) -> None:
    assert not [one for one in condition.judge(replace(WHOLE, at=1.7e9, login=life)).problems if "Vault" in one.what]
