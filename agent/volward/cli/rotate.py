"""`volward rotate`: a new key in place of one that is enrolled, without downtime."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from volward.cli import recipient
from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root
from volward.exit_status import ExitStatus
from volward.model import ProviderKind

if TYPE_CHECKING:
    from volward.operations.rotate import Looked, Rotated


@click.command
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@click.option("--due", is_flag=True, help="What is due, of all volumes or those named; this is what the timer runs.")
@click.option("--now", "at_once", is_flag=True, help="Remove the old keyslot at once, in place of retiring it.")
@click.option(
    "--provider",
    type=click.Choice([str(kind) for kind in ProviderKind]),
    help="Whose key; without it the first one that needs no person.",
)
@click.option("--volume-key", is_flag=True, help="Re-encrypt all data with a new volume key (hours on a large disk).")
@click.option("--online", is_flag=True, help="With --volume-key: while the volume is in use.")
@click.option("--progress-json", is_flag=True, help="With --volume-key: how far it is, one JSON object a line.")
@click.option(
    "--new-recovery",
    is_flag=True,
    help="With --volume-key: a new recovery key in place of the present one; so do --recovery-fd and --recovery-vault.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would become of each keyslot, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON (docs/reference/plan.schema.json).")
@click.option("--yes", is_flag=True, help="Confirm that keyslots are removed, for the volumes that are named.")
@click.option(
    "--recovery", "ask_recovery", is_flag=True, help="Ask for the recovery key; no provider has to open the volume."
)
@recipient.options
@pass_context
def rotate(
    context: Context,
    *,
    volumes: tuple[str, ...],
    due: bool,
    at_once: bool,
    provider: str | None,
    volume_key: bool = False,
    online: bool = False,
    progress_json: bool = False,
    new_recovery: bool = False,
    only_plan: bool,
    as_json: bool,
    yes: bool,
    recovery_fd: int | None,
    recovery_vault: bool = False,
    ask_recovery: bool = False,
) -> int:
    """Give volumes a new unlocking key; the old one opens them until its grace period is over.

    Nothing is closed. A rotation that was cut short is finished first; with --due also keyslots are removed that an
    earlier rotation retired, when their time has come. With --recovery a host gets keys of its own again that has lost
    them (a TPM that was replaced, a new mainboard, a disk of another host). With --volume-key the data themselves get
    another key, after the unlocking keys; Ctrl-C pauses that, and the same command goes on. A recovery key that is not
    at hand for it is replaced by --new-recovery.
    """
    demand_root("rotate")
    _demand_sense(volumes, due=due, at_once=at_once, provider=provider)
    if due and ask_recovery:
        raise click.UsageError("--recovery asks a person, and --due is for the timer: name a volume.")
    if volume_key:
        from volward.cli.reencrypt import give_new_volume_key

        if due or at_once or provider or ask_recovery:
            raise click.UsageError("--volume-key goes without --due, --now, --provider and --recovery.")
        return give_new_volume_key(
            context,
            volumes,
            online=online,
            new_recovery=new_recovery,
            recovery_fd=recovery_fd,
            recovery_vault=recovery_vault,
            yes=yes,
            only_plan=only_plan,
            as_json=as_json,
            progress_json=progress_json,
        )
    if online or progress_json or new_recovery:
        raise click.UsageError("--online, --progress-json and --new-recovery go with --volume-key.")
    from volward.operations.rotate import Pass, look
    from volward.operations.rotate import rotate as rotate_keys
    from volward.plan.rotation import Wish

    wish = Wish(ProviderKind(provider) if provider else None, due, at_once)
    specs = context.select(volumes)
    looked = [look(spec, wish) for spec in specs]
    if due and not volumes:
        looked = [one for one in looked if not _is_left_out(context, one)]
    if as_json or only_plan:
        return _show(context, looked, as_json=as_json)
    if not due:
        from volward.cli.confirmation import confirm_plans

        _show(context, looked)
        plans = [one.plan for one in looked if one.plan]
        confirm_plans(plans, named=volumes, yes=yes, terminal=context.is_terminal, command="rotate")
    from volward.cli.interruption import Interruption
    from volward.cli.steps import StepPrinter

    interruption = Interruption()
    taking = recipient.chosen(context, recovery_fd=recovery_fd, recovery_vault=recovery_vault)
    with taking as delivery, interruption.watched():
        done = rotate_keys(
            [one.spec for one in looked if one.error is None],
            Pass(
                wish,
                delivery,
                StepPrinter(interruption, whole_lines=provider in (ProviderKind.RECOVERY, ProviderKind.PROMPT)),
                approved={one.spec.name for one in looked if one.plan and one.plan.destructive},
                deadline_seconds=60.0,
                ask_recovery=ask_recovery,
            ),
        )
    if due:
        for one in looked:
            if one.error:
                context.failure(one.error, about=one.spec.name)
    for ended in done:
        _tell(context, ended)
    errors = [error for error in (*(one.error for one in looked), *(one.error for one in done)) if error]
    return ExitStatus.of_pass(error.exit_status for error in errors)


def _demand_sense(volumes: Sequence[str], *, due: bool, at_once: bool, provider: str | None) -> None:
    if not volumes and not due:
        raise click.UsageError("Say which volumes, or --due.")
    if due and (at_once or provider):
        raise click.UsageError("--due goes by the configuration: leave --now and --provider out.")


def _is_left_out(context: Context, one: "Looked") -> bool:
    from volward.cli import failure

    why = failure.left_out(one.spec, one.error) if one.error else ""
    if why:
        context.note(why)
    return bool(why)


def _show(context: Context, looked: "Sequence[Looked]", *, as_json: bool = False) -> int:
    from volward.report import plan as text
    from volward.report import rotation

    if as_json:
        refused = [text.error_as_json(one.spec.name, one.error) for one in looked if one.error]
        context.json([*(rotation.as_json(one.plan) for one in looked if one.plan), *refused])
    for one in () if as_json else looked:
        if one.error:
            context.failure(one.error, about=one.spec.name)
        elif one.plan:
            if one.resumes:
                context.note(f"{one.spec.name}: {one.resumes} was cut short and is finished first.")
            context.print("\n".join(rotation.lines(one.plan)))
    return ExitStatus.of_pass(one.error.exit_status for one in looked if one.error)


def _tell(context: Context, one: "Rotated") -> None:
    from volward.report.rotation import done

    if one.resumed:
        context.print(f"{one.volume}: {one.resumed} was finished")
    for plan in one.plans:
        context.print(f"{one.volume}: {done(plan)}")
    if one.nothing_because:
        context.print(f"{one.volume}: nothing to do, because {one.nothing_because}")
    for remark in one.remarks:
        context.note(f"  warning: {remark}")
    if one.error:
        context.failure(one.error, about=one.volume)
