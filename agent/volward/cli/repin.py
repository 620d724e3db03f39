"""`volward repin`: the owner says that the device which is there now is the volume's."""

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root


@click.command
@click.argument("volume", shell_complete=volume_names)
@click.option("--yes", is_flag=True, help="Confirm without a terminal.")
@pass_context
def repin(context: Context, volume: str, yes: bool) -> int:
    """Record the identity of the device that VOLUME's link leads to now.

    For a disk that was replaced by its copy, grown, or moved to this host. The device must carry a LUKS2
    header of volward that names the volume, or nothing at all; its key is tested when the volume is opened.
    """
    demand_root("repin")
    from volward.errors import ConfirmationError
    from volward.operations.repin import look, record

    spec = context.spec(volume)
    found = look(spec)
    if not found.differences:
        context.print(f"{volume}: nothing to do, because the device is as pinned")
        return 0
    context.print(f"{volume}: {spec.device}")
    for difference in found.differences:
        context.print(f"  {difference}")
    if not yes:
        if not context.is_terminal:
            raise ConfirmationError(
                "Pinning another identity has to be confirmed.", resolution=f"Run `volward repin --yes {volume}`."
            )
        if click.prompt(f"Type {volume} to pin this device", default="", show_default=False) != volume:
            raise ConfirmationError("Not confirmed.", resolution="Nothing was changed.")
    record(spec, found)
    context.print(f"{volume}: pinned")
    return 0
