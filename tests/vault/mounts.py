"""What a server has enabled: secrets engines and quotas, as the tests need them.

Each takes hvac's client of an administrator and a mount path without slashes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import hvac
from tests.lab.errors import LabError


def kv(admin: hvac.Client, path: str = "kv", *, version: int = 2) -> str:
    """A key-value engine; version 2 is waited for, because it upgrades itself for a moment after it was made."""
    admin.sys.enable_secrets_engine("kv", path=path, options={"version": str(version)})
    if version == 2:
        _until_upgraded(admin, path)
    return path


def transit(admin: hvac.Client, path: str = "transit", *, key: str | None = None, derived: bool = False) -> str:
    """A transit engine, with a key in it if one is named."""
    admin.sys.enable_secrets_engine("transit", path=path)
    if key is not None:
        admin.secrets.transit.create_key(key, derived=derived, mount_point=path)
    return path


def policy(admin: hvac.Client, name: str, text: str) -> str:
    """A policy in HCL, such as `path "kv/data/x" { capabilities = ["read"] }`."""
    admin.sys.create_or_update_policy(name, text)
    return name


@contextmanager
def quota(
    admin: hvac.Client, path: str, *, rate: float = 1, interval_seconds: int = 60, block_seconds: int = 0
) -> Iterator[None]:
    """A rate limit for everything under a mount: `rate` requests in an interval, then 429 until it is over.

    With `block_seconds` a client that exceeded it is refused for that long. Ends with the context.
    """
    name = f"test-{path.strip('/').replace('/', '-')}"
    block = {"block_interval": f"{block_seconds}s"} if block_seconds else {}
    admin.sys.create_or_update_quota(name, rate, path=f"{path.strip('/')}/", interval=f"{interval_seconds}s", **block)
    try:
        yield
    finally:
        admin.sys.delete_quota(name)


def _until_upgraded(admin: hvac.Client, path: str) -> None:
    for _ in range(200):
        try:
            admin.secrets.kv.v2.read_configuration(mount_point=path)
        except hvac.exceptions.InvalidRequest as error:
            # "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period".
            if "pgrading" not in str(error):
                raise
            time.sleep(0.05)
        else:
            return
    raise LabError(f"the key-value engine {path} is not ready")
