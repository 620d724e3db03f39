"""Lines of /etc/crypttab for a host whose volumes systemd opens, with volward as the key file (crypttab(5)). Pure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from volward.model import ProviderKind, StoreKind, VolumeSpec

SOCKET = Path("/run/volward/key.sock")
_SHOWS_NO_KEY = (ProviderKind.TPM2, ProviderKind.PROMPT, ProviderKind.RECOVERY)


def lines(specs: Sequence[VolumeSpec], uuids: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines, with remarks; ``uuids`` are the LUKS UUIDs by volume, as they were pinned."""
    for spec in specs:
        if spec.store is StoreKind.SCRATCH:
            yield f"# {spec.name} has a random key at each boot: `volward open` makes it, and no line of this file."
        elif spec.name not in uuids:
            yield f"# {spec.name} is not provisioned yet (`volward apply {spec.name}`)."
        else:
            yield f"{spec.mapping_name} {_device(spec, uuids[spec.name])} {_key_file(spec)} {_options(spec)}"


def _device(spec: VolumeSpec, uuid: str) -> str:
    return str(spec.device) if spec.is_file else f"UUID={uuid}"


def _key_file(spec: VolumeSpec) -> str:
    return "none" if all(kind in _SHOWS_NO_KEY for kind in spec.providers) else str(SOCKET)


def _options(spec: VolumeSpec) -> str:
    """A missing key holds up neither the boot (nofail) nor, with a server involved, what runs before the network."""
    options = ["luks", "nofail"]
    if ProviderKind.VAULT in spec.providers:
        options.append("_netdev")
    if _key_file(spec) == "none" and ProviderKind.TPM2 in spec.providers:
        options.append("tpm2-device=auto")
    if spec.discard:
        options.append("discard")
    return ",".join(options)
