"""`volward open`: open and mount provisioned volumes; also what the boot runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_device_mapper, demand_root

if TYPE_CHECKING:
    from volward.model import VolumeSpec
    from volward.operations.open import Opened


@click.command("open")
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@click.option("--all", "every", is_flag=True, help="All volumes that are to be open after the boot.")
@click.option("--recovery", is_flag=True, help="Ask for the recovery key instead of the configured providers.")
@click.option(
    "--timeout",
    "deadline_seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long an unreachable key provider is tried.",
)
@click.option(
    "--device",
    type=click.Path(path_type=Path),
    metavar="DEVICE",
    help="Open this device as mapping NAME from what its header says; no volume of the configuration, no mount.",
)
@click.option("--no-mount", is_flag=True, help="Open the mapping alone, to check or mend its file system.")
@click.option("--read-only", is_flag=True, help="With --device: open it read-only.")
@pass_context
def open_(
    context: Context,
    *,
    volumes: tuple[str, ...],
    every: bool,
    recovery: bool,
    deadline_seconds: float,
    device: Path | None,
    no_mount: bool,
    read_only: bool,
) -> int:
    """Open and mount volumes, side by side. Never formats anything.

    With --device the one argument names the mapping: keys are found by the header's tokens, with the server in
    [vault] or in VAULT_ADDR, VAULT_CACERT, VAULT_NAMESPACE and VAULT_TOKEN.
    With --no-mount a file system can be checked or mended; `volward open` mounts it afterwards.
    """
    demand_root("open")
    if device is not None:
        from volward.cli.open_device import open_by_header

        if every or len(volumes) != 1:
            raise click.UsageError("With --device, give one name for the mapping: `volward open --device DEVICE NAME`.")
        return open_by_header(
            context,
            device,
            volumes[0],
            recovery=recovery,
            deadline_seconds=deadline_seconds,
            read_only=read_only,
        )
    if read_only:
        raise click.UsageError("--read-only goes with --device.")
    if bool(volumes) == every:
        raise click.UsageError("Say which volumes to open, or --all; not both.")
    if no_mount and every:
        raise click.UsageError("With --no-mount, say which volumes.")
    from volward.cli.interruption import Interruption
    from volward.cli.steps import StepPrinter
    from volward.exit_status import ExitStatus
    from volward.host import tools
    from volward.model import Goal, ProviderKind, StoreKind
    from volward.operations.open import open_volumes

    interruption = Interruption()
    specs = [spec for spec in context.select(volumes, kept=True) if volumes or spec.open_at_boot]
    if no_mount and (scratch := [spec.name for spec in specs if spec.store is StoreKind.SCRATCH]):
        raise click.UsageError(
            f"--no-mount is of no use for scratch volumes, which are made anew: {', '.join(scratch)}."
        )
    demand_device_mapper(load=True)
    tools.demand(specs, provisioning=False)
    asks = recovery or any(ProviderKind.PROMPT in spec.providers for spec in specs)
    with interruption.watched():
        opened = open_volumes(
            specs,
            StepPrinter(interruption, whole_lines=asks or len(specs) > 1),
            deadline_seconds=deadline_seconds,
            ask_recovery=recovery,
            goal=Goal.MAP if no_mount else Goal.OPEN,
        )
    for spec, one in zip(specs, opened, strict=True):
        _tell(context, spec, one, no_mount=no_mount)
    return ExitStatus.of_pass(one.error.exit_status for one in opened if one.error)


def _tell(context: Context, spec: "VolumeSpec", one: "Opened", *, no_mount: bool) -> None:
    if one.error:
        context.failure(one.error, about=one.volume)
    elif one.plan and not one.plan.actions:
        context.print(f"{one.volume}: nothing to do, because {one.plan.nothing_because}")
    else:
        use = "and mounted" if spec.mount_point else "and in use as swap"
        how = f"as {spec.mapping_path}" if no_mount else use
        context.print(f"{one.volume}: open {how}" + (f" (key: {one.opened_by})" if one.opened_by else ""))
    for reason in one.degraded:
        context.note(f"  degraded: {reason}")
