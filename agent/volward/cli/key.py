"""`volward key`: the owner's own copy of an unlocking key."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root


@click.group
def key() -> None:
    """Export the keys of volumes."""


@key.command
@click.argument("volume", shell_complete=volume_names)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="A new file, mode 0600.")
@click.option("--fd", "descriptor", type=int, metavar="N", help="An open descriptor, never a standard stream.")
@click.option("--confirm", metavar="TEXT", help='What has to be typed: "export VOLUME".')
@pass_context
def export(context: Context, volume: str, output: Path | None, descriptor: int | None, confirm: str | None) -> int:
    """Export the unlocking key of VOLUME, as the bytes that stock cryptsetup takes.

    Whoever has the file can open the volume: `cryptsetup open --key-file FILE DEVICE NAME`. A TPM shows no
    key, so the key comes from another provider of the volume.
    """
    demand_root("key export")
    _demand_one_target(output, descriptor)
    from volward.operations.keys import export_key
    from volward.os_errors import explained

    spec = context.spec(volume)
    _confirm(context, volume, confirm)
    where = f"descriptor {descriptor}" if output is None else str(output)
    with explained(f"Writing the key of {volume} to {where}"), _opened(output, descriptor) as target:
        exported = export_key(spec, deadline_seconds=60.0)
        with exported.key as secret, secret.view() as view:
            written = 0
            while written < len(view):
                with view[written:] as rest:
                    written += os.write(target, rest)
    context.print(f"{volume}: the key of {exported.provider} (keyslot {exported.keyslot}) was written to {where}")
    return 0


@key.command(hidden=True)
@click.option("--timeout", type=click.FloatRange(min=0), default=300.0, show_default=True, metavar="SECONDS")
@pass_context
def serve(context: Context, timeout: float) -> int:
    """Answer systemd-cryptsetup on standard input, a socket (volward-key@.service)."""
    demand_root("key serve")
    import socket
    import stat
    import sys

    from volward.errors import KeyRequestError
    from volward.operations.serve_key import serve as serve_key

    if not stat.S_ISSOCK(os.fstat(sys.stdin.fileno()).st_mode):
        raise KeyRequestError(
            "Standard input is no socket.",
            resolution="volward-key.socket starts this: `volward export crypttab --install`.",
        )
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as connection:
        serve_key(connection, context.select((), kept=True), deadline_seconds=timeout)
    return 0


def _demand_one_target(output: Path | None, descriptor: int | None) -> None:
    if (output is None) == (descriptor is None):
        raise click.UsageError("Say where the key goes: --output FILE or --fd N.")
    if descriptor is not None:
        from volward.cli.delivery import writing_problem

        if problem := writing_problem(descriptor):
            raise click.UsageError(f"Descriptor {descriptor} cannot take a key: {problem}.")


def _confirm(context: Context, volume: str, confirm: str | None) -> None:
    from volward.errors import ConfirmationError

    wanted = f"export {volume}"
    if confirm is None and context.is_terminal:
        context.print(f"Whoever has this key can open {volume}. It is written once and not shown.")
        confirm = click.prompt(f'Type "{wanted}" to go on', default="", show_default=False)
    if confirm != wanted:
        raise ConfirmationError(
            "Exporting a key has to be confirmed.",
            resolution=f'Nothing was written. Type "{wanted}" when asked, or pass `--confirm "{wanted}"`.',
        )


@contextlib.contextmanager
def _opened(output: Path | None, descriptor: int | None) -> Iterator[int]:
    if descriptor is not None:
        yield descriptor
    elif output is not None:
        with _new_file(output) as target:
            yield target


@contextlib.contextmanager
def _new_file(output: Path) -> Iterator[int]:
    """Create a file that only root reads, durably; it goes again when anything fails, signals included."""
    from volward.durable import sync_directory
    from volward.errors import KeyExistsError

    try:
        target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise KeyExistsError(
            f"{output} exists already.", resolution="It may hold the only copy of a key. Choose a new file name."
        ) from error
    try:
        yield target
        os.fsync(target)
        sync_directory(output.absolute().parent)
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    finally:
        os.close(target)
