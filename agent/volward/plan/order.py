"""Which volume has to be open before which, and circles in that: none of their members ever opens at a boot. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from volward.model import ProviderKind, VolumeSpec

VAULT_UNITS = frozenset({"vault.service", "openbao.service"})


@dataclass(frozen=True)
class Need:
    """A volume that cannot be opened before another one is mounted, and why: "VOLUME WHY"."""

    volume: str
    other: str
    why: str

    def __str__(self) -> str:
        return f"{self.volume} {self.why}"


def of_files(specs: Sequence[VolumeSpec]) -> Iterator[Need]:
    """Yield the `file:` volumes whose file lies on another volume: the one with the longest mount point above it."""
    mounted = {one.mount_point: one.name for one in specs if one.mount_point is not None}
    for spec in (one for one in specs if one.is_file):
        nearest = next((mounted[above] for above in spec.device.parents if above in mounted), None)
        if nearest is not None:
            yield Need(spec.name, nearest, f"is a file on {nearest}")


def of_vault(needing: Iterable[VolumeSpec], holding: Iterable[VolumeSpec], address: str) -> Iterator[Need]:
    """Yield what follows from a Vault on this host: its data are on volumes, and others need a key of it.

    ``needing``: volumes that nothing else opens without a person; ``holding``: those that Vault needs itself.
    """
    held = [one.name for one in holding]
    for spec in needing:
        for name in held:
            yield Need(spec.name, name, f"needs its key from Vault ({address}), whose data are on {name}")


def without_a_person(spec: VolumeSpec) -> frozenset[ProviderKind]:
    """Return the providers that a boot can ask."""
    return frozenset(spec.providers) - {ProviderKind.PROMPT, ProviderKind.RECOVERY}


def of_configuration(specs: Sequence[VolumeSpec], servers_here: frozenset[str]) -> tuple[Need, ...]:
    """Return what the configuration alone says; ``servers_here`` are the addresses of Vault servers on this host.

    That Vault keeps its data on a volume is told by its unit among the consumers.
    """
    found = list(of_files(specs))
    holding = [spec for spec in specs if VAULT_UNITS & set(spec.consumers)]
    for address in sorted(servers_here):
        needing = [
            spec
            for spec in specs
            if spec.vault is not None
            and spec.vault.server.address == address
            and without_a_person(spec) == {ProviderKind.VAULT}
        ]
        found += of_vault(needing, holding, address)
    return tuple(found)


def circle(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Return the needs of one circle, each followed by that of the volume it needs; () when there is none."""
    known = {(need.volume, need.other): need for need in needs}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for volume, other in known:
        sorter.add(volume, other)
    try:
        sorter.prepare()
    except CycleError as error:
        members: list[str] = error.args[1]  # each needs the one before it; the first is the last as well
        return tuple(known[after, before] for before, after in pairwise(members))[::-1]
    return ()


def sentence(needs: Sequence[Need]) -> str:
    """Say of a circle why nothing of it opens."""
    if len(needs) == 1:
        return f"{needs[0]}: after a boot it never opens without a person"
    names = ", ".join(need.volume for need in needs)
    return f"{'; '.join(map(str, needs))}: after a boot none of {names} opens without a person"
