"""`volward rotate --volume-key`: the data under another volume key, with how far it is."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from volward.cli import recipient
from volward.cli.context import Context
from volward.cli.steps import StepPrinter
from volward.errors import VolwardError
from volward.exit_status import ExitStatus
from volward.model import Progress

if TYPE_CHECKING:
    from volward.cli.interruption import Interruption
    from volward.operations.reencryption_look import Looked

_SECONDS_BETWEEN_LINES = 10.0


def give_new_volume_key(
    context: Context,
    volumes: Sequence[str],
    *,
    online: bool = False,
    new_recovery: bool = False,
    recovery_fd: int | None = None,
    recovery_vault: bool = False,
    yes: bool = False,
    only_plan: bool = False,
    as_json: bool = False,
    progress_json: bool = False,
) -> int:
    """Re-encrypt these volumes one after another; show the plan and every keyslot's fate first.

    A descriptor or Vault that takes a new recovery key says that one is wanted, as ``new_recovery`` does.
    """
    if not volumes:
        raise click.UsageError("Say which volumes get a new volume key.")
    from volward.operations.reencrypt import run
    from volward.operations.reencryption_look import Wanted, look
    from volward.report import plan as text

    new_recovery = new_recovery or recovery_fd is not None or recovery_vault
    wanted = Wanted(online=online, typed=context.is_terminal, new_recovery=new_recovery)
    errors: list[VolwardError] = []
    refused: list[dict[str, object]] = []
    looked: list[Looked] = []
    for spec in context.select(volumes):
        try:
            looked.append(look(spec, wanted))
        except VolwardError as error:
            errors.append(error)
            refused.append(text.error_as_json(spec.name, error))
            context.failure(error, about=spec.name)
    if as_json:
        from volward.report import rotation

        context.json([*(rotation.reencryption_as_json(one.plan, one.rotates) for one in looked), *refused])
    else:
        _show(context, looked)
    if not only_plan and not as_json:
        from volward.cli.confirmation import confirm_plans
        from volward.cli.interruption import Interruption

        plans = [one.plan for one in looked]
        confirm_plans(plans, named=volumes, yes=yes, terminal=context.is_terminal, command="rotate --volume-key")
        interruption = Interruption()
        taking = recipient.chosen(context, recovery_fd=recovery_fd, recovery_vault=recovery_vault)
        with taking as delivery, interruption.watched():
            for one in looked:
                if one.plan.nothing_because:
                    continue
                try:
                    printer = _Printer(interruption, as_json=progress_json)
                    done = run(context.spec(one.plan.volume), wanted, printer, shown=one.plan, recovery=delivery)
                except VolwardError as error:
                    errors.append(error)
                    context.failure(error, about=one.plan.volume)
                    continue
                context.note(f"{done.volume}: all data are under a new volume key, and every key opens it")
                for remark in done.remarks:
                    context.note(f"  warning: {remark}")
    return int(ExitStatus.of_pass(error.exit_status for error in errors))


def _show(context: Context, looked: "Sequence[Looked]") -> None:
    from volward.report import rotation

    for one in looked:
        if one.resumes:
            context.note(f"{one.plan.volume}: {one.resumes} was cut short and is finished.")
        if one.replaces:
            context.note(f"{one.plan.volume}: {one.replaces} was cut before any data changed. It is planned anew.")
        context.note("\n".join(rotation.reencryption_lines(one.plan, one.rotates)))


class _Printer(StepPrinter):
    """Steps as everywhere, and within the long one a bar on a terminal, a line now and then elsewhere, or JSON."""

    def __init__(self, interruption: "Interruption", *, as_json: bool) -> None:
        super().__init__(interruption, whole_lines=True)
        self._as_json = as_json
        self._last = 0.0

    def progress(self, volume: str, so_far: Progress) -> None:
        from volward.report import rotation

        now = time.monotonic()
        if self._as_json:
            import json

            click.echo(json.dumps(rotation.progress_as_json(volume, so_far)))
        elif sys.stderr.isatty():
            click.echo(f"\r  {rotation.progress_bar(volume, so_far)}\033[K", nl=so_far.percent >= 100, err=True)
        elif now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            click.echo(f"  {rotation.progress_line(volume, so_far)}", err=True)
