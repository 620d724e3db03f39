"""`volward vault`: what a Vault server has to allow this host."""

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context


@click.group
def vault() -> None:
    """Set up the Vault server that keeps keys."""


@vault.command
@click.option(
    "--volume",
    "volumes",
    multiple=True,
    metavar="VOLUME",
    shell_complete=volume_names,
    help="Only for this volume; may be repeated.",
)
@click.option("--host", metavar="NAME", help="For the host of this name. Default: this host.")
@pass_context
def policy(context: Context, volumes: tuple[str, ...], host: str | None) -> int:
    """Print the policies and the AppRole for this host, as commands to read and then to run.

    Nothing is changed and Vault is not asked. The host is never allowed to delete or destroy a key.
    """
    import socket

    from volward.errors import ConfigurationError
    from volward.keys.vault.policy import setup

    specs = [spec for spec in context.select(volumes) if spec.vault is not None]
    if not specs:
        raise ConfigurationError(
            "No volume in question keeps its key in Vault.",
            resolution='Add "vault" to the `keys` of a volume, and a [vault] with the server.',
        )
    context.print("\n".join(setup(specs, host or socket.gethostname())))
    return 0
