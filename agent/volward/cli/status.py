"""`volward status`: the volumes and everything below them. Read-only, needs no secret and takes no lock."""

import click

from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root
from volward.exit_status import ExitStatus


@click.command
@click.argument("volumes", nargs=-1)
@click.option("--long", "-l", "detailed", is_flag=True, help="Everything about each volume; so also with one named.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (docs/reference/status.schema.json).")
@click.option("--check", is_flag=True, help="Exit with 76 when a volume is not as it should be.")
@pass_context
def status(context: Context, volumes: tuple[str, ...], detailed: bool, as_json: bool, check: bool) -> int:
    """Show the volumes; one volume in full when it is named.

    Exit status: 0 when the state could be told, whatever it is. With --check 76 when a volume is not ok; one that
    is closed counts as ok when the configuration says open_at_boot = false.
    """
    demand_root("status")
    from volward.operations.status import look_at
    from volward.report import condition

    judged = [(one, condition.judge(one)) for one in look_at(context.select(volumes, kept=True))]
    if as_json:
        from volward.report.status_json import as_json as document

        context.json(document(judged))
    elif detailed or len(volumes) == 1:
        from volward.report import detail

        context.print("\n\n".join("\n".join(detail.lines(*one)) for one in judged))
    else:
        from volward.report import status as text

        if judged:
            context.table(text.HEADINGS, [text.row(*one) for one in judged], styles=text.STYLES)
        for line in text.below(judged):
            context.print(line)
    if check and not all(condition.is_fine(*one) for one in judged):
        return int(ExitStatus.VERIFICATION_FAILED)
    return int(ExitStatus.DONE)
