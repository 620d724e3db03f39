"""`volward header`: backups of the volumes' headers, and what they are for."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root
from volward.errors import VolwardError
from volward.exit_status import ExitStatus

if TYPE_CHECKING:
    from volward.model import VolumeSpec

_DEADLINE_SECONDS = 60.0
_HEADINGS = ("VOLUME", "MADE", "STATE", "KEYSLOTS", "OPENED BY", "FILE")


@click.group
def header() -> None:
    """Back up, verify, restore and repair the headers of volumes.

    Without its header the data of a volume are lost, whatever keys there are. volward backs a header up after each
    change of it; the recovery key and the file of a backup are enough to restore it.
    """


@header.command
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@pass_context
def backup(context: Context, volumes: tuple[str, ...]) -> int:
    """Back up the headers of VOLUMES (all when none is named), and prove that they can be restored.

    A header that has a proven backup already is not backed up again; the backup is proven once more. Without a terminal
    and without VOLUMES, as the timer runs it, nobody is asked for a key, and what takes a person is only said.
    """
    demand_root("header backup")
    from volward.cli import failure
    from volward.operations.header_backup import backup as make

    errors = []
    for spec in _with_header(context, volumes):
        try:
            made = make(spec, deadline_seconds=_DEADLINE_SECONDS, ask=bool(volumes) or context.is_terminal)
        except VolwardError as error:
            if not volumes and (why := failure.left_out(spec, error)):
                context.note(why)
                continue
            errors.append(error)
            context.failure(error, about=spec.name)
            continue
        if made is None:
            context.note(
                f"{spec.name}: no backup, because its providers ask a person and it has no recovery key to seal to; "
                f"`volward recovery enrol {spec.name}` makes one."
            )
            continue
        for remark in made.remarks:
            context.note(f"  warning: {remark}")
        how = "has a proven backup already" if made.existed else "backed up and proven"
        context.print(f"{spec.name}: the header {how}: {made.path}")
    return ExitStatus.of_pass(error.exit_status for error in errors)


@header.command("list")
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@pass_context
def list_(context: Context, volumes: tuple[str, ...], as_json: bool) -> int:
    """List the header backups of VOLUMES (all when none is named), the newest first.

    current: of the header as it is now. old: of an earlier one. kept: what was there before a restore or a repair.
    """
    demand_root("header list")
    from volward.operations.header_listing import listing

    rows = [row for spec in _with_header(context, volumes) for row in listing(spec)]
    if as_json:
        context.json([row.as_json() for row in rows])
    elif rows:
        context.table(_HEADINGS, [row.cells() for row in rows], styles={"current": "green", "damaged": "red"})
    else:
        context.print("There is no header backup. `volward header backup` makes one for each volume.")
    return 0


@header.command
@click.argument("volume", shell_complete=volume_names)
@click.argument("name", metavar="[BACKUP]", required=False)
@click.option("--recovery", "ask_recovery", is_flag=True, help="By the recovery key alone, which is asked for.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the header to this new file.")
@pass_context
def verify(context: Context, volume: str, name: str | None, ask_recovery: bool, output: Path | None) -> int:
    """Prove a backup of VOLUME (the newest when none is named): decrypt, restore into a scratch file, open it there.

    With --output the header is written to a file that `cryptsetup luksHeaderRestore` takes. Remove it afterwards:
    whoever has it and a key that is valid in it can open the data.
    """
    demand_root("header verify")
    from volward.operations.header_target import chosen
    from volward.operations.header_verify import verify as prove
    from volward.os_errors import explained

    spec = context.spec(volume)
    with explained(f"Looking for header backups of {volume}"):
        path = chosen(spec, name)
    done = prove(spec, path, ask_recovery=ask_recovery, deadline_seconds=_DEADLINE_SECONDS, output=output)
    context.print(f"{volume}: {path.name} is whole: {done.opened_by} decrypts it, and keyslot {done.keyslot} opens")
    if output is not None:
        context.print(f"{volume}: its header was written to {output}")
    return 0


@header.command
@click.argument("volume", shell_complete=volume_names)
@click.option("--from", "name", metavar="BACKUP", help="A backup by its name, or any copy by its path.")
@click.option("--recovery", "ask_recovery", is_flag=True, help="By the recovery key alone, which is asked for.")
@click.option("--confirm", default="", metavar="IDENTITY", help="The device's identity, typed out (serial number).")
@pass_context
def restore(context: Context, volume: str, name: str | None, ask_recovery: bool, confirm: str) -> int:
    """Restore the header of VOLUME from a backup, by default the newest. Damage to both copies is no obstacle.

    What is on the device now is kept aside first. The volume may be open. A restore that was cut goes on; when the
    header was changed since, or nothing had been written, it is confirmed again (`volward abort` gives it up).
    """
    demand_root("header restore")
    from volward.cli.confirmation import confirm_header_restore
    from volward.cli.interruption import Interruption
    from volward.operations.header_restore import restore as write
    from volward.operations.header_target import look

    wanted = look(context.spec(volume), name)
    context.print(f"{volume}: {wanted.backup} ({_when(wanted.facts.created_at)}) to {wanted.device.node}")
    context.print(f"  {wanted.present}")
    if wanted.record is not None:
        again = "cut before it wrote anything, or the header was changed since"
        how = "confirmed before, and goes on" if wanted.is_confirmed else again
        context.print(f"  {wanted.record.operation} was {how}")
    if not wanted.is_confirmed:
        confirm_header_restore(volume, wanted.device, confirm, terminal=context.is_terminal)
    with Interruption().watched():
        done = write(wanted, ask_recovery=ask_recovery, deadline_seconds=_DEADLINE_SECONDS)
    context.print(f"{volume}: the header is restored and whole; keyslot {done.keyslot} opens (by {done.opened_by})")
    context.print(f"  what was there before: {done.kept}")
    return 0


@header.command
@click.argument("volume", shell_complete=volume_names)
@pass_context
def repair(context: Context, volume: str) -> int:
    """Mend a damaged copy of VOLUME's header from the other one. What is there is kept aside first."""
    demand_root("header repair")
    from volward.cli.interruption import Interruption
    from volward.operations.header_repair import repair as mend

    spec = context.spec(volume)
    with Interruption().watched():
        done = mend(spec, deadline_seconds=_DEADLINE_SECONDS)
    if done is None:
        context.print(f"{volume}: nothing to do, because both copies of the header are whole")
        return 0
    for remark in done.remarks:
        context.note(f"  warning: {remark}")
    context.print(f"{volume}: both copies of the header are whole ({done.mended or 'a cut repair was finished'})")
    if done.kept:
        context.print(f"  what was there before: {done.kept}")
    return 0


def _with_header(context: Context, volumes: tuple[str, ...]) -> Iterator["VolumeSpec"]:
    """A scratch volume has no header; named, it is told so."""
    from volward.model import StoreKind

    for spec in context.select(volumes):
        if volumes or spec.store is not StoreKind.SCRATCH:
            yield spec


def _when(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
