"""`volward config schema`: the JSON Schema of the configuration, for editors."""

import click

from volward.cli.context import Context, pass_context


@click.group
def config() -> None:
    """Things about the configuration file itself."""


@config.command
@pass_context
def schema(context: Context) -> None:
    """Print the JSON Schema (draft 2020-12) of volward.toml.

    An editor with a TOML language server completes and checks the file with it: save the schema beside
    volward.toml and begin that file with `#:schema ./volward.schema.json`.
    """
    from volward.config import json_schema

    context.json(json_schema())
