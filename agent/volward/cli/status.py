"""`volward status`: the volumes and everything below them. Read-only, needs no secret and takes no lock.

With --live it is the daemon that tells (cli/status_live.py).
"""

import click

from volward.cli.completion import volume_names
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root
from volward.exit_status import ExitStatus


@click.command
@click.argument("volumes", nargs=-1, shell_complete=volume_names)
@click.option("--long", "-l", "detailed", is_flag=True, help="Everything about each volume; so also with one named.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (docs/reference/status.schema.json).")
@click.option("--check", is_flag=True, help="Exit with 76 when a volume is not as it should be.")
@click.option("--live", is_flag=True, help="Ask the daemon: what it waits for, when it tries again, and why.")
@click.option("--follow", is_flag=True, help="With --live: go on, and tell of each change (with --json a line each).")
@pass_context
def status(
    context: Context, volumes: tuple[str, ...], *, detailed: bool, as_json: bool, check: bool, live: bool, follow: bool
) -> int:
    """Show the volumes; one volume in full when it is named.

    Exit status: 0 when the state could be told, whatever it is. With --check 76 when a volume is not ok; one that
    is closed counts as ok when the configuration says open_at_boot = false. With --live 69 when no daemon runs.
    """
    if follow and not live:
        raise click.UsageError("--follow goes with --live.")
    if live:
        if check or detailed:
            raise click.UsageError("--live goes with neither --check nor --long.")
        from volward.cli import status_live

        tell = status_live.follow if follow else status_live.show
        return tell(context, volumes, json_wanted=as_json)
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
