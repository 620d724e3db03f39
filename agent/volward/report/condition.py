"""The condition of a volume: its state, with the reasons and what else there is to see to. Pure."""

from dataclasses import dataclass

from volward.header_backup.freshness import Freshness
from volward.journal import ROTATE
from volward.keys.ages import days
from volward.logins import EARLY_SECONDS, LoginLife
from volward.model import CopyState, MappingState, MountPointState, MountUnitState, StoreKind
from volward.report import key_ages
from volward.report.amount import size
from volward.report.remark import Remark
from volward.report.state import State, state_of
from volward.report.volume import SeenVolume

_NEARLY_FULL_PERCENT = 90


@dataclass(frozen=True)
class Condition:
    state: State
    remarks: tuple[Remark, ...]

    @property
    def problems(self) -> tuple[Remark, ...]:
        return tuple(one for one in self.remarks if one.problem)

    @property
    def notes(self) -> tuple[Remark, ...]:
        return tuple(one for one in self.remarks if not one.problem)


def judge(one: SeenVolume) -> Condition:
    """Say how a volume is."""
    state, why = state_of(one)
    remarks = [
        *why,
        *_device(one),
        *_header(one),
        *_keys(one),
        *_login(one),
        *_in_use(one),
        *_history(one),
        *_unreadable(one),
    ]
    if state is State.OK and any(remark.problem for remark in remarks):
        state = State.DEGRADED
    return Condition(state, tuple(remarks))


def is_fine(one: SeenVolume, condition: Condition) -> bool:
    """Say whether `status --check` is content: ok, or closed as the configuration wants it after a boot."""
    wanted_closed = condition.state is State.CLOSED and not one.spec.open_at_boot
    return condition.state is State.OK or (wanted_closed and not condition.problems)


def of_login(life: LoginLife, at: float) -> Remark | None:
    """A login to Vault that ends soon: nobody notices before the next boot, which then stands still."""
    renew = "Make a new secret id, and seal it (docs/how-to/vault.md); `volward preflight` looks again."
    if life.ends_at is not None and life.ends_at - at < EARLY_SECONDS:
        left = int(life.ends_at - at)
        how = f"ends in {days(left)}" if left > 0 else "has ended"
        return Remark(f"The login to Vault at {life.address} {how}.", renew)
    if life.uses_left == 1:
        return Remark(f"The secret id for Vault at {life.address} has one use left.", renew)
    return None


def _device(one: SeenVolume) -> list[Remark]:
    spec, seen = one.spec, one.seen
    found = []
    if seen.device and seen.pin:
        differs = seen.device.identity.differences(seen.pin.identity)
        if differs:
            accept = f"If that was done on purpose: `volward repin {spec.name}`. If not, look which disk this is."
            found.append(Remark(f"The device changed since it was pinned ({'; '.join(differs)}).", accept))
    if seen.same_uuid_elsewhere:
        others = ", ".join(seen.same_uuid_elsewhere)
        found.append(Remark(f"The same LUKS UUID is on {others}.", "Detach the clone; the wrong one could be opened."))
    if seen.device and seen.device.read_only and "ro" not in spec.mount_options:
        found.append(Remark(f"{seen.device.node} is read-only.", "Look at `dmesg` and at `blockdev --getro`."))
    return found


def _header(one: SeenVolume) -> list[Remark]:
    spec, header = one.spec, one.seen.header
    if header is None or spec.store is StoreKind.SCRATCH:
        return []
    found = []
    if header.damaged:
        copies = f"primary {header.primary}, secondary {header.secondary}"
        mend = f"`volward header repair {spec.name}` mends it, and keeps what is there."
        if CopyState.UNKNOWN in (header.primary, header.secondary):
            mend = "A part of the header could not be read: the disk may be failing. Back the header up now."
        found.append(Remark(f"One copy of the header is not whole ({copies}); the volume still opens.", mend))
    if header.label != spec.name:
        rename = f"`cryptsetup config {spec.device} --label {spec.name}` names it; until then it cannot be opened."
        found.append(Remark(f"The header's label is {header.label or 'empty'}, not {spec.name}.", rename))
    if any("reencrypt" in requirement for requirement in header.requirements):
        found.append(
            Remark("A re-encryption has not ended.", f"Let it end: `volward rotate --volume-key {spec.name}`.")
        )
    if not any(keyslot.opens_data for keyslot in header.keyslots):
        lost = "If it is open now, copy the data away before it is closed: nothing opens it again."
        found.append(Remark("No keyslot opens the data.", lost))
    enrolled = {token.opened_by for token in header.tokens if token.keyslots}
    missing = [str(provider) for provider in spec.providers if provider not in enrolled]
    if missing:
        found.append(Remark(f"No key of {', '.join(missing)} is enrolled.", f"`volward apply {spec.name}` enrols it."))
    found += _header_backup(one)
    if not one.seen.recovery_confirmed:
        enrol = f"`volward recovery enrol {spec.name}` makes one."
        found.append(Remark("It has no confirmed recovery key.", enrol, problem=False))
    return found


def _keys(one: SeenVolume) -> list[Remark]:
    """Keys that are too old. A timer sees to them once a day, so that only a late one is a problem."""
    found = []
    for key in key_ages.keys(one):
        if not key.overdue_seconds or key.created is None:
            continue
        old = days(int(one.at) - key.created)
        allowed = days(one.spec.rotation.max_age_seconds)
        how = "" if key.by_timer else f" --provider {key.provider}"
        mend = f"`volward rotate{how} {one.spec.name}` makes a new one."
        if key.by_timer:
            mend += " The timer does it once a day: `systemctl status volward-rotate.timer`."
        late = key.by_timer and key.overdue_seconds > key_ages.PATIENCE_SECONDS
        found.append(Remark(f"The key of {key.provider} is {old} old, {allowed} are allowed.", mend, problem=late))
    return found


def _login(one: SeenVolume) -> list[Remark]:
    remark = None if one.login is None else of_login(one.login, one.at)
    return [] if remark is None else [remark]


def _header_backup(one: SeenVolume) -> list[Remark]:
    backup = one.header_backup
    if backup is None or one.seen.pin is None or one.seen.unfinished is not None:
        return []
    make = f"`volward header backup {one.spec.name}` makes one."
    match backup.freshness:
        case Freshness.NONE:
            return [Remark("Its header has no backup.", make, problem=False)]
        case Freshness.STALE:
            return [Remark("The backup of its header is stale: the header was changed since.", make, problem=False)]
        case Freshness.UNKNOWN if backup.error:
            return [Remark(backup.error, "Look at its file system.", problem=False)]
        case _:
            return []


def _in_use(one: SeenVolume) -> list[Remark]:
    """Mount, mount point, unit files, directories, space."""
    spec, seen = one.spec, one.seen
    found = []
    apply = f"`volward apply {spec.name}` mends it."
    provisioned = seen.pin is not None and seen.unfinished is None
    if one.mounted_here and seen.mount is not None and seen.mount.read_only and "ro" not in spec.mount_options:
        mend = "The kernel does that after an error: look at `dmesg`, then check the file system while it is unmounted."
        found.append(Remark(f"{spec.mount_point} is read-only.", mend))
    if seen.mapping.state is MappingState.ACTIVE and seen.mapping_file_system != spec.file_system:
        there = seen.mapping_file_system or "nothing that volward knows"
        found.append(Remark(f"The mapping carries {there}, not {spec.file_system}.", "volward leaves it alone."))
    found += [Remark(f"{text}.", apply) for text in seen.directories_differ]
    if provisioned and spec.mount_point is not None:
        if seen.mount_unit is not MountUnitState.CURRENT:
            found.append(Remark(f"The unit files are {seen.mount_unit}, not current.", apply))
        found += _mount_point(one)
    if provisioned and not seen.opens_at_boot:
        found.append(Remark("The next boot will not open it: the boot unit is missing or disabled.", apply))
    if one.space is not None:
        worst = max(one.space.used_percent, one.space.inodes_percent)
        if worst >= _NEARLY_FULL_PERCENT:
            inodes = one.space.inodes_total - one.space.inodes_used
            left = f"{size(one.space.available_bytes)} and {inodes} inodes are left"
            found.append(Remark(f"{spec.mount_point} is {worst} % full: {left}.", "Free some space.", problem=False))
    if one.table is not None and not one.table.key_in_keyring:
        why = "The volume key is in the mapping's table, where `dmsetup table --showkeys` shows it."
        found.append(Remark(why, "Closing and opening the volume puts it into the keyring.", problem=False))
    return found


def _mount_point(one: SeenVolume) -> list[Remark]:
    spec = one.spec
    match one.seen.mount_point:
        case MountPointState.OCCUPIED:
            what = f"{spec.mount_point} holds files while the volume is not mounted."
            return [Remark(what, "They are on the root disk, not encrypted. Move them away.")]
        case MountPointState.NOT_A_DIRECTORY:
            return [Remark(f"{spec.mount_point} is not a directory.", "Move it away.")]
        case MountPointState.EMPTY | MountPointState.ABSENT:
            what = f"{spec.mount_point} is not sealed: a database could start there on the root disk."
            return [Remark(what, f"`volward apply {spec.name}` seals it.")]
        case MountPointState.UNKNOWN:
            return [
                Remark(f"The mount point {spec.mount_point} could not be looked at.", "Look at `ls -ld` and `dmesg`.")
            ]
        case _:
            return []


def _history(one: SeenVolume) -> list[Remark]:
    """How it was opened, and what did not end."""
    found = []
    opening = one.opening
    if opening is not None and opening.error:
        found.append(Remark(f"The last opening failed ({opening.code}): {opening.error}", opening.resolution))
    elif opening is not None and opening.degraded:
        see = f"Opened by {opening.by} instead. See to it before that fails too."
        found += [Remark(f"A key provider failed: {reason.rstrip('.')}.", see) for reason in opening.degraded]
    for record in one.operations:
        where = f"in the step {record.step_begun}" if record.step_begun else "between two steps"
        again = f"`volward resume {record.operation}` goes on, `volward abort {record.operation}` gives it up."
        found.append(Remark(f"The operation {record.operation} was cut {where}.", again))
        if one.seen.header is None or record.verb == ROTATE:  # its key may be in its store already
            continue
        for number in one.seen.header.orphans(record.announced):
            mend = f"`volward apply {one.spec.name}` removes it, once another keyslot was shown to open."
            found.append(Remark(f"Keyslot {number} was left by an enrolment that was cut.", mend))
    return found


def _unreadable(one: SeenVolume) -> list[Remark]:
    """What could not be read beside the volume itself."""
    found = []
    if one.pin_error:
        found.append(
            Remark(one.pin_error, f"With the file moved away `volward repin {one.spec.name}` records it anew.")
        )
    if one.operations_error:
        found.append(Remark(one.operations_error, "Keep the file; `volward journal` names it."))
    if one.table_error:
        found.append(Remark(one.table_error, "Is dmsetup installed? `apt install dmsetup`", problem=False))
    return found
