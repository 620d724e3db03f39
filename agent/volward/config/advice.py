"""Warnings: what is allowed and still worth a second look. Looks whether devices are there; changes nothing."""

from collections.abc import Iterator

from volward.config import links
from volward.config.store import ScratchStore
from volward.config.volume import Configuration, VolumeConfig
from volward.model import ProviderKind

_UMBRELLA_UNITS = {
    "postgresql.service": "On Debian that unit runs nothing itself; name the cluster, such as "
    "postgresql@17-main.service.",
    "docker.service": "One missing key would then keep every container from starting; "
    "name the container (`container:NAME`): while its volume is away its directory is, too, so that it alone cannot "
    "start.",
}


def warnings(configuration: Configuration) -> tuple[str, ...]:
    """Return the warnings of all volumes, each as 'volumes.NAME.setting: sentence'."""
    if not configuration.volumes:
        return ("There are no volumes yet. `volward init` proposes some for this host.",)
    return tuple(
        f"volumes.{name}.{sentence}" for name, volume in configuration.volumes.items() for sentence in _of(volume)
    )


def _of(volume: VolumeConfig) -> Iterator[str]:
    device = volume.device
    if not device.is_file and not device.path.exists():
        yield f"device: {device} is not there now."
    elif not device.is_file and links.family(device.path) == "by-path":
        yield (
            "device: a by-path link names a slot, so another disk in that slot has the same name. volward "
            "compares serial numbers before it formats."
        )
    for consumer in volume.consumers or ():
        if consumer in _UMBRELLA_UNITS:
            yield f"consumers: {consumer} is named. {_UMBRELLA_UNITS[consumer]}"
    if isinstance(volume.store, ScratchStore):
        return
    if set(volume.keys) <= {ProviderKind.PROMPT, ProviderKind.TPM2} and volume.open_at_boot:
        if volume.keys[0] is ProviderKind.PROMPT or len(volume.keys) == 1:
            yield "keys: the volume opens only when somebody types its key, so it stays closed after a boot."
        else:
            yield "keys: if the TPM refuses, the volume stays closed after a boot until somebody types its key."
    used = [volume.tpm2.pcrs] if ProviderKind.TPM2 in volume.keys else []
    if any(pcr < 6 for pcrs in used for pcr in pcrs):
        yield (
            "tpm2.pcrs: PCRs 0 to 5 change with firmware updates and settings; the TPM will refuse after one. "
            "PCR 7 (Secure Boot) is the usual choice."
        )
