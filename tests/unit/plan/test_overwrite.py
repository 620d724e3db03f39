"""What --overwrite allows, what it does not, and what is left when the wipe is cut."""

from dataclasses import replace

import pytest
from tests.unit.builders import (
    BEFORE_FORMAT,
    BLANK,
    CLAIMED,
    DEVICE,
    FILE_SPEC,
    HEADER,
    IDENTITY,
    NO_FILE,
    OTHER_UUID,
    PERFECT,
    SCRATCH,
    SPEC,
    TO_FORMAT,
    UUID,
    unfinished,
)

from volward.errors import DeviceBusyError, DeviceUnknownError, NotBlankError, VolwardError
from volward.model import BlankProbe, Finding, Goal, Header, Observation, Pin, Plan, Presence, Step, VolumeSpec
from volward.plan import as_if_blank, plan_scratch, plan_volume, with_wipe

FOUND = (Finding("GPT partition table", 512), Finding("ext4 file system", 1080))
USED = replace(BLANK, probe=BlankProbe(Presence.PRESENT, FOUND))
PINNED = Pin(IDENTITY, UUID)
CUT_IN_WIPE = replace(USED, pin=PINNED, unfinished=unfinished(BEFORE_FORMAT, str(Step.WIPE)))


def overwriting(seen: Observation, spec: VolumeSpec = SPEC) -> Plan:
    if spec.providers:
        plan = plan_volume(spec, as_if_blank(spec, seen), Goal.PROVISION, can_hand_over_recovery=False)
    else:
        plan = plan_scratch(spec, as_if_blank(spec, seen), Goal.PROVISION)
    return with_wipe(spec, seen, plan)


def test_the_wipe_comes_right_before_the_format_and_says_what_it_destroys() -> None:
    plan = overwriting(USED)
    steps = [action.step for action in plan.actions]
    wipe = plan.actions[steps.index(Step.WIPE)]
    assert steps[:4] == [Step.CREATE_KEY, Step.PIN, Step.WIPE, Step.FORMAT]
    assert wipe.destructive
    assert "GPT partition table at byte 512, ext4 file system at byte 1080" in wipe.what
    assert "blank once it is wiped" in plan.actions[steps.index(Step.FORMAT)].reason


def test_a_scratch_device_is_wiped_before_it_is_claimed() -> None:
    steps = [action.step for action in overwriting(USED, SCRATCH).actions]
    assert steps.index(Step.WIPE) == steps.index(Step.CLAIM_SCRATCH) - 1


@pytest.mark.parametrize("seen", [BLANK, NO_FILE])
def test_what_is_blank_needs_no_wipe(seen: Observation) -> None:
    spec = FILE_SPEC if seen is NO_FILE else SPEC
    plan = overwriting(seen, spec)
    assert plan == plan_volume(spec, seen, Goal.PROVISION, can_hand_over_recovery=False)


def test_somebody_elses_luks_volume_may_be_given_up() -> None:
    foreign = replace(
        USED, header=replace(HEADER, uuid=OTHER_UUID, label="theirs"), header_presence=Presence.PRESENT
    )  # fmt: skip
    assert Step.WIPE in [action.step for action in overwriting(foreign).actions]


def test_partitions_are_content_and_what_holds_them_is_use() -> None:
    device = replace(DEVICE, holders=("vdb1",), partitions=("vdb1",))
    with pytest.raises(NotBlankError, match=r"it has partitions \(vdb1\)") as refused:
        plan_volume(SPEC, replace(USED, device=device), Goal.PROVISION, can_hand_over_recovery=False)
    assert "--overwrite pgdata" in refused.value.resolution
    assert Step.WIPE in [action.step for action in overwriting(replace(USED, device=device)).actions]
    held = replace(device, holders=("md0", "vdb1"))
    with pytest.raises(DeviceBusyError, match="held by md0"):
        overwriting(replace(USED, device=held))


def test_the_volume_itself_is_never_wiped() -> None:
    seen = replace(PERFECT, probe=BlankProbe(Presence.PRESENT, (Finding("LUKS2 header (primary)", 0),)))
    plan = overwriting(seen)
    assert plan.actions == ()
    assert "--overwrite means nothing here" in plan.warnings[-1]


def test_a_volume_whose_header_is_lost_is_not_given_up_by_overwrite() -> None:
    lost = replace(USED, pin=PINNED)
    with pytest.raises(VolwardError, match="header cannot be read"):
        overwriting(lost)


def test_a_claimed_scratch_device_is_not_wiped() -> None:
    plan = overwriting(replace(CLAIMED, probe=BlankProbe(Presence.PRESENT, FOUND)), SCRATCH)
    assert not any(action.step is Step.WIPE for action in plan.actions)
    assert plan.warnings


@pytest.mark.parametrize(
    ("seen", "error"),
    [
        (replace(USED, probe=BlankProbe(Presence.UNKNOWN, (Finding("read error", 4096),))), DeviceUnknownError),
        (replace(USED, device=replace(DEVICE, holders=("md0",))), DeviceBusyError),
        (replace(USED, device=replace(DEVICE, swap=True)), DeviceBusyError),
    ],
)
def test_the_typed_identity_stands_in_for_the_blank_proof_alone(seen: Observation, error: type[VolwardError]) -> None:
    with pytest.raises(error):
        overwriting(seen)


@pytest.mark.parametrize(
    "header", [None, replace(HEADER, uuid=OTHER_UUID, label="theirs")], ids=["no header", "a header of others"]
)
def test_a_wipe_that_was_cut_is_gone_on_with_only_when_it_is_said_again(header: Header | None) -> None:
    presence = Presence.PRESENT if header else Presence.ABSENT
    seen = replace(CUT_IN_WIPE, header=header, header_presence=presence)
    with pytest.raises(NotBlankError, match="GPT") as refused:
        plan_volume(SPEC, seen, Goal.PROVISION, can_hand_over_recovery=False)
    assert "--overwrite pgdata" in refused.value.resolution
    assert Step.WIPE in [action.step for action in overwriting(seen).actions]


def test_a_wipe_that_was_cut_at_its_end_needs_nothing_more() -> None:
    seen = replace(CUT_IN_WIPE, probe=BlankProbe(Presence.ABSENT))
    plan = plan_volume(SPEC, seen, Goal.PROVISION, can_hand_over_recovery=False)
    assert Step.FORMAT in [action.step for action in plan.actions]


def test_after_the_format_the_device_is_the_volume() -> None:
    seen = replace(USED, pin=PINNED, unfinished=unfinished(TO_FORMAT), header=HEADER, header_presence=Presence.PRESENT)
    assert not any(action.step is Step.WIPE for action in overwriting(seen).actions)
