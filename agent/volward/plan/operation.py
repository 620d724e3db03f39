"""The provisioning that was cut short, as far as it is about what is there now."""

from volward.model import Observation, Step, Unfinished


def current_operation(seen: Observation) -> Unfinished | None:
    """Return the unfinished provisioning, if it is about what is pinned; a repin leaves an older one behind."""
    unfinished = seen.unfinished
    if unfinished is None or (seen.pin is not None and seen.pin.luks_uuid != unfinished.luks_uuid):
        return None
    return unfinished


def format_is_pending(seen: Observation) -> bool:
    """Whatever is pinned comes from a provisioning that has never begun to format."""
    unfinished = current_operation(seen)
    return unfinished is not None and Step.FORMAT not in unfinished.steps_begun | unfinished.steps_done
