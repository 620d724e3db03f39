"""`volward check`: is the configuration right? Works without root and touches nothing."""

import click

from volward.cli.context import Context, pass_context
from volward.exit_status import ExitStatus


@click.command
@click.option("--json", "as_json", is_flag=True, help="Print problems, warnings and volumes as JSON.")
@pass_context
def check(context: Context, as_json: bool) -> int:
    """Check the configuration and list every problem at once.

    Exit status: 0 when it is right (warnings do not count), 78 when it has problems.
    """
    from volward import config
    from volward.config.problem import as_error

    examination = config.examine(context.root)
    configuration = examination.configuration
    if as_json:
        context.json(
            {
                "problems": [
                    {"file": one.file, "path": one.path, "what": one.what, "suggestion": one.suggestion}
                    for one in examination.problems
                ],
                "warnings": examination.warnings,
                "volumes": [] if configuration is None else list(configuration.volumes),
            }
        )
        return int(ExitStatus.DONE if configuration else ExitStatus.CONFIGURATION)
    if configuration is None:
        raise as_error(examination.problems)
    for warning in examination.warnings:
        context.note(f"warning: {warning}")
    names = list(configuration.volumes)
    count = f"{len(names)} volume{'' if len(names) == 1 else 's'}"
    context.print(f"The configuration is right: {count}" + (f" ({', '.join(names)})." if names else "."))
    return 0
