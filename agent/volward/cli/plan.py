"""`volward plan`: what would be done, and why. Read-only, needs no secret."""

import click

from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root
from volward.errors import ExitStatus


@click.command
@click.argument("volumes", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the plans as JSON.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 3 when there is something to do.")
@pass_context
def plan(context: Context, volumes: tuple[str, ...], as_json: bool, detailed_exitcode: bool) -> int:
    """Show what `volward apply` would do, and why; all volumes when none is named.

    Exit status: 0, or with --detailed-exitcode 3 when changes are pending; the status of the first refusal.
    """
    demand_root("plan")
    from volward.operations.provision import prepare
    from volward.plan import Goal
    from volward.report import plan as text

    prepared = [prepare(spec, Goal.PROVISION, can_hand_over_recovery=False) for spec in context.select(volumes)]
    if as_json:
        context.json(
            [text.as_json(one.plan) if one.plan else text.error_as_json(one.spec.name, one.error) for one in prepared]
        )
    for one in prepared:
        if one.plan and not as_json:
            context.print("\n".join(text.lines(one.plan)))
        if one.error and not as_json:
            context.note(f"{one.spec.name}\n  refused: {one.error.what}\n  {one.error.resolution} ({one.error.code})")
    first_error = next((one.error for one in prepared if one.error), None)
    if first_error:
        return int(first_error.exit_status)
    pending = any(one.plan and one.plan.actions for one in prepared)
    return int(ExitStatus.CHANGES_PENDING if pending and detailed_exitcode else ExitStatus.DONE)
