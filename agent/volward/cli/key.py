"""`volward key`: the owner's own copy of an unlocking key."""

import os
from pathlib import Path

import click

from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root


@click.group
def key() -> None:
    """Export the keys of volumes."""


@key.command
@click.argument("volume")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="A new file, mode 0600.")
@click.option("--fd", "descriptor", type=int, metavar="N", help="An open descriptor, never 1 or 2.")
@click.option("--confirm", metavar="TEXT", help='What has to be typed: "export VOLUME".')
@pass_context
def export(context: Context, volume: str, output: Path | None, descriptor: int | None, confirm: str | None) -> int:
    """Export the unlocking key of VOLUME, as the bytes that stock cryptsetup takes.

    Whoever has the file can open the volume: `cryptsetup open --key-file FILE DEVICE NAME`. A TPM shows no
    key, so the key comes from another provider of the volume.
    """
    demand_root("key export")
    from volward.errors import ConfirmationError
    from volward.operations.keys import export_key

    spec = context.spec(volume)
    if (output is None) == (descriptor is None):
        raise click.UsageError("Say where the key goes: --output FILE or --fd N.")
    if descriptor in (1, 2):
        raise click.UsageError("A key is never written to standard output or standard error.")
    wanted = f"export {volume}"
    if confirm is None and context.is_terminal:
        context.print(f"Whoever has this key can open {volume}. It is written once and not shown.")
        confirm = click.prompt(f'Type "{wanted}" to go on', default="", show_default=False)
    if confirm != wanted:
        raise ConfirmationError(
            "Exporting a key has to be confirmed.",
            resolution=f'Type "{wanted}" when asked, or pass `--confirm "{wanted}"`.',
        )
    target = descriptor if descriptor is not None else _create(output)
    try:
        exported = export_key(spec, deadline_seconds=60.0)
        with exported.key as secret, secret.view() as view:
            written = 0
            while written < len(view):
                written += os.write(target, view[written:])
            os.fsync(target) if output else None
    except BaseException:
        if output:
            output.unlink(missing_ok=True)
        raise
    where = str(output) if output else f"descriptor {descriptor}"
    context.print(f"{volume}: the key of {exported.provider} (keyslot {exported.keyslot}) was written to {where}")
    return 0


def _create(output: Path | None) -> int:
    from volward.errors import KeyExistsError, NoSpaceError

    if output is None:
        raise AssertionError("either a file or a descriptor was given")
    try:
        return os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise KeyExistsError(f"{output} exists already.", resolution="Choose a new file name.") from error
    except OSError as error:
        raise NoSpaceError(
            f"{output} cannot be created: {error.strerror}.", resolution="Choose another place."
        ) from error
