"""`volward check`: is the configuration right? Works without root and touches nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from volward.cli.context import Context, pass_context
from volward.exit_status import ExitStatus

if TYPE_CHECKING:
    from volward.config import Configuration


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
    warnings = [*examination.warnings, *(_circle(configuration) if configuration else ())]
    if as_json:
        context.json(
            {
                "problems": [
                    {"file": one.file, "path": one.path, "what": one.what, "suggestion": one.suggestion}
                    for one in examination.problems
                ],
                "warnings": warnings,
                "volumes": [] if configuration is None else list(configuration.volumes),
            }
        )
        return int(ExitStatus.DONE if configuration else ExitStatus.CONFIGURATION)
    if configuration is None:
        raise as_error(examination.problems)
    for warning in warnings:
        context.note(f"warning: {warning}")
    names = list(configuration.volumes)
    count = f"{len(names)} volume{'' if len(names) == 1 else 's'}"
    context.print(f"The configuration is right: {count}" + (f" ({', '.join(names)})." if names else "."))
    return 0


def _circle(configuration: "Configuration") -> Iterator[str]:
    """Warn of volumes of which each waits for another at a boot; the recovery key opens them all the same."""
    from volward import stores
    from volward.host import listener
    from volward.plan import order

    specs = tuple(stores.specs(configuration).values())
    servers = {spec.vault.server.address for spec in specs if spec.vault is not None}
    here = frozenset(address for address in servers if listener.names_this_host(address))
    if found := order.circle(order.of_configuration(specs, here)):
        mend = f'Give {found[0].volume} a provider of this host (`keys = ["credential"]`), or another device.'
        yield f"volumes.{found[0].volume}: {order.sentence(found)}. {mend}"
