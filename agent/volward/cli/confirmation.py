"""What a person has to type before something is destroyed or shown."""

from collections.abc import Mapping, Sequence

import click

from volward.errors import ConfirmationError, NoTerminalError
from volward.model import Plan, VolumeSpec


def confirm_plans(plans: Sequence[Plan], *, named: Sequence[str], yes: bool, terminal: bool) -> None:
    """Have the destructive plans confirmed. Raises ConfirmationError.

    ``--yes`` confirms the volumes that were named with it and no others, so that a volume which somebody
    adds to the configuration later is never formatted by an old script.
    """
    destructive = [plan.volume for plan in plans if plan.destructive]
    if not destructive:
        return
    if yes:
        unnamed = [name for name in destructive if name not in named]
        if unnamed:
            raise ConfirmationError(
                f"--yes confirms only volumes that are named, and {', '.join(unnamed)} would be formatted.",
                resolution=f"Name them: `volward apply --yes {' '.join(destructive)}`.",
            )
        return
    if not terminal:
        raise ConfirmationError(
            f"{', '.join(destructive)} would be formatted, and there is no terminal to ask on.",
            resolution=f"Read `volward plan`, then run `volward apply --yes {' '.join(destructive)}`.",
        )
    click.echo(f"Lines with ! destroy what is there. This formats: {', '.join(destructive)}.")
    if click.prompt("Type yes to go on", default="", show_default=False) != "yes":
        raise ConfirmationError("Not confirmed.", resolution="Nothing was changed.")


def confirm_overwriting(requests: Sequence[str], specs: Mapping[str, VolumeSpec], *, terminal: bool) -> tuple[str, ...]:
    """Have the identity of each device that is to be overwritten typed out; return the volumes' names.

    A request is ``VOLUME``, which is asked for on the terminal, or ``VOLUME=IDENTITY``. Raises
    ConfirmationError, NoTerminalError, DeviceNotFoundError.
    """
    from volward.host import block

    confirmed = []
    for request in requests:
        name, _, typed = request.partition("=")
        if name not in specs:
            raise ConfirmationError(
                f"--overwrite names {name}, which this command is not about.",
                resolution=f"Name the volume as well: `volward apply --overwrite {request} {name}`.",
            )
        spec = specs[name]
        wanted = (block.resolve_file if spec.is_file else block.resolve)(spec.device).identity.typed_confirmation
        if not typed:
            if not terminal:
                raise NoTerminalError(
                    f"Overwriting {spec.device} has to be confirmed with the device's identity.",
                    resolution=f'Read it off the device, then run `volward apply --overwrite "{name}=IDENTITY"`.',
                )
            click.echo(f"{spec.device} will be overwritten with everything on it.")
            typed = click.prompt("Type its serial number (a device without one: size in bytes, space, path)")
        if " ".join(typed.split()) != wanted:
            raise ConfirmationError(
                f"That is not the identity of {spec.device}.",
                resolution="Nothing was changed. `lsblk --output NAME,SIZE,SERIAL` shows serial numbers.",
            )
        confirmed.append(name)
    return tuple(confirmed)
