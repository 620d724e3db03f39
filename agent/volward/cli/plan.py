"""`volward plan`: what would be done, and why. Read-only, needs no secret."""

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_device_mapper, demand_root
from volward.exit_status import ExitStatus


@click.command
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@click.option("--json", "as_json", is_flag=True, help="Print the plans as JSON.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 3 when there is something to do.")
@pass_context
def plan(context: Context, volumes: tuple[str, ...], as_json: bool, detailed_exitcode: bool) -> int:
    """Show what `volward apply` would do, and why; all volumes when none is named.

    Exit status: 0, or with --detailed-exitcode 3 when changes are pending; the status of the first refusal.
    """
    demand_root("plan")
    from volward.model import Goal
    from volward.operations.prepare import Refused, prepare
    from volward.report import plan as text

    specs = context.select(volumes)
    demand_device_mapper(load=False)
    # On a terminal `apply` makes a recovery key where one is missing, and without one it does not.
    looked = [prepare(spec, Goal.PROVISION, can_hand_over_recovery=context.is_terminal) for spec in specs]
    refusals = [one.error for one in looked if isinstance(one, Refused)]
    if as_json:
        context.json(
            [
                text.error_as_json(one.spec.name, one.error) if isinstance(one, Refused) else text.as_json(one.plan)
                for one in looked
            ]
        )
    else:
        if not looked:
            context.note(f"No volume is configured in {context.root}. `volward init` writes a configuration.")
        for one in looked:
            if isinstance(one, Refused):
                context.failure(one.error, about=one.spec.name)
            else:
                context.print("\n".join(text.lines(one.plan)))
    if refusals:
        return ExitStatus.of_pass(one.exit_status for one in refusals)
    pending = any(one.plan.actions for one in looked if not isinstance(one, Refused))
    return int(ExitStatus.CHANGES_PENDING if pending and detailed_exitcode else ExitStatus.DONE)
