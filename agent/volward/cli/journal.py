"""`volward journal`: operations that did not end, and with --all the ones that did."""

import time
from typing import TYPE_CHECKING

import click

from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root

if TYPE_CHECKING:
    from volward.journal import Record


@click.command
@click.option("--all", "every", is_flag=True, help="Finished operations as well.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
@pass_context
def journal(context: Context, every: bool, as_json: bool) -> int:
    """Show operations and how far they came. An unfinished one is resumed or aborted by its name."""
    demand_root("journal")
    from volward import journal as records

    found = records.every() if every else records.unfinished()
    if as_json:
        context.json(
            [
                {
                    "operation": r.operation,
                    "verb": r.verb,
                    "volume": r.volume,
                    "begun_at": r.begun_at,
                    "steps_done": list(r.steps_done),
                    "step_begun": r.step_begun,
                    "outcome": r.outcome,
                }
                for r in found
            ]
        )
        return 0
    if not found:
        context.print("No operation is unfinished." if not every else "No operation was recorded.")
        return 0
    context.table(
        ["OPERATION", "BEGUN", "LAST STEP", "STATE"],
        [
            [
                r.operation,
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(r.begun_at)),
                r.step_begun or (r.steps_done[-1] if r.steps_done else "none"),
                r.outcome or _where_cut(r),
            ]
            for r in found
        ],
    )
    return 0


def _where_cut(record: "Record") -> str:
    if record.step_begun:
        return "cut in this step"
    return "cut after this step" if record.steps_done else "cut before its first step"
