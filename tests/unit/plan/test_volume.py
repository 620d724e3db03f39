"""The actions of a volume: from every state that a cut can leave, and never over what is not provably ours."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.builders import (
    AT_BOOT,
    BEFORE_FORMAT,
    BLANK,
    CLOSED,
    DEVICE,
    FILE_SPEC,
    FILE_SYSTEM_UUID,
    FRESH_HEADER,
    HEADER,
    IDENTITY,
    MOUNT,
    NO_FILE,
    OPEN,
    OTHER_IDENTITY,
    OTHER_UUID,
    PERFECT,
    SPEC,
    TO_FORMAT,
    TO_OPEN,
    UUID,
    WRITE_TOKEN,
    keyslot,
    token,
    unfinished,
)

from volward.errors import (
    DamagedHeaderError,
    DeviceUnknownError,
    FileSystemError,
    IdentityError,
    MountPointError,
    NotProvisionedError,
    UnfinishedOperationError,
    VolwardError,
)
from volward.model import (
    BlankProbe,
    CopyState,
    Device,
    DeviceClass,
    Finding,
    Goal,
    Identity,
    MappingState,
    MountPointState,
    MountUnitState,
    Observation,
    Pin,
    Plan,
    Presence,
    ProviderKind,
    Step,
    Token,
    VolumeSpec,
)
from volward.plan import plan_volume

PIN = Pin(IDENTITY, UUID)
TPM = replace(SPEC, providers=(ProviderKind.TPM2, ProviderKind.CREDENTIAL, ProviderKind.PROMPT))
FORMATTED = replace(
    BLANK,
    probe=BlankProbe(Presence.PRESENT, (Finding("LUKS2 header (primary)", 0),)),
    header=FRESH_HEADER,
    header_presence=Presence.PRESENT,
    pin=PIN,
    unfinished=unfinished(TO_FORMAT),
)
DESCRIBED = replace(FORMATTED, header=replace(FRESH_HEADER, tokens=(token("credential", 0),)))
OPENED = replace(DESCRIBED, mapping=OPEN, unfinished=unfinished(TO_OPEN))
TAIL = "seal-mount-point write-units mount prepare-store"
NEW = "create-key:credential pin format write-token:credential open make-file-system"


def _plan(spec: VolumeSpec, seen: Observation, goal: Goal = Goal.PROVISION, *, recovery: bool = False) -> Plan:
    return plan_volume(spec, seen, goal, can_hand_over_recovery=recovery)


def _names(plan: Plan) -> str:
    return " ".join(action.name for action in plan.actions)


def test_a_boot_that_would_not_open_it_is_mended() -> None:
    seen = replace(PERFECT, opens_at_boot=False)

    assert [(one.name, one.reason) for one in _plan(SPEC, seen).actions] == [
        ("write-units", "the boot unit is missing or disabled")
    ]
    assert _plan(SPEC, seen, Goal.OPEN).actions == ()


@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("recovery", [True, False])
def test_for_a_perfect_host_there_is_nothing_to_do_and_it_says_why(goal: Goal, recovery: bool) -> None:
    plan = _plan(SPEC, PERFECT, goal, recovery=recovery)

    assert plan == Plan("pgdata", (), plan.nothing_because)
    where = "open as /dev/mapper/volward-pgdata" if goal is Goal.MAP else "open and mounted at /srv/volward/pgdata"
    assert where in plan.nothing_because


@pytest.mark.parametrize(
    ("seen", "names"),
    [
        (AT_BOOT, "open"),
        (replace(AT_BOOT, mount_unit=MountUnitState.ABSENT, mount_point=MountPointState.OCCUPIED), "open"),
        (replace(PERFECT, mapping_file_system="", mount=None, mount_point=MountPointState.SEALED), ""),
    ],
)
def test_a_mapping_alone_needs_neither_mount_point_nor_file_system(seen: Observation, names: str) -> None:
    """It is how a file system is mended that nothing mounts."""
    assert _names(_plan(SPEC, seen, Goal.MAP)) == names


def test_a_mapping_alone_is_not_made_of_what_is_not_provisioned() -> None:
    with pytest.raises(NotProvisionedError, match="without its file system"):
        _plan(SPEC, DESCRIBED, Goal.MAP)


@pytest.mark.parametrize(
    ("spec", "seen", "names"),
    [
        pytest.param(SPEC, BLANK, f"{NEW} {TAIL}", id="blank"),
        pytest.param(FILE_SPEC, NO_FILE, f"create-file {NEW} {TAIL}", id="no file"),
        pytest.param(SPEC, replace(BLANK, unfinished=unfinished(())), f"{NEW} {TAIL}", id="cut before the first step"),
        pytest.param(
            SPEC, replace(BLANK, pin=PIN, unfinished=unfinished(BEFORE_FORMAT)), f"{NEW} {TAIL}", id="cut after pin"
        ),
        pytest.param(
            SPEC,
            replace(FORMATTED, unfinished=unfinished(BEFORE_FORMAT, "format")),
            f"{NEW} {TAIL}",
            id="cut in format",
        ),
        pytest.param(SPEC, FORMATTED, f"write-token:credential open make-file-system {TAIL}", id="cut after format"),
        pytest.param(SPEC, DESCRIBED, f"open make-file-system {TAIL}", id="cut before open"),
        pytest.param(SPEC, OPENED, f"make-file-system {TAIL}", id="killed after open"),
        pytest.param(
            SPEC,
            replace(OPENED, mapping=CLOSED, unfinished=unfinished(TO_OPEN, "make-file-system")),
            f"open make-file-system {TAIL}",
            id="cut in make-file-system",
        ),
        pytest.param(
            SPEC,
            replace(
                OPENED,
                mapping_file_system="ext4",
                mapping_file_system_uuid=FILE_SYSTEM_UUID,
                unfinished=unfinished(TO_OPEN, "make-file-system"),
            ),
            f"make-file-system {TAIL}",
            id="killed in make-file-system",
        ),
        pytest.param(
            SPEC,
            replace(
                OPENED,
                mapping_file_system="ext4",
                mapping_file_system_uuid=FILE_SYSTEM_UUID,
                unfinished=unfinished((*TO_OPEN, "make-file-system")),
            ),
            TAIL,
            id="killed after make-file-system",
        ),
        pytest.param(SPEC, AT_BOOT, "open mount prepare-store", id="closed"),
        pytest.param(SPEC, replace(PERFECT, mount_unit=MountUnitState.DIFFERENT), "write-units", id="other unit"),
        pytest.param(SPEC, replace(PERFECT, directories_differ=("x is missing",)), "prepare-store", id="directories"),
        pytest.param(
            TPM, BLANK, f"{NEW.replace(' open', ' enrol-tpm2:tpm2 enrol-key:prompt open')} {TAIL}", id="all providers"
        ),
        pytest.param(TPM, PERFECT, "enrol-tpm2:tpm2 enrol-key:prompt", id="providers added"),
        pytest.param(
            TPM,
            replace(
                PERFECT,
                header=replace(HEADER, tokens=(*HEADER.tokens, Token(2, "systemd-tpm2", (2,)), token("prompt", 3))),
            ),
            "",
            id="all enrolled",
        ),
        pytest.param(
            replace(SPEC, providers=(ProviderKind.PROMPT, ProviderKind.CREDENTIAL)),
            PERFECT,
            "enrol-key:prompt",
            id="a new first provider gets a key of its own",
        ),
        pytest.param(SPEC, replace(PERFECT, header=FRESH_HEADER), "write-token:credential", id="token lost"),
        pytest.param(
            SPEC,
            replace(PERFECT, header=replace(HEADER, tokens=(token("credential"),))),
            "write-token:credential",
            id="a token without a keyslot describes nothing",
        ),
    ],
)
def test_each_state_leads_on(spec: VolumeSpec, seen: Observation, names: str) -> None:
    plan = _plan(spec, seen)

    assert _names(plan) == names
    assert all(action.reason and action.what for action in plan.actions)
    assert {a.step for a in plan.actions if a.destructive} == {
        a.step for a in plan.actions if a.step in (Step.FORMAT, Step.MAKE_FILE_SYSTEM)
    }


def test_a_recovery_key_is_made_only_when_somebody_can_take_it() -> None:
    seen = replace(PERFECT, recovery_confirmed=False)

    with_somebody, without = _plan(SPEC, seen, recovery=True), _plan(SPEC, seen)

    assert (_names(with_somebody), with_somebody.warnings) == ("enrol-recovery:recovery", ())
    assert without.actions == ()
    assert "no confirmed recovery key" in without.warnings[0]


@pytest.mark.parametrize(
    ("device", "text"),
    [
        (DEVICE, "/dev/vdb (serial PG1, 2.0 GiB)"),
        (
            replace(DEVICE, identity=Identity(DeviceClass.LOGICAL_VOLUME, 1024**3, dm_uuid="LVM-x")),
            "/dev/vdb (1.0 GiB)",
        ),
    ],
)
def test_a_format_names_its_device(device: Device, text: str) -> None:
    plan = _plan(SPEC, replace(BLANK, device=device))

    assert [a.what for a in plan.actions if a.step is Step.FORMAT] == [f"format {text} as LUKS2"]


@pytest.mark.parametrize(
    ("seen", "names"),
    [
        (AT_BOOT, "open mount"),
        (replace(AT_BOOT, mount_point=MountPointState.EMPTY), "open seal-mount-point mount"),
        (replace(AT_BOOT, mount_unit=MountUnitState.DIFFERENT), "open mount"),
        (replace(PERFECT, mount=None, mount_point=MountPointState.SEALED), "mount"),
        (replace(AT_BOOT, device=replace(DEVICE, identity=OTHER_IDENTITY)), "open mount"),
        (replace(AT_BOOT, header=replace(HEADER, primary=CopyState.DAMAGED)), "open mount"),
        (replace(AT_BOOT, unfinished=unfinished(BEFORE_FORMAT, "format", uuid=OTHER_UUID)), "open mount"),
        (replace(AT_BOOT, unfinished=unfinished(TO_FORMAT, uuid=OTHER_UUID)), "open mount"),
        (replace(AT_BOOT, unfinished=unfinished((*TO_OPEN, "make-file-system"))), "open mount"),
    ],
)
def test_a_provisioned_volume_opens_whatever_else_is_amiss(seen: Observation, names: str) -> None:
    assert _names(_plan(SPEC, seen, Goal.OPEN)) == names


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (replace(AT_BOOT, device=replace(DEVICE, identity=OTHER_IDENTITY)), "serial"),
        (replace(AT_BOOT, header=replace(HEADER, secondary=CopyState.STALE)), "secondary stale"),
    ],
)
def test_what_is_amiss_is_warned_of(seen: Observation, text: str) -> None:
    assert any(text in warning for warning in _plan(SPEC, seen, Goal.OPEN).warnings)


REPINNED = replace(AT_BOOT, unfinished=unfinished(TO_FORMAT, uuid=OTHER_UUID))


@pytest.mark.parametrize(
    ("spec", "seen", "goal", "error", "text"),
    [
        (SPEC, replace(BLANK, probe=None), Goal.OPEN, NotProvisionedError, "unformatted"),
        (FILE_SPEC, NO_FILE, Goal.OPEN, NotProvisionedError, "no-file"),
        (SPEC, DESCRIBED, Goal.OPEN, NotProvisionedError, "without its file system"),
        (SPEC, replace(AT_BOOT, mount_unit=MountUnitState.ABSENT), Goal.OPEN, NotProvisionedError, "mount unit"),
        (SPEC, REPINNED, Goal.PROVISION, UnfinishedOperationError, "another LUKS UUID"),
        (
            replace(SPEC, providers=(ProviderKind.PROMPT,)),
            FORMATTED,
            Goal.PROVISION,
            UnfinishedOperationError,
            "key of credential",
        ),
        (
            SPEC,
            replace(FORMATTED, unfinished=unfinished(("pin", "format"))),
            Goal.PROVISION,
            UnfinishedOperationError,
            "key of another provider",
        ),
        (
            SPEC,
            replace(AT_BOOT, header=replace(HEADER, requirements=("online-reencrypt-v2",))),
            Goal.OPEN,
            DamagedHeaderError,
            "re-encryption",
        ),
        (SPEC, replace(PERFECT, mapping_file_system="xfs"), Goal.OPEN, FileSystemError, "carries xfs"),
        (SPEC, replace(PERFECT, mapping_file_system=""), Goal.PROVISION, FileSystemError, "no file system"),
        (SPEC, replace(PERFECT, mapping_file_system="unknown"), Goal.OPEN, DeviceUnknownError, "cannot be read"),
        (
            SPEC,
            replace(OPENED, mapping_file_system="ext4", mapping_file_system_uuid=OTHER_UUID),
            Goal.PROVISION,
            FileSystemError,
            "already carries ext4",
        ),
        (SPEC, replace(OPENED, mapping_file_system="unknown"), Goal.PROVISION, FileSystemError, "unknown"),
        (
            SPEC,
            replace(OPENED, unfinished=unfinished((*TO_FORMAT, WRITE_TOKEN))),
            Goal.PROVISION,
            FileSystemError,
            "is open",
        ),
        (
            SPEC,
            replace(OPENED, mount=MOUNT, mount_point=MountPointState.MOUNTED),
            Goal.PROVISION,
            FileSystemError,
            "is mounted",
        ),
        (
            SPEC,
            replace(DESCRIBED, device=replace(DEVICE, identity=OTHER_IDENTITY)),
            Goal.PROVISION,
            IdentityError,
            "serial",
        ),
        (SPEC, replace(AT_BOOT, mount_point=MountPointState.OCCUPIED), Goal.OPEN, MountPointError, "holds files"),
        (SPEC, replace(AT_BOOT, mount_point=MountPointState.NOT_A_DIRECTORY), Goal.OPEN, MountPointError, "not a dir"),
        (SPEC, replace(AT_BOOT, mount_point=MountPointState.UNKNOWN), Goal.OPEN, MountPointError, "looked at"),
        (
            SPEC,
            replace(PERFECT, mount=replace(MOUNT, number="8:1", source="/dev/sda1")),
            Goal.OPEN,
            MountPointError,
            "/dev/sda1",
        ),
        (SPEC, replace(PERFECT, mount=None), Goal.OPEN, MountPointError, "unknown"),
        (
            SPEC,
            replace(AT_BOOT, mount=MOUNT, mount_point=MountPointState.MOUNTED),
            Goal.OPEN,
            MountPointError,
            "Something else",
        ),
    ],
)
def test_what_is_refused_says_what_to_do(
    spec: VolumeSpec, seen: Observation, goal: Goal, error: type[VolwardError], text: str
) -> None:
    with pytest.raises(error, match=text) as raised:
        _plan(spec, seen, goal)
    assert raised.value.resolution


# --- properties: any observation at all -------------------------------------------------------------------

IDENTITIES = st.sampled_from([IDENTITY, OTHER_IDENTITY])
HEADERS = st.one_of(
    st.none(),
    st.builds(
        replace,
        st.just(HEADER),
        uuid=st.sampled_from([UUID, OTHER_UUID]),
        label=st.sampled_from(["pgdata", "redis", ""]),
        primary=st.sampled_from(CopyState),
        keyslots=st.sampled_from([(), (keyslot(0),), (keyslot(0), keyslot(1))]),
        tokens=st.sampled_from([(), (token("credential", 0),)]),
    ),
)
DEVICES = st.builds(
    replace,
    st.just(DEVICE),
    identity=IDENTITIES,
    holders=st.sampled_from([(), ("dm-7",)]),
    mounted_at=st.sampled_from([(), (Path("/mnt"),)]),
    swap=st.booleans(),
    read_only=st.booleans(),
)
FINDINGS = st.lists(
    st.sampled_from([Finding("LUKS2 header (primary)", 0), Finding("data", 32768), Finding("ext4 file system", 1080)]),
    max_size=2,
).map(tuple)
STEPS = [*TO_OPEN, "make-file-system"]
UNFINISHED = st.builds(
    lambda done, begun, uuid, identity: replace(
        unfinished(tuple(STEPS[:done]), *STEPS[done : done + begun], uuid=uuid), identity=identity
    ),
    st.integers(0, len(STEPS)),
    st.integers(0, 2),
    st.sampled_from([UUID, OTHER_UUID]),
    IDENTITIES,
)
OBSERVATIONS = st.builds(
    Observation,
    volume=st.just("pgdata"),
    device_presence=st.sampled_from(Presence),
    device=st.one_of(DEVICES, st.none()),
    device_error=st.just(""),
    probe=st.one_of(st.none(), st.builds(BlankProbe, st.sampled_from(Presence), FINDINGS)),
    header=HEADERS,
    header_presence=st.sampled_from(Presence),
    header_error=st.just(""),
    mapping=st.builds(replace, st.just(OPEN), state=st.sampled_from(MappingState)),
    mapping_file_system=st.sampled_from(["", "ext4", "xfs", "unknown"]),
    mapping_file_system_uuid=st.sampled_from(["", FILE_SYSTEM_UUID, OTHER_UUID]),
    mount=st.sampled_from([None, MOUNT]),
    mount_point=st.sampled_from(MountPointState),
    mount_unit=st.sampled_from(MountUnitState),
    pin=st.one_of(st.none(), st.builds(Pin, IDENTITIES, st.sampled_from([UUID, OTHER_UUID]))),
    unfinished=st.one_of(st.none(), UNFINISHED),
    same_uuid_elsewhere=st.sampled_from([(), ("/dev/vdc",)]),
    recovery_confirmed=st.booleans(),
)


@st.composite
def near_misses(draw: st.DrawFn) -> Observation:
    """A state that a plan does lead on from, with at most three fields of another: where a slip would show."""
    base = draw(st.sampled_from([PERFECT, AT_BOOT, BLANK, NO_FILE, FORMATTED, DESCRIBED, OPENED, REPINNED]))
    other = draw(OBSERVATIONS)
    changed = draw(st.lists(st.sampled_from([field.name for field in fields(Observation)]), max_size=3))
    return replace(base, **{name: getattr(other, name) for name in changed})


def _blank_and_unused(seen: Observation) -> bool:
    """The proof, stated anew and not by asking the code under test."""
    device, probe = seen.device, seen.probe
    recorded = [*([seen.pin.identity] if seen.pin else []), *([seen.unfinished.identity] if seen.unfinished else [])]
    return (
        device is not None
        and all(device.identity == identity for identity in recorded)
        and not (device.holders or device.mounted_at or device.swap or device.read_only)
        and seen.mapping.state is MappingState.ABSENT
        and seen.header is None
        and seen.header_presence is Presence.ABSENT
        and probe is not None
        and probe.content is Presence.ABSENT
    )


def _own_unfinished_format(seen: Observation) -> bool:
    journal, device, probe = seen.unfinished, seen.device, seen.probe
    return (
        journal is not None
        and device is not None
        and probe is not None
        and probe.content is not Presence.UNKNOWN
        and all(finding.what != "ext4 file system" for finding in probe.findings)
        and "format" in journal.steps_begun - journal.steps_done
        and device.identity == journal.identity
        and (seen.pin is None or seen.pin == Pin(journal.identity, journal.luks_uuid))
        and (seen.header is None or (seen.header.uuid == journal.luks_uuid and not seen.header.tokens))
        and not (device.holders or device.mounted_at or device.swap or device.read_only)
        and seen.mapping.state is MappingState.ABSENT
    )


def _own_unfinished_file_system(seen: Observation) -> bool:
    journal = seen.unfinished
    return (
        journal is not None
        and seen.device is not None
        and seen.header is not None
        and seen.header.uuid == journal.luks_uuid
        and seen.device.identity == journal.identity
        and (seen.pin is None or seen.pin == Pin(journal.identity, journal.luks_uuid))
        and "format" in journal.steps_done
        and "make-file-system" not in journal.steps_done
        and (
            seen.mapping.state is MappingState.ABSENT
            or (
                seen.mapping.state is MappingState.ACTIVE
                and "open" in journal.steps_begun
                and seen.mount is None
                and (not seen.mapping_file_system or seen.mapping_file_system_uuid == FILE_SYSTEM_UUID)
            )
        )
    )


@settings(max_examples=400, deadline=None)
@given(
    seen=st.one_of(OBSERVATIONS, near_misses(), near_misses()),
    goal=st.sampled_from(Goal),
    spec=st.sampled_from([SPEC, FILE_SPEC]),
    recovery=st.booleans(),
)
def test_no_observation_whatever_leads_over_what_is_not_ours(
    seen: Observation, goal: Goal, spec: VolumeSpec, recovery: bool
) -> None:
    try:
        plan = _plan(spec, seen, goal, recovery=recovery)
    except VolwardError as error:
        assert error.resolution
        return
    steps = [action.step for action in plan.actions]
    makes_the_file = (
        spec.is_file
        and seen.device_presence is Presence.ABSENT
        and seen.mapping.state is MappingState.ABSENT
        and not (seen.unfinished and "format" in seen.unfinished.steps_begun)
    )
    if goal is Goal.OPEN:
        assert not plan.destructive
    if Step.FORMAT in steps:
        assert makes_the_file or (
            seen.device_presence is Presence.PRESENT and (_blank_and_unused(seen) or _own_unfinished_format(seen))
        )
        assert steps.index(Step.PIN) < steps.index(Step.FORMAT)
    elif Step.MAKE_FILE_SYSTEM in steps:
        assert _own_unfinished_file_system(seen)
    assert bool(plan.actions) is not bool(plan.nothing_because)
    assert steps == sorted(steps, key=list(Step).index)
