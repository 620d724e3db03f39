"""close: unmount and close a volume, or name who holds it. Never forces, never kills.

An unmount on the host can succeed while another mount namespace (a container, a sandboxed service) still
writes; so every namespace is looked through before and after.
"""

from volward import audit, lock
from volward.errors import BusyError, MappingError, VolwardError
from volward.host import cryptsetup, docker, holders, swap, systemd
from volward.model import FileSystem, MappingState, Observation, VolumeSpec
from volward.observe import observe

_NAMED_AT_MOST = 12


def close_volume(spec: VolumeSpec, *, stop_consumers: bool) -> bool:
    """Unmount and close one volume; False when it was closed already.

    ``stop_consumers`` stops the units that the configuration names first. Raises BusyError with the
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
        audit.record("close", spec.name, audit.Outcome.DONE, f"{spec.name}: closed")
        return True


def _close(spec: VolumeSpec, seen: Observation, *, stop_consumers: bool) -> None:
    units = [unit for unit in spec.consumers if not unit.startswith("container:")]
    if stop_consumers:
        for unit in units:
            systemd.stop(unit)
    _refuse_while_held(spec, seen, units)
    _release(spec, seen)
    _refuse_while_held(spec, seen, units, unmounted=True)
    cryptsetup.close(spec.mapping_name)


def _release(spec: VolumeSpec, seen: Observation) -> None:
    """Unmount, through PID 1, or swap off; what else is mounted at the mount point is not ours to unmount."""
    if spec.mount_point is not None and seen.mount is not None and seen.mount.number == seen.mapping.number:
        systemd.stop(systemd.mount_unit_name(spec.mount_point))
    elif spec.file_system is FileSystem.SWAP and seen.swap_active:
        swap.off(spec.mapping_path)


def _refuse_while_held(spec: VolumeSpec, seen: Observation, units: list[str], *, unmounted: bool = False) -> None:
    """Raise BusyError with everything that holds the volume.

    A consumer that runs counts even when it has no file open now: unmounting would stop it with its mount.
    """
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
    if not lines:
        return
    hint = f" `volward close --stop-consumers {spec.name}` stops {', '.join(units)}." if units else ""
    named = "\n".join(f"  {line}" for line in lines)
    raise BusyError(f"{spec.name} is in use and stays open:\n{named}", resolution=f"Stop these, then try again.{hint}")
