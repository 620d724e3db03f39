"""Stores: from the configuration of a volume to its full specification. Pure; imports pydantic through config."""

from dataclasses import replace
from pathlib import Path

from volward.config import Configuration, VolumeConfig
from volward.config.store import DirectoryStore, PostgresStore, QdrantStore, RedisStore, ScratchStore
from volward.model import (
    CipherProfile,
    FileSystem,
    ProviderKind,
    RecoveryProfile,
    RotationProfile,
    StoreKind,
    VaultPlace,
    VaultServer,
    VolumeSpec,
)
from volward.stores import directory, postgres, qdrant, redis, scratch
from volward.stores.profile import Profile, combine

__all__ = ["Profile", "hints", "profile", "spec", "specs"]

_KIB = 1024


def profile(config: VolumeConfig) -> Profile:
    """Return what the volume's store wants.

    Raises ValueError for a store without its mount point, which config.load() never lets through.
    """
    store, mount_point = config.store, config.mount_point
    match store, mount_point:
        case PostgresStore(), Path():
            return postgres.profile(store, mount_point)
        case RedisStore(), Path():
            return redis.profile(store, mount_point)
        case QdrantStore(), Path():
            return qdrant.profile(store, mount_point)
        case DirectoryStore(), Path():
            return directory.profile(store, mount_point)
        case ScratchStore(), _:
            return scratch.profile(store, mount_point)
        case _:
            raise ValueError(f"a {store.kind} volume needs a mount point")


def spec(name: str, config: VolumeConfig, server: VaultServer | None = None) -> VolumeSpec:
    """Return the specification of one volume, its store's defaults filled in; ``server`` is its Vault's."""
    wanted = profile(config)
    is_scratch = isinstance(config.store, ScratchStore)
    sector_size = config.cipher.sector_size
    return VolumeSpec(
        name=name,
        device=config.device.path,
        is_file=config.device.is_file,
        file_size_bytes=config.size,
        store=StoreKind(config.store.kind),
        mount_point=config.mount_point,
        file_system=config.file_system,
        mount_options=()
        if config.file_system is FileSystem.SWAP
        else combine(wanted.mount_options, config.mount_options),
        directories=wanted.directories,
        consumers=wanted.consumers if config.consumers is None else config.consumers,
        providers=() if is_scratch else config.keys,
        cipher=CipherProfile(
            cipher=config.cipher.cipher,
            key_bits=config.cipher.key_bits,
            sector_size_bytes=0 if sector_size == "auto" else sector_size,
        ),
        recovery=RecoveryProfile(
            memory_kib=config.recovery.memory // _KIB,
            iterations=config.recovery.iterations,
            lanes=config.recovery.lanes,
        ),
        rotation=RotationProfile(
            max_age_seconds=config.rotation.max_age,
            grace_seconds=config.rotation.grace,
        ),
        tpm2_pcrs=config.tpm2.pcrs,
        credential_seal=config.credential.seal,
        discard=config.discard,
        on_denied_stop=config.on_denied == "stop",
        open_at_boot=config.open_at_boot,
        vault=None if is_scratch else _place(config, server),
    )


def _place(config: VolumeConfig, server: VaultServer | None) -> VaultPlace | None:
    if server is None or ProviderKind.VAULT not in config.keys:
        return None
    wanted = config.vault
    return VaultPlace(server, wanted.keep, mount=wanted.mount or "", path=wanted.path or "", key=wanted.key)


def specs(configuration: Configuration) -> dict[str, VolumeSpec]:
    """Return the specifications of all volumes by name, in the order of the configuration."""
    server = configuration.vault.server() if configuration.vault else None
    directory = configuration.header_backup.directory
    return {
        name: replace(spec(name, config, server), header_backups=directory)
        for name, config in configuration.volumes.items()
    }


def hints(config: VolumeConfig) -> tuple[str, ...]:
    """Return lines that tell a person how to point the service at the volume."""
    return profile(config).hints
