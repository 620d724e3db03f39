"""The part of `volward open --device`: where the server is, whose token is used, and what is told."""

import contextlib
import os
from pathlib import Path

from volward.cli.context import Context
from volward.cli.privilege import demand_device_mapper
from volward.cli.vault_environment import server_from, token_from
from volward.errors import ConfigurationError
from volward.keys.providers import Providers
from volward.model import VaultServer
from volward.operations.open_device import open_device


def open_by_header(
    context: Context, device: Path, name: str, *, recovery: bool, deadline_seconds: float, read_only: bool
) -> int:
    """Open the device as that mapping, and say by which key."""
    server = server_from(os.environ, _configured_server(context))
    demand_device_mapper(load=True)
    with contextlib.ExitStack() as stack:
        token = token_from(os.environ)
        if token is not None:
            stack.enter_context(token)
        outcome = open_device(
            device,
            name,
            server=server,
            providers=stack.enter_context(Providers(vault_token=token)),
            deadline_seconds=deadline_seconds,
            read_only=read_only,
            ask_recovery=recovery,
        )
    context.print(f"{device}: open as /dev/mapper/{name} (key: {outcome.opened_by})")
    for failure in outcome.failures:
        context.note(f"  degraded: {failure}")
    return 0


def _configured_server(context: Context) -> VaultServer | None:
    """Return the server in [vault]; a configuration that is lost or broken is no reason to leave a disk closed."""
    try:
        configured = context.configuration.vault
    except ConfigurationError as error:
        context.note(f"The configuration is not used: {error.what.splitlines()[0]}")
        return None
    return configured.server() if configured else None
