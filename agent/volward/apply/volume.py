"""The actions on an enrolled volume: mapping, file system, mount point, units, mount, store directories."""

import contextlib
import errno
import os
import stat
from pathlib import Path

from volward import openings
from volward.apply.opening import open_through_chain
from volward.apply.target import resolved
from volward.apply.work import Work
from volward.errors import DeviceUnknownError, FileSystemError, IdentityError, MappingError, MountPointError
from volward.host import (
    account,
    block,
    cryptsetup,
    file_system,
    mapping,
    marker,
    mount,
    superblock,
    swap,
    systemd,
    systemd_cryptsetup,
    volume_units,
)
from volward.model import Action, Device, Directory, Mapping, MappingState, StoreKind, VolumeSpec
from volward.secret import SecretBytes


def open_mapping(action: Action, work: Work) -> None:
    """Open the mapping: through the chain of providers, or a scratch device with a random key."""
    del action
    if work.spec.store is StoreKind.SCRATCH:
        _open_scratch(resolved(work), work)
    else:
        open_through_chain(block.place_of_volume(work.spec).node, work)
    work.opened_fresh = True
    made = _refuse_unless_mapped(work)
    by = work.opened_by or "random key"
    openings.write(work.spec.name, openings.opened(by, work.degraded, mapping.disk_sequence(made.number)))


def close(action: Action, work: Work) -> None:
    """Close the mapping. Raises BusyError when something uses it."""
    del action
    cryptsetup.close(work.spec.mapping_name)


def make_file_system(action: Action, work: Work) -> None:
    """Make the file system, if the mapping is ours and still carries nothing or our own half-made one.

    One that an earlier run made whole, and did not come to write down, is taken as it is: somebody may have mounted
    it since.
    """
    del action
    spec = work.spec
    _refuse_unless_mapped(work)
    if spec.store is StoreKind.SCRATCH and not work.opened_fresh:
        raise MappingError(
            f"{spec.mapping_path} was not opened in this operation.",
            resolution=f"Close it (`volward close {spec.name}`), then run the same command again.",
        )
    found = file_system.identify(spec.mapping_path)
    if found.type and found.uuid != work.file_system_uuid:
        raise FileSystemError(
            f"{spec.mapping_path} already carries {found.type} ({found.uuid}).",
            resolution="volward did not make it and leaves it alone.",
        )
    if found.type and _made_before(spec):
        return
    file_system.make(spec.mapping_path, spec.file_system, uuid=work.file_system_uuid, label=spec.name)
    made = file_system.identify(spec.mapping_path)
    if made.type != spec.file_system or made.uuid != work.file_system_uuid:
        raise DeviceUnknownError(
            f"A file system was made on {spec.mapping_path}, yet {made.type or 'nothing'} is found there.",
            resolution="Look at `dmesg`, then run the same command again.",
        )


def _made_before(spec: VolumeSpec) -> bool:
    """Whether our own file system is whole. Raises FileSystemError for a broken one that may hold data."""
    if file_system.is_whole(spec.mapping_path, spec.file_system):
        return True
    if superblock.may_hold_data(spec.mapping_path):
        raise FileSystemError(
            f"The {spec.file_system} on {spec.mapping_path} is damaged, and may have been mounted since it was made.",
            resolution=f"Mend it with its own tool (fsck). If it never held data: `wipefs --all {spec.mapping_path}`. "
            "Then run the same command again.",
        )
    return False


def seal_mount_point(action: Action, work: Work) -> None:
    """Make the mount point root's, mode 0000 and immutable (rule 6)."""
    del action
    warning = mount.create_and_seal(_mount_point(work))
    work.remarks += (warning,) if warning else ()


def write_units(action: Action, work: Work) -> None:
    """Write the unit files that differ, and remove those of consumers that are none any more.

    The caller reloads systemd once for a whole pass.
    """
    del action
    for unit in volume_units.units_of(work.spec):
        if not unit.current:
            unit.write()
    for path in volume_units.left_behind(work.spec, volume_units.ties().get(work.spec.name, ())):
        volume_units.remove_drop_in(path)


def mount_volume(action: Action, work: Work) -> None:
    """Have PID 1 start the mount unit. Raises MountPointError when the mount is not there afterwards."""
    del action
    where = _mount_point(work)
    systemd_cryptsetup.give_way(work.spec.mapping_name)
    systemd.start(volume_units.mount_unit_name(where))
    there = mount.at(where, mount.table())
    if there is None or there.number != _mapped(work).number:
        raise MountPointError(
            f"systemd started the mount of {work.spec.name}, yet {where} does not show it.",
            resolution=f"Look at `systemctl status {volume_units.mount_unit_name(where)}` and `findmnt {where}`.",
        )


def swap_on(action: Action, work: Work) -> None:
    """Use the mapping as swap."""
    del action
    systemd_cryptsetup.give_way(work.spec.mapping_name)
    swap.on(work.spec.mapping_path)


def prepare_store(action: Action, work: Work) -> None:
    """Give the store its directories. Only on the real mount; an existing directory keeps its content."""
    del action
    root = _mount_point(work)
    there = mount.at(root, mount.table())
    if there is None or there.number != _mapped(work).number:
        raise MountPointError(
            f"{root} is not the mounted volume.", resolution=f"Run `volward open {work.spec.name}` first."
        )
    for entry in work.spec.directories:
        _make_directory(root, entry)


def _make_directory(root: Path, wanted: Directory) -> None:
    """Create or mend one directory without ever following a symbolic link out of the volume."""
    uid, gid = account.ids(wanted)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in Path(wanted.path).parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=descriptor)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            os.fsync(descriptor)
            os.close(descriptor)
            descriptor = inner
        found = os.fstat(descriptor)
        if (found.st_uid, found.st_gid) != (uid, gid):
            os.fchown(descriptor, uid, gid)
        if stat.S_IMODE(found.st_mode) != wanted.mode:
            os.fchmod(descriptor, wanted.mode)
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        raise MountPointError(
            f"{root / wanted.path} cannot be prepared: a file or a symbolic link is in its place.",
            resolution="Move it away, then run the same command again.",
        ) from error
    finally:
        os.close(descriptor)


def _open_scratch(device: Device, work: Work) -> None:
    if marker.read(device.node) != work.luks_uuid:
        raise IdentityError(
            f"{device.node} does not carry the scratch marker of {work.spec.name}.",
            resolution="It was left alone. Run `volward status` to see which device is there.",
        )
    cipher = work.spec.cipher
    with SecretBytes.random(cipher.key_bits // 8) as key:
        cryptsetup.open_plain(
            device.node,
            work.spec.mapping_name,
            offset_bytes=marker.DATA_OFFSET_BYTES,
            size_bytes=(device.identity.size_bytes - marker.DATA_OFFSET_BYTES) // 4096 * 4096,
            key=key,
            cipher=cipher.cipher,
            key_bits=cipher.key_bits,
            sector_size_bytes=512,
        )


def _mapped(work: Work) -> Mapping:
    scratch = work.spec.store is StoreKind.SCRATCH
    return mapping.of_volume(work.spec, None if scratch else work.luks_uuid, block.place_of_volume(work.spec))


def _refuse_unless_mapped(work: Work) -> Mapping:
    """Return the mapping. Raises MappingError when it is not the volume's, open on its device."""
    found = _mapped(work)
    if found.state is not MappingState.ACTIVE:
        raise MappingError(
            f"The mapping {work.spec.mapping_name} of {work.spec.device} is {found.state}. {found.detail}".rstrip(),
            resolution="`volward status` shows what is there now.",
        )
    return found


def _mount_point(work: Work) -> Path:
    if work.spec.mount_point is None:
        raise AssertionError("only swap has no mount point, and no such action is planned for it")
    return work.spec.mount_point
