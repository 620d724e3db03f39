"""`volward system`: volward's own units on this host."""

from typing import TYPE_CHECKING

import click

from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root

if TYPE_CHECKING:
    from volward.installation import Installation


@click.group
def system() -> None:
    """Install, remove and show volward's own units: what opens volumes at boot, rotates, backs up and checks.

    The units of a volume (of its mount and its mapping, what ties its consumers to it) are not among them; `volward
    apply` has those.
    """


@system.command
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be changed.")
@click.option("--replace", multiple=True, metavar="FILE",
              help="Replace this file although an administrator changed it; what it says is kept aside.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@pass_context
def install(context: Context, *, only_plan: bool, replace: tuple[str, ...], as_json: bool) -> int:
    """Write and enable the units, after showing what changes; running it again is safe, and finishes what was cut.

    A file that an administrator changed is left alone, and so is a unit that one disabled or masked. Where a Debian
    package brought the units, they are only enabled. The socket of `volward export crypttab` stays off.
    """
    demand_root("system install")
    from volward.host.shipped import BY_PATH
    from volward.operations.system_additions import plan_install

    known = {name for path in BY_PATH for name in (path.name, str(path))}
    if unknown := [name for name in replace if name not in known]:
        raise click.UsageError(f"volward installs no {unknown[0]}. `volward system status` lists its files.")
    plan = plan_install(replace=replace)
    _change(context, plan, only_plan=only_plan, as_json=as_json)
    return 0


@system.command
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would be changed.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@pass_context
def uninstall(context: Context, *, only_plan: bool, as_json: bool) -> int:
    """Disable and remove the units that volward installed and nobody changed.

    Volumes, their units and their consumers stay as they are. volward.service is stopped, which closes nothing; from
    then on no boot opens a volume by itself.
    """
    demand_root("system uninstall")
    from volward.operations.system_removals import plan_uninstall

    plan = plan_uninstall(opened_at_boot=_opened_at_boot(context))
    _change(context, plan, only_plan=only_plan, as_json=as_json)
    return 0


@system.command
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@pass_context
def status(context: Context, *, as_json: bool) -> int:
    """Show volward's units: whether each file is as volward writes it, enabled, and running."""
    demand_root("system status")
    from volward.host import boot
    from volward.operations.system_additions import plan_install
    from volward.report import system as report

    plan = plan_install()
    states = boot.states(report.unit_names())
    if as_json:
        context.json(report.status_as_json(plan, states))
        return 0
    context.table(report.HEADINGS, report.rows(plan, states), styles=report.STYLES)
    for note in report.notes(plan):
        context.note(note)
    if plan.is_to_be_done:
        context.note("`volward system install` brings them up to date; with --plan it only shows what it would change.")
    return 0


def _opened_at_boot(context: Context) -> tuple[str, ...]:
    """Return the volumes that the configuration has the boot open; none when it cannot be read: it is not needed."""
    from volward.errors import VolwardError

    try:
        return tuple(spec.name for spec in context.specs.values() if spec.open_at_boot)
    except VolwardError:
        return ()


def _change(context: Context, plan: "Installation", *, only_plan: bool, as_json: bool) -> None:
    """Show what would be changed, and change it unless only that was asked for."""
    from volward.operations.system_install import carry_out
    from volward.report import system as report

    if not as_json:
        _show(context, list(report.lines(plan)))
    if not only_plan:
        carry_out(plan)
        if plan.is_to_be_done and not as_json:
            context.print(report.done(plan))
    if as_json:
        context.json(report.as_json(plan, carried_out=not only_plan))


def _show(context: Context, lines: list[str]) -> None:
    for line in lines:
        context.print(line)
