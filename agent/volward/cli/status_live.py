"""`volward status --live`: what the daemon knows, told by itself over its control socket."""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence

import click

from volward.cli.context import Context
from volward.errors import UnknownVolumeError
from volward.exit_status import ExitStatus
from volward.service import client, live_text
from volward.service.live import LiveStatus

SCHEMA_VERSION = 1  # rises when a field goes away or changes its meaning; new fields may come at any time


def show(context: Context, names: Sequence[str], *, json_wanted: bool) -> int:
    """Show what the daemon knows now."""
    status = _only(client.status(), names)
    if json_wanted:
        context.json(_document(status))
    else:
        _table(context, status)
    return int(ExitStatus.DONE)


def follow(context: Context, names: Sequence[str], *, json_wanted: bool) -> int:
    """Show what the daemon knows, then each change, until Ctrl-C or the daemon's end."""
    answers = client.follow()
    try:
        first = next(answers)
        _only(first, names)  # a name that the daemon does not know is most likely misspelt
        if json_wanted:
            _lines(first, answers, names)
        else:
            _table(context, _only(first, names))
            _changes(first, answers, names)
    except KeyboardInterrupt:  # the way to end it
        return int(ExitStatus.INTERRUPTED)
    return int(ExitStatus.DONE)


def _table(context: Context, status: LiveStatus) -> None:
    if status.volumes:
        context.table(live_text.HEADINGS, map(live_text.row, status.volumes), styles=live_text.STYLES)
    for line in live_text.below(status, status.volumes):
        context.print(line)


def _lines(first: LiveStatus, answers: Iterator[LiveStatus], names: Sequence[str]) -> None:
    click.echo(json.dumps(_document(_among(first, names)), ensure_ascii=False))
    for status in answers:
        click.echo(json.dumps(_document(_among(status, names)), ensure_ascii=False))


def _changes(before: LiveStatus, answers: Iterator[LiveStatus], names: Sequence[str]) -> None:
    for after in answers:
        known = dict.fromkeys(volume.name for status in (before, after) for volume in status.volumes)
        for line in live_text.changes(
            before, after, [name for name in known if not names or name in names], time.time()
        ):
            click.echo(line)
        before = after


def _document(status: LiveStatus) -> dict[str, object]:
    return {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(status)}


def _only(status: LiveStatus, names: Sequence[str]) -> LiveStatus:
    known = {volume.name for volume in status.volumes}
    for name in names:
        if name not in known:
            raise UnknownVolumeError(
                f'The daemon knows no volume "{name}".',
                resolution=f"It knows: {', '.join(sorted(known)) or 'none'}. After a change of the configuration: "
                "`volward reload`.",
            )
    return _among(status, names)


def _among(status: LiveStatus, names: Sequence[str]) -> LiveStatus:
    """Return the status with these volumes alone; all of them when none is named."""
    if not names:
        return status
    return dataclasses.replace(status, volumes=tuple(volume for volume in status.volumes if volume.name in names))
