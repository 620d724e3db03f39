"""`volward apply`: bring volumes to what the configuration says; the only command that formats."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from volward.cli import recipient
from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_device_mapper, demand_root
from volward.exit_status import ExitStatus

if TYPE_CHECKING:
    from volward.apply import RecoveryDelivery
    from volward.model import Identity, VolumeSpec
    from volward.operations.prepare import Prepared, Refused


@click.command
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@click.option("--yes", is_flag=True, help="Confirm what is destructive, for the volumes that are named.")
@click.option(
    "--overwrite",
    multiple=True,
    metavar="VOLUME[=IDENTITY]",
    help="Wipe and format this volume's device although it is not blank; its serial number has to be typed out.",
)
@recipient.options
@click.option("--no-recovery", is_flag=True, help="Leave recovery keys for later (`volward recovery enrol`).")
@pass_context
def apply(
    context: Context,
    *,
    volumes: tuple[str, ...],
    yes: bool,
    overwrite: tuple[str, ...],
    recovery_fd: int | None,
    recovery_vault: bool = False,
    no_recovery: bool,
) -> int:
    """Format, enrol, open, mount and prepare volumes; all of them when none is named.

    Shows the plan first and asks before anything is destroyed. Running it again is safe: what is done is not
    done again, and what was cut short is finished.
    """
    demand_root("apply")
    if no_recovery and (recovery_fd is not None or recovery_vault):
        raise click.UsageError("Say where recovery keys go, or --no-recovery, not both.")
    from volward.host import tools

    specs = context.select(volumes)
    demand_device_mapper(load=True)
    tools.demand(specs, provisioning=True)
    taking = recipient.chosen(context, recovery_fd=recovery_fd, recovery_vault=recovery_vault)
    with nullcontext() if no_recovery else taking as delivery:
        return _provision(context, specs, delivery, named=volumes, yes=yes, overwrite=overwrite)


def _provision(
    context: Context,
    specs: Sequence["VolumeSpec"],
    delivery: "RecoveryDelivery | None",
    *,
    named: tuple[str, ...],
    yes: bool,
    overwrite: tuple[str, ...],
) -> int:
    from volward.cli.confirmation import confirm_plans, overwrite_requests
    from volward.cli.interruption import Interruption
    from volward.cli.steps import StepPrinter
    from volward.model import Goal, ProviderKind
    from volward.operations.prepare import Prepared, Refused, prepare
    from volward.operations.provision import provision

    requests = overwrite_requests(overwrite, [spec.name for spec in specs])
    looked = [
        prepare(
            spec, Goal.PROVISION, can_hand_over_recovery=delivery is not None, overwrite=spec.name in requests
        )
        for spec in specs
    ]  # fmt: skip
    refused = [one for one in looked if isinstance(one, Refused)]
    prepared = [one for one in looked if isinstance(one, Prepared)]
    _show(context, looked)
    typed = _identities(prepared, requests, terminal=context.is_terminal)
    confirm_plans([one.plan for one in prepared], named=named, yes=yes, terminal=context.is_terminal)
    interruption = Interruption()
    asks = any(ProviderKind.PROMPT in one.spec.providers for one in prepared)
    with interruption.watched():
        outcomes = provision(
            [one.spec for one in prepared if one.is_to_be_done],
            recovery=delivery,
            watcher=StepPrinter(interruption, whole_lines=asks),
            approved={one.spec.name for one in prepared if one.plan.destructive},
            overwrite=typed,
        )
    for outcome in outcomes:
        if outcome.provisioned:
            mount_point = context.spec(outcome.volume).mount_point
            context.print(f"{outcome.volume}: provisioned, open and {'mounted' if mount_point else 'in use as swap'}")
        for remark in outcome.remarks:
            context.note(f"  warning: {remark}")
        if outcome.error:
            context.failure(outcome.error, about=outcome.volume)
    errors = [one.error for one in refused] + [outcome.error for outcome in outcomes if outcome.error]
    return ExitStatus.of_pass(error.exit_status for error in errors)


def _show(context: Context, looked: Sequence["Prepared | Refused"]) -> None:
    from volward.operations.prepare import Refused
    from volward.report import plan as text

    if not looked:
        context.note(f"No volume is configured in {context.root}. `volward init` writes a configuration.")
    for one in looked:
        if isinstance(one, Refused):
            context.failure(one.error, about=one.spec.name)
        else:
            context.print("\n".join(text.lines(one.plan)))


def _identities(prepared: Sequence["Prepared"], requests: dict[str, str], *, terminal: bool) -> dict[str, "Identity"]:
    """Have the identity typed of each device that the plan wipes, now that the plan was read."""
    from volward.cli.confirmation import confirm_overwriting
    from volward.model import Step

    typed = {}
    for one in prepared:
        device = one.seen.device
        if device is not None and any(action.step is Step.WIPE for action in one.plan.actions):
            confirm_overwriting(one.spec.name, device, requests[one.spec.name], terminal=terminal)
            typed[one.spec.name] = device.identity
    return typed
