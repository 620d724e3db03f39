"""`volward holders`: name what uses volumes; changes nothing. A mapping's unit runs it when it cannot close it."""

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root


@click.command
@click.argument("volumes", nargs=-1, required=True, shell_complete=volume_names)
@pass_context
def holders(context: Context, volumes: tuple[str, ...]) -> None:
    """Name the processes, containers, mounts and devices that use volumes, in whatever mount namespace they are."""
    demand_root("holders")
    from volward.operations.close import who_holds
    from volward.os_errors import explained

    for spec in context.select(volumes):
        with explained(f"Looking at {spec.name}"):
            lines = who_holds(spec)
        for line in lines or ("nothing uses it",):
            context.print(f"{spec.name}: {line}")
