"""What must hold inside one volume, beyond each value by itself. Reads /dev to propose links; changes nothing.

A rule names the settings that it looks at; it is left out when one of them is already known to be wrong.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from volward.config import links, size
from volward.config.problem import listed
from volward.config.store import DirectoryStore, PostgresStore, ScratchStore
from volward.config.volume import VolumeConfig
from volward.model import CONTAINER_PREFIX, MIB, FileSystem, ProviderKind, VaultKeep

Found = tuple[str, str, str]  # the setting, what is wrong, what to write instead
Check = Callable[["Subject"], Iterator[Found]]

# A LUKS2 header takes 16 MiB; the file systems need the rest.
MINIMUM_BYTES = {FileSystem.EXT4: 64 * MIB, FileSystem.XFS: 320 * MIB, FileSystem.SWAP: 32 * MIB}
_KEYLESS = ("keys", "tpm2", "credential", "recovery", "vault", "rotation", "on_denied")


@dataclass(frozen=True)
class Subject:
    """A volume under examination; ``written`` are the settings that its own table has (without defaults)."""

    name: str
    config: VolumeConfig
    written: frozenset[str]
    dev: Path = Path("/dev")
    has_server: bool = False  # there is a [vault]


_RULES: list[tuple[frozenset[str], Check]] = []


def _rule(*settings: str) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        _RULES.append((frozenset(settings), check))
        return check

    return register


def broken(subject: Subject, *, wrong: frozenset[str] = frozenset()) -> Iterator[Found]:
    """Yield what is wrong in a volume; rules about settings in ``wrong`` are left out."""
    for settings, check in _RULES:
        if not settings & wrong:
            yield from check(subject)


@_rule("device")
def _stable_name(subject: Subject) -> Iterator[Found]:
    device = subject.config.device
    if device.is_file:
        return
    if links.is_kernel_name(device.path):
        now = links.leading_to(subject.dev / device.path.relative_to("/dev"), dev=subject.dev)
        advice = (
            "These links lead to it now:" + "".join(f'\n  "{link}"' for link in now[:4])
            if now
            else "Use a link below /dev/disk/by-id; `volward init` shows them. A disk without a serial number "
            "has none there; /dev/disk/by-path then names the slot that it is plugged into."
        )
        yield "device", f"is {device}, and that name may belong to another disk after the next boot.", advice
    elif (family := links.family(device.path)) in ("by-uuid", "by-label", "by-diskseq"):
        why = "changes at each boot" if family == "by-diskseq" else "names what is on the disk, and goes away with it"
        yield "device", f"is a {family} link, which {why}.", "Use a link below /dev/disk/by-id."
    elif device.path.is_relative_to("/dev/mapper/") and device.path.name.startswith("volward-"):
        yield "device", f"is {device}, which is an open volume of volward itself.", "Name the disk below it."


@_rule("device", "size", "file_system")
def _size(subject: Subject) -> Iterator[Found]:
    config = subject.config
    if not config.device.is_file:
        if config.size is not None:
            yield (
                "size",
                "belongs to `file:` volumes only; a disk has its own size.",
                f'Leave it out, or write device = "file:{config.device.path}" if a file is meant.',
            )
        return
    minimum = MINIMUM_BYTES[config.file_system]
    if config.size is None:
        yield "size", "is missing: a `file:` volume needs one.", 'For example size = "1 GiB".'
    elif config.size < minimum:
        yield (
            "size",
            f"is {size.written(config.size)}, too small for {config.file_system} on a LUKS2 volume.",
            f'Write "{size.written(minimum)}" or more.',
        )


@_rule("store", "file_system", "mount_point")
def _mount_point(subject: Subject) -> Iterator[Found]:
    config = subject.config
    scratch = isinstance(config.store, ScratchStore)
    if config.file_system is FileSystem.SWAP:
        if not scratch:
            yield (
                "file_system",
                "is swap, and only a scratch volume can be swap space.",
                'Write "ext4" or "xfs", or store = "scratch".',
            )
        elif config.mount_point is not None:
            yield "mount_point", "is set, and swap space is not mounted.", "Leave it out."
    elif config.mount_point is None:
        yield "mount_point", "is missing.", f'For example mount_point = "/srv/volward/{subject.name}".'
    elif (real := _where_it_leads(config.mount_point)) != config.mount_point:
        yield (
            "mount_point",
            f"is {config.mount_point}, which leads through a symbolic link to {real}.",
            f'systemd mounts on the real path only. Write "{real}".',
        )


def _where_it_leads(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


@_rule("store", "keys")
def _keys(subject: Subject) -> Iterator[Found]:
    config = subject.config
    if isinstance(config.store, ScratchStore):
        for setting in _KEYLESS:
            if setting in subject.written:
                yield (
                    setting,
                    "has no meaning for a scratch volume: its key is new at each boot and kept nowhere.",
                    "Leave it out.",
                )
        return
    doubled = sorted({kind for kind in config.keys if config.keys.count(kind) > 1})
    if doubled:
        yield "keys", f"names {listed(doubled)} twice.", "Name each provider once."
    if ProviderKind.RECOVERY in config.keys:
        yield (
            "keys",
            'names "recovery", but every volume has a recovery key anyway, for people to type.',
            "Leave it out of the list.",
        )
    elif set(config.keys) == {ProviderKind.TPM2}:
        yield (
            "keys",
            "names the TPM alone: if it is cleared or replaced, only the recovery key is left.",
            'Write ["tpm2", "credential"] or ["tpm2", "prompt"]; the order is the order of the tries.',
        )


@_rule("store", "keys", "vault")
def _vault(subject: Subject) -> Iterator[Found]:
    config = subject.config
    uses_vault = ProviderKind.VAULT in config.keys and not isinstance(config.store, ScratchStore)
    if uses_vault and not subject.has_server:
        yield (
            "keys",
            'names "vault", and the configuration does not say which server.',
            'Add [vault] with address = "https://…" and a [vault.login].',
        )
    if not uses_vault and "vault" in subject.written and not isinstance(config.store, ScratchStore):
        yield "vault", "is set, and the volume keeps no key in Vault.", 'Add "vault" to `keys`, or leave it out.'
    if uses_vault and config.vault.keep is VaultKeep.TRANSIT and config.vault.path is not None:
        yield (
            "vault.path",
            "is set, and Transit keeps nothing under a path: the wrapped key is in the volume's header.",
            'Leave it out, or write keep = "kv".',
        )


@_rule("cipher")
def _cipher(subject: Subject) -> Iterator[Found]:
    cipher = subject.config.cipher
    adiantum = "adiantum" in cipher.cipher
    if adiantum and cipher.key_bits != 256 and subject.config.cipher.model_fields_set >= {"key_bits"}:
        yield "cipher.key_bits", f"is {cipher.key_bits}, and Adiantum has keys of 256 bits.", "Write 256."
    elif adiantum and cipher.key_bits != 256:
        yield "cipher.key_bits", "is missing, and Adiantum has keys of 256 bits.", "Add key_bits = 256."


@_rule("recovery")
def _recovery(subject: Subject) -> Iterator[Found]:
    memory = subject.config.recovery.memory
    if not 64 * MIB <= memory <= 4096 * MIB:
        yield (
            "recovery.memory",
            f"is {size.written(memory)}.",
            "Write 64 MiB to 4 GiB; opening with the recovery key needs that much memory.",
        )


@_rule("mount_options")
def _mount_options(subject: Subject) -> Iterator[Found]:
    options = subject.config.mount_options
    for doubled in sorted({option for option in options if options.count(option) > 1}):
        yield "mount_options", f'has "{doubled}" twice.', "Write it once."


@_rule("store", "consumers")
def _consumers(subject: Subject) -> Iterator[Found]:
    store, consumers = subject.config.store, subject.config.consumers or ()
    for doubled in sorted({name for name in consumers if consumers.count(name) > 1}):
        yield "consumers", f'names "{doubled}" twice.', "Name it once."
    containers = [name for name in consumers if name.startswith(CONTAINER_PREFIX)]
    if containers and isinstance(store, DirectoryStore) and store.path == ".":
        yield (
            "consumers",
            (
                f'names "{containers[0]}", and a container needs a directory inside the mount: '
                "it must not start on the empty mount point while the volume is closed."
            ),
            'Write store = { kind = "directory", path = "data", … } and give the container that directory.',
        )
    if isinstance(store, PostgresStore) and store.layout == "debian":
        wanted = f"{store.version}-{store.cluster}"
        units = [name for name in consumers if name.startswith("postgresql@")]
        for unit in units:
            named = unit.removeprefix("postgresql@").removesuffix(".service")
            if named != wanted:
                version, _, cluster = named.partition("-")
                yield (
                    "consumers",
                    f'names "{unit}", but the store prepares cluster {store.version}/{store.cluster}.',
                    (
                        f'Write store = {{ kind = "postgres", version = "{version}", cluster = "{cluster}" }}, '
                        "or name the other unit."
                    ),
                )
