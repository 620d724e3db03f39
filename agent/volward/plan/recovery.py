"""Whether a volume has a recovery key that somebody has."""

from volward.model import Observation, VolumeSpec


def recovery_warnings(spec: VolumeSpec, seen: Observation, *, planned: bool) -> tuple[str, ...]:
    """Warn about a volume without a confirmed recovery key, unless one is about to be enrolled."""
    if seen.recovery_confirmed or planned:
        return ()
    enrol = f"`volward recovery enrol {spec.name}` on a terminal (or with --recovery-vault or --recovery-fd)"
    return (f"{spec.name} has no confirmed recovery key; run {enrol}",)
