"""Who uses a device beside the volume's own mapping. Pure."""

from volward.model import MappingState, Observation, VolumeSpec


def foreign_uses(spec: VolumeSpec, seen: Observation) -> tuple[str, ...]:
    """Return each use of the device as a phrase: held by another mapping, mounted, in use as swap.

    A loop device on a backing file does nothing by itself; what stands on it is named beside it.
    """
    device = seen.device
    if device is None:
        return ()
    node = seen.mapping.node.name if seen.mapping.state is not MappingState.ABSENT and seen.mapping.node else ""
    own = (node, f"{spec.mapping_name} ({node})")  # a mapping's name is told beside its node's
    others = [one for one in device.holders if one not in own and not (spec.is_file and one.startswith("loop"))]
    uses = [f"held by {one}" for one in others] + [f"mounted at {path}" for path in device.mounted_at]
    return (*uses, *(("in use as swap",) if device.swap else ()))
