"""`volward apply`: bring volumes to what the configuration says; the only command that formats."""

import click

from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_device_mapper, demand_root
from volward.errors import VolwardError


@click.command
@click.argument("volumes", nargs=-1)
@click.option("--yes", is_flag=True, help="Confirm what is destructive, for the volumes that are named.")
@click.option(
    "--overwrite",
    multiple=True,
    metavar="VOLUME[=IDENTITY]",
    help="Format this volume's device although it is not blank; its serial number has to be typed out.",
)
@click.option("--recovery-fd", type=int, metavar="N", help="Write new recovery keys to this descriptor (an escrow).")
@click.option("--no-recovery", is_flag=True, help="Leave recovery keys for later (`volward recovery enrol`).")
@pass_context
def apply(
    context: Context,
    volumes: tuple[str, ...],
    yes: bool,
    overwrite: tuple[str, ...],
    recovery_fd: int | None,
    no_recovery: bool,
) -> int:
    """Format, enrol, open, mount and prepare volumes; all of them when none is named.

    Shows the plan first and asks before anything is destroyed. Running it again is safe: what is done is not
    done again, and what was cut short is finished.
    """
    demand_root("apply")
    from volward.cli.confirmation import confirm_overwriting, confirm_plans
    from volward.cli.delivery import DescriptorDelivery, TerminalDelivery
    from volward.cli.interruption import Interruption
    from volward.cli.steps import StepPrinter
    from volward.operations.provision import prepare, provision
    from volward.plan import Goal
    from volward.report import plan as text

    interruption = Interruption()
    delivery = (
        DescriptorDelivery(recovery_fd) if recovery_fd is not None
        else TerminalDelivery() if context.is_terminal and not no_recovery
        else None
    )  # fmt: skip
    specs = context.select(volumes)
    demand_device_mapper()
    overwritten = confirm_overwriting(overwrite, {s.name: s for s in specs}, terminal=context.is_terminal)
    prepared = [
        prepare(
            spec,
            Goal.PROVISION,
            can_hand_over_recovery=delivery is not None,
            overwrite=spec.name in overwritten,
        )
        for spec in specs
    ]
    refused: list[VolwardError] = []
    plans = []
    for one in prepared:
        if one.plan:
            plans.append(one.plan)
            context.print("\n".join(text.lines(one.plan)))
        elif one.error:
            refused.append(one.error)
            context.note(f"{one.spec.name}\n  refused: {one.error.what}\n  {one.error.resolution} ({one.error.code})")
    confirm_plans(plans, named=volumes, yes=yes, terminal=context.is_terminal)
    working = [one.spec for one in prepared if one.plan and one.plan.actions]
    with interruption.watched():
        outcomes = provision(
            working,
            recovery=delivery,
            watcher=StepPrinter(interruption),
            approved={plan.volume for plan in plans if plan.destructive},
            overwrite=set(overwritten),
        )
    for outcome in outcomes:
        if outcome.error:
            refused.append(outcome.error)
            context.note(f"{outcome.volume}: {outcome.error.what}\n  {outcome.error.resolution} ({outcome.error.code})")
        else:
            context.print(f"{outcome.volume}: provisioned, open and mounted")
    return int(refused[0].exit_status) if refused else 0
