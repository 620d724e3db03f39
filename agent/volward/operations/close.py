"""close: unmount and close a volume, or name who holds it; also when its device is gone. Never forces, never kills.

An unmount on the host can succeed while another mount namespace (a container, a sandboxed service) still
writes; so every namespace is looked through before and after.
"""

from collections.abc import Sequence

from volward import audit, lock, losses, openings
from volward.errors import BusyError, MappingError, VolwardError
from volward.host import cryptsetup, docker, holders, swap, systemd, volume_units
from volward.model import FileSystem, MappingState, Observation, StoreKind, VolumeSpec
from volward.observe import observe

_NAMED_AT_MOST = 12


def close_volume(spec: VolumeSpec, *, stop_consumers: bool) -> bool:
    """Unmount and close one volume; False when it was closed already.

    ``stop_consumers`` stops the units and containers that the configuration names first. Raises BusyError with the
    processes and containers that hold it, MappingError for a mapping that is not the volume.
    """
    with lock.held(spec.name):
        seen = observe(spec)
        if seen.mapping.state is MappingState.ABSENT:
            return False
        if seen.mapping.state is not MappingState.ACTIVE:
            raise MappingError(
                f"The mapping {spec.mapping_name} is {seen.mapping.state}: {seen.mapping.detail}",
                resolution="volward closes only what is provably its volume; `dmsetup info` shows the mapping.",
            )
        audit.record("close", spec.name, audit.Outcome.INTENT, f"{spec.name}: close")
        try:
            _close(spec, seen, stop_consumers=stop_consumers)
        except VolwardError as error:
            audit.record("close", spec.name, audit.Outcome.FAILED, f"{spec.name}: {error}", code=error.code)
            raise
        openings.write(spec.name, openings.closed())  # or the daemon would open it again after a restart
        audit.record("close", spec.name, audit.Outcome.DONE, f"{spec.name}: closed")
        return True


def who_holds(spec: VolumeSpec) -> tuple[str, ...]:
    """Return a line for each process, mount, block device and consumer that uses a volume; none when it is closed."""
    seen = observe(spec, to_open=True)
    if seen.mapping.state is MappingState.ABSENT:
        return ()
    return tuple(_holding(spec, seen, spec.units))


def release_volume(spec: VolumeSpec) -> bool:
    """Unmount and close a volume whose device went away while it was open; False when there is no such thing.

    What is still to be written has nowhere to go. Stopping its mount stops the units that are tied to it. Raises
    BusyError with what holds it all the same, MappingError for a mapping that was never this volume's.
    """
    with lock.held(spec.name):
        seen = observe(spec, to_open=True)
        if seen.mapping.state is not MappingState.ZOMBIE:
            return False
        _refuse_foreign(spec, seen)
        audit.record("release", spec.name, audit.Outcome.INTENT, f"{spec.name}: its device is gone; close its mapping")
        try:
            _release(spec, seen)
            _refuse_while_held(spec, seen, [], unmounted=True)
            cryptsetup.close(spec.mapping_name)
        except VolwardError as error:
            audit.record("release", spec.name, audit.Outcome.FAILED, f"{spec.name}: {error}", code=error.code)
            raise
        audit.record("release", spec.name, audit.Outcome.DONE, f"{spec.name}: its mapping is closed")
        return True


def stop_containers(spec: VolumeSpec) -> tuple[str, ...]:
    """Stop the containers among a volume's consumers that run, and return their names.

    Each is noted first when the volume's device was lost, to be started again. Raises ToolFailedError, OSError.
    """
    if not spec.containers or docker.engine_state() != "active":
        return ()
    running = [one.name for one in docker.look(spec.containers) if one.running]
    for name in running:
        losses.add_container(spec.name, name)
        docker.stop(name)
    return tuple(running)


def _refuse_foreign(spec: VolumeSpec, seen: Observation) -> None:
    """The name of a mapping proves nothing; its UUID carries that of the header (and a scratch volume's has none)."""
    known = seen.pin.luks_uuid.replace("-", "") if seen.pin else ""
    ours = "CRYPT-PLAIN-" if spec.store is StoreKind.SCRATCH else f"CRYPT-LUKS2-{known}-"
    if not (known and seen.mapping.dm_uuid.startswith(ours)):
        raise MappingError(
            f"The mapping {spec.mapping_name} stands on a device that is gone, and is not known to be {spec.name}.",
            resolution=f"Look at `dmsetup info {spec.mapping_name}`; `cryptsetup close` closes it by hand.",
        )


def _close(spec: VolumeSpec, seen: Observation, *, stop_consumers: bool) -> None:
    units = spec.units
    if stop_consumers:
        for unit in units:
            systemd.stop(unit)
        stop_containers(spec)
    _refuse_while_held(spec, seen, units)
    _release(spec, seen)
    _refuse_while_held(spec, seen, units, unmounted=True)
    cryptsetup.close(spec.mapping_name)


def _release(spec: VolumeSpec, seen: Observation) -> None:
    """Unmount, through PID 1, or swap off; what else is mounted at the mount point is not ours to unmount."""
    if spec.mount_point is not None and seen.mount is not None and seen.mount.number == seen.mapping.number:
        systemd.stop(volume_units.mount_unit_name(spec.mount_point))
    elif spec.file_system is FileSystem.SWAP and seen.swap_active:
        swap.off(spec.mapping_path)


def _refuse_while_held(spec: VolumeSpec, seen: Observation, units: Sequence[str], *, unmounted: bool = False) -> None:
    """Raise BusyError with everything that holds the volume."""
    lines = _holding(spec, seen, units, unmounted=unmounted)
    if not lines:
        return
    hint = f" `volward close --stop-consumers {spec.name}` stops {', '.join(spec.consumers)}." if spec.consumers else ""
    named = "\n".join(f"  {line}" for line in lines)
    raise BusyError(f"{spec.name} is in use and stays open:\n{named}", resolution=f"Stop these, then try again.{hint}")


def _holding(spec: VolumeSpec, seen: Observation, units: Sequence[str], *, unmounted: bool = False) -> list[str]:
    """A consumer that runs counts even when it has no file open now: unmounting would stop it with its mount."""
    held = holders.holding(seen.mapping.number)
    names = {one.container: docker.name(one.container) for one in held.processes if one.container}
    lines = [one.named(names.get(one.container, "")) for one in held.processes[:_NAMED_AT_MOST]]
    if len(held.processes) > _NAMED_AT_MOST:
        lines.append(f"{len(held.processes) - _NAMED_AT_MOST} more processes")
    lines += [f"block device {name}" for name in held.devices]
    elsewhere = [path for path in held.mounted_at if unmounted or path != spec.mount_point]
    lines += [f"mount at {path}" for path in (*held.mounts_below, *elsewhere)]
    holding = {one.unit for one in held.processes}
    lines += [f"consumer {unit} (running)" for unit in units if unit not in holding and systemd.active(unit)]
    return lines
