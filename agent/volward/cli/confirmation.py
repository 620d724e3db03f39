"""What a person has to type before something is destroyed or shown."""

from collections.abc import Collection, Sequence

import click

from volward.errors import ConfirmationError, NoTerminalError
from volward.model import Device, Plan


def confirm_plans(
    plans: Sequence[Plan], *, named: Collection[str], yes: bool, terminal: bool, command: str = "apply"
) -> None:
    """Have the destructive plans of a command confirmed. Raises ConfirmationError.

    ``--yes`` confirms the volumes that were named with it and no others, so that a volume which somebody
    adds to the configuration later is never formatted by an old script.
    """
    destructive = [plan.volume for plan in plans if plan.destructive]
    if not destructive:
        return
    again = f"`volward {command} --yes {' '.join(destructive)}`"
    if yes:
        unnamed = [name for name in destructive if name not in named]
        if unnamed:
            raise ConfirmationError(
                f"--yes confirms only volumes that are named, and the plan of {', '.join(unnamed)} destroys something.",
                resolution=f"Nothing was changed. Read the lines with !, then name them: {again}.",
            )
        return
    if not terminal:
        raise ConfirmationError(
            f"The plan of {', '.join(destructive)} destroys something, and there is no terminal to ask on.",
            resolution=f"Nothing was changed. Read the lines with ! in {_shown(command)}, then run {again}.",
        )
    click.echo(f"Lines with ! destroy what is there. They are about: {', '.join(destructive)}.")
    if click.prompt("Type yes to go on", default="", show_default=False) != "yes":
        raise ConfirmationError(
            "Not confirmed.", resolution="Nothing was changed. Run it again, and type yes to go on."
        )


def _shown(command: str) -> str:
    return "`volward plan`" if command == "apply" else f"`volward {command} --plan`"


def overwrite_requests(requests: Sequence[str], volumes: Collection[str]) -> dict[str, str]:
    """Return the typed identity ("" when it is still to be asked for) by the volume to be overwritten.

    A request is ``VOLUME`` or ``VOLUME=IDENTITY``. Raises ConfirmationError for a volume that is not in hand.
    """
    found = {}
    for request in requests:
        name, _, typed = request.partition("=")
        if name not in volumes:
            raise ConfirmationError(
                f'--overwrite names "{name}", which this command is not about.',
                resolution=f"Nothing was changed. Name the volume as well: `volward apply --overwrite {name} {name}`.",
            )
        found[name] = typed
    return found


def confirm_overwriting(volume: str, device: Device, typed: str, *, terminal: bool) -> None:
    """Have the identity of a device that is to be wiped typed out.

    Raises ConfirmationError, or NoTerminalError when nothing was typed and nobody can be asked.
    """
    _confirm_identity(
        device,
        typed,
        doing=f"Overwriting {device.node}",
        warning=f"{device.node} will be wiped with everything on it.",
        command=f'volward apply --yes --overwrite "{volume}=IDENTITY" {volume}',
        terminal=terminal,
    )


def confirm_header_restore(volume: str, device: Device, typed: str, *, terminal: bool) -> None:
    """Have the identity typed of a device whose header is to be overwritten. Raises as `confirm_overwriting` does."""
    _confirm_identity(
        device,
        typed,
        doing=f"Restoring the header of {device.node}",
        warning=f"The header of {device.node} will be overwritten; what is there now is kept aside.",
        command=f'volward header restore {volume} --confirm "IDENTITY"',
        terminal=terminal,
    )


def _confirm_identity(device: Device, typed: str, *, doing: str, warning: str, command: str, terminal: bool) -> None:
    if not typed:
        if not terminal:
            raise NoTerminalError(
                f"{doing} has to be confirmed with the device's identity.",
                resolution=f"Read it off the device, then run `{command}`.",
            )
        click.echo(warning)
        typed = click.prompt(f"Type {_what_to_type(device)}", default="", show_default=False)
    if " ".join(typed.split()) != " ".join(device.identity.typed_confirmation.split()):
        raise ConfirmationError(
            f"That is not the identity of {device.node}.",
            resolution=f"Nothing was changed. It is {_what_to_type(device)}: `lsblk -o NAME,SERIAL,WWN,SIZE --bytes`.",
        )


def _what_to_type(device: Device) -> str:
    """Describe the identity without giving it away: it is to be read off the device and not off this question."""
    identity = device.identity
    below = "path" if identity.path else "UUID" if identity.dm_uuid or identity.md_uuid else ""
    by_size = f"its size in bytes, a space and its {below}" if below else "its size in bytes"
    own = "its serial number" if identity.serial else "its WWN" if identity.wwn else by_size
    return f"{own}, a space and the number of the partition" if identity.partition else own
