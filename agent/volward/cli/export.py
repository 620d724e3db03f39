"""`volward export`: what volward knows, in the form of another tool."""

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root


@click.group
def export() -> None:
    """Write volumes down for other tools."""


@export.command
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@click.option("--install", is_flag=True, help="Also start the socket, now and at each boot, that these lines name.")
@pass_context
def crypttab(context: Context, volumes: tuple[str, ...], *, install: bool) -> int:
    """Print lines for /etc/crypttab: systemd opens the volumes, and volward gives it their keys.

    A volume that gets no key is asked for by systemd as always, so that the recovery key can be typed. volward still
    mounts what is open.
    """
    demand_root("export crypttab")
    from volward import pins
    from volward.host import boot
    from volward.host.shipped import Part
    from volward.operations.system_install import ensure
    from volward.report import crypttab as text

    specs = context.select(volumes)
    uuids = {spec.name: pin.luks_uuid for spec in specs if (pin := pins.read(spec.name)) is not None}
    for line in text.lines(specs, uuids):
        context.print(line)
    if install:
        for remark in ensure({Part.KEY_SOCKET}, insist={Part.KEY_SOCKET}).remarks:
            context.note(f"  warning: {remark}")
        context.note(f"{boot.KEY_SOCKET} listens at {text.SOCKET}.")
    elif not boot.enabled(boot.KEY_SOCKET):
        context.note(f"Nothing listens at {text.SOCKET} yet: `volward export crypttab --install`.")
    return 0
