"""`volward reload`: have the daemon read the configuration again."""

import click

from volward.cli.context import Context, pass_context


@click.command
@pass_context
def reload(context: Context) -> int:
    """Have the daemon read its configuration again, and say whether it is good.

    With problems the daemon goes on with the configuration that it had. No volume is closed or changed by it; what was
    left to a person is tried again. Exit status: 78 when it has problems, 69 when no daemon runs.
    """
    from volward.errors import ConfigurationError
    from volward.service import client

    reloaded = client.reload()
    if not reloaded.good:
        problems = "\n".join(reloaded.problems) or "The daemon does not say which problems."
        raise ConfigurationError(
            f"The daemon goes on with the configuration that it had, because of the new one:\n{problems}",
            resolution="Mend it, run `volward check`, then `volward reload`.",
        )
    context.print("The configuration is good, and the daemon goes by it.")
    return 0
