"""`volward preflight`: will the next boot open the volumes without a person? Tries every key; changes nothing."""

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root
from volward.exit_status import ExitStatus


@click.command
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (docs/how-to/preflight.md).")
@click.option("--strict", is_flag=True, help="Warnings count as failures.")
@click.option("--wait", type=click.IntRange(1, 600), default=20, show_default=True, metavar="SECONDS",
              help="How long each provider may take to answer.")  # fmt: skip
@pass_context
def preflight(context: Context, volumes: tuple[str, ...], *, as_json: bool, strict: bool, wait: int) -> int:
    """Prove that the next boot opens VOLUMES (all when none is named) without a person.

    Exit status: 0 when it does, 76 when a person will be needed (with --strict also for warnings).
    """
    demand_root("preflight")
    from volward.operations.preflight import preflight as check
    from volward.report import preflight as report

    specs = context.select(volumes)
    checks = check(specs, deadline_seconds=float(wait))
    if as_json:
        context.json(report.as_json(checks))
    else:
        context.table(report.HEADINGS, [one.row for one in checks], styles=report.STYLES)
        context.print()
        for one in checks:
            if one.resolution:
                context.print(f"{one.volume}, {one.what}: {one.found.rstrip('.')}.\n  {one.resolution}")
        context.print(report.summary(checks, len(specs)))
    return int(ExitStatus.DONE if report.passed(checks, strict=strict) else ExitStatus.VERIFICATION_FAILED)
