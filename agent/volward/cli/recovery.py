"""`volward recovery`: the key that a person can type."""

import click

from volward.cli import recipient
from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root


@click.group
def recovery() -> None:
    """Make and test recovery keys."""


@recovery.command("test")
@click.argument("volume", shell_complete=volume_names)
@pass_context
def test_(context: Context, volume: str) -> int:
    """Ask for the recovery key of VOLUME and say whether it opens it. Changes nothing."""
    demand_root("recovery test")
    from volward.errors import KeyRejectedError
    from volward.operations.keys import test_recovery_key

    keyslot = test_recovery_key(context.spec(volume))
    if keyslot is None:
        raise KeyRejectedError(
            f"This key opens no keyslot of {volume}.",
            resolution="It may belong to another volume, or its keyslot may be damaged (`volward status` lists them).",
        )
    context.print(f"{volume}: the recovery key opens keyslot {keyslot}")
    return 0


@recovery.command
@click.argument("volume", shell_complete=volume_names)
@recipient.options
@pass_context
def enrol(context: Context, volume: str, recovery_fd: int | None, recovery_vault: bool = False) -> int:
    """Make a new recovery key for VOLUME; it is enrolled once part of it was typed back."""
    demand_root("recovery enrol")
    from volward.cli.interruption import Interruption
    from volward.errors import NoTerminalError
    from volward.operations.enrolment import enrol_recovery_key

    spec = context.spec(volume)
    taking = recipient.chosen(context, recovery_fd=recovery_fd, recovery_vault=recovery_vault)
    with taking as delivery, Interruption().watched():  # between the keyslot and its token nothing is broken off
        if delivery is None:
            raise NoTerminalError(
                "A recovery key has to be shown to somebody, and there is no terminal.",
                resolution=f"Run `volward recovery enrol {volume}` on a terminal, or with --recovery-vault, or use "
                "--recovery-fd with an escrow.",
            )
        remarks = enrol_recovery_key(spec, delivery, deadline_seconds=60.0)
    for remark in remarks:
        context.note(f"  warning: {remark}")
    context.print(f"{volume}: a recovery key is enrolled; `volward recovery test {volume}` proves it at any time")
    return 0
