"""close: unmount and close a volume, or name who holds it. Never forces, never kills.

An unmount on the host can succeed while another mount namespace (a container, a sandboxed service) still
writes; so every namespace is looked through before and after.
"""

from volward import audit, lock
from volward.errors import BusyError, MappingError
from volward.host import cryptsetup, docker, holders, swap, systemd
from volward.model import FileSystem, MappingState, MountPointState, Observation, VolumeSpec
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
        if stop_consumers:
            for unit in spec.consumers:
                if not unit.startswith("container:"):
                    systemd.stop(unit)
        _refuse_while_held(spec, seen)
        _release(spec, seen)
        _refuse_while_held(spec, seen)
        cryptsetup.close(spec.mapping_name)
        audit.record("close", spec.name, audit.Outcome.DONE, f"{spec.name}: closed")
        return True


def _release(spec: VolumeSpec, seen: Observation) -> None:
    if spec.mount_point is not None and seen.mount_point is MountPointState.MOUNTED:
        systemd.stop(systemd.mount_unit_name(spec.mount_point))
    elif spec.file_system is FileSystem.SWAP and seen.swap_active:
        swap.off(spec.mapping_path)


def _refuse_while_held(spec: VolumeSpec, seen: Observation) -> None:
    held = holders.holding(seen.mapping.number)
    names = {one.container: docker.name(one.container) for one in held.processes if one.container}
    lines = [f"  {one.named(names.get(one.container, ''))}" for one in held.processes[:_NAMED_AT_MOST]]
    if len(held.processes) > _NAMED_AT_MOST:
        lines.append(f"  and {len(held.processes) - _NAMED_AT_MOST} more processes")
    lines += [f"  block device {name}" for name in held.devices]
    lines += [f"  mount at {path}" for path in held.mounts_below]
    if not lines:
        return
    stoppable = [unit for unit in spec.consumers if not unit.startswith("container:")]
    hint = f" `volward close --stop-consumers {spec.name}` stops {', '.join(stoppable)}." if stoppable else ""
    raise BusyError(
        f"{spec.name} is in use and stays open:\n" + "\n".join(lines), resolution=f"Stop these, then try again.{hint}"
    )
