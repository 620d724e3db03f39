"""Who takes new recovery keys: the options that say so, and the delivery that they choose."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from volward.cli.context import Context

if TYPE_CHECKING:
    from volward.apply import RecoveryDelivery
    from volward.keys.vault.escrow import Escrow

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DEADLINE_SECONDS = 60.0


def options(command: _Command) -> _Command:
    """Give a command the options `recovery_fd` and `recovery_vault`."""
    in_vault = click.option(
        "--recovery-vault", is_flag=True, help="Put new recovery keys into Vault, where this host cannot read them."
    )
    to_descriptor = click.option(
        "--recovery-fd", type=int, metavar="N", help="Write new recovery keys to this descriptor (an escrow)."
    )
    return to_descriptor(in_vault(command))


@contextmanager
def chosen(
    context: Context, *, recovery_fd: int | None, recovery_vault: bool = False
) -> Iterator["RecoveryDelivery | None"]:
    """Yield the delivery that was asked for, else the terminal, None when nobody is there to take a key.

    Raises click.UsageError for two of them, ConfirmationError, ConfigurationError, UntrustedServerError.
    """
    from volward.cli.delivery import DescriptorDelivery, TerminalDelivery, VaultDelivery

    if recovery_fd is not None and recovery_vault:
        raise click.UsageError("Say --recovery-fd or --recovery-vault, not both.")
    with ExitStack() as stack:
        if recovery_vault:
            yield VaultDelivery(_escrow(context, stack))
        elif recovery_fd is not None:
            yield DescriptorDelivery(recovery_fd)
        else:
            yield TerminalDelivery() if context.is_terminal else None


def _escrow(context: Context, stack: ExitStack) -> "Escrow":
    """Return the escrow at the configured server; who runs the command may have a token of their own (VAULT_TOKEN)."""
    from volward.cli.vault_environment import server_from, token_from
    from volward.errors import ConfigurationError
    from volward.keys.providers import Providers

    configured = context.configuration.vault
    server = server_from(os.environ, configured.server() if configured else None)
    if server is None:
        raise ConfigurationError(
            "No Vault server is configured.", resolution="Add [vault] to the configuration, or set VAULT_ADDR."
        )
    token = token_from(os.environ)
    if token is not None:
        stack.enter_context(token)
    providers = stack.enter_context(Providers(vault_token=token))
    return providers.escrow(server, context.select(()), deadline_seconds=_DEADLINE_SECONDS)
