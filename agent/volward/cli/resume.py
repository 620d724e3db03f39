"""`volward resume` and `volward abort`: what becomes of an operation that was cut short."""

import click

from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root
from volward.errors import DeviceNotFoundError


@click.command
@click.argument("operation")
@click.pass_context
def resume(ctx: click.Context, operation: str) -> int:
    """Finish OPERATION from where it was cut short (`volward journal` lists them)."""
    demand_root("resume")
    from volward.cli.apply import apply

    record = _unfinished(operation)
    result: int = ctx.invoke(
        apply, volumes=(record.volume,), yes=True, overwrite=(), recovery_fd=None, no_recovery=False
    )
    return result


@click.command
@click.argument("operation")
@pass_context
def abort(context: Context, operation: str) -> int:
    """Give OPERATION up: nothing of it is done any more, and nothing that it did is undone.

    A device that it had begun to format counts as foreign afterwards; the key that it created stays.
    """
    demand_root("abort")
    from volward import journal, lock

    record = _unfinished(operation)
    with lock.held(record.volume):
        journal.resume(record).end("aborted")
    context.print(f"{operation}: aborted after {record.steps_done[-1] if record.steps_done else 'no step'}.")
    return 0


def _unfinished(operation: str):  # type: ignore[no-untyped-def]
    from volward import journal

    for record in journal.unfinished():
        if record.operation == operation:
            return record
    raise DeviceNotFoundError(
        f"There is no unfinished operation {operation}.", resolution="`volward journal` lists them."
    )
