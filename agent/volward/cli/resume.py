"""`volward resume` and `volward abort`: what becomes of an operation that was cut short."""

from typing import TYPE_CHECKING

import click

from volward.cli import recipient
from volward.cli.completion import unfinished_operations
from volward.cli.context import Context, pass_context
from volward.cli.privilege import demand_root

if TYPE_CHECKING:
    from volward.journal import Record


@click.command
@click.argument("operation", shell_complete=unfinished_operations)
@recipient.options
@click.option(
    "--recovery", "ask_recovery", is_flag=True, help="Of a header restore or a rotation: ask for the recovery key."
)
@click.pass_context
def resume(
    ctx: click.Context, operation: str, recovery_fd: int | None, recovery_vault: bool, ask_recovery: bool
) -> int:
    """Finish OPERATION from where it was cut short (`volward journal` lists them)."""
    demand_root("resume")
    from volward import journal
    from volward.operations.unfinished import unfinished

    record = unfinished(operation)
    taking = {"recovery_fd": recovery_fd, "recovery_vault": recovery_vault}
    if record.verb == journal.RECOVERY:
        from volward.cli.recovery import enrol

        return int(ctx.invoke(enrol, volume=record.volume, **taking))
    if record.verb == journal.ROTATE:
        from volward.cli.rotate import rotate

        options = {"due": False, "at_once": False, "provider": None, "only_plan": False, "as_json": False, "yes": True}
        return int(ctx.invoke(rotate, volumes=(record.volume,), ask_recovery=ask_recovery, **taking, **options))
    if record.verb == journal.REENCRYPT:
        from volward.cli.reencrypt import give_new_volume_key

        context = ctx.find_object(Context)
        assert context is not None  # noqa: S101 (the group made it)
        # Keyslots that a new plan removes are confirmed anew.
        return give_new_volume_key(context, (record.volume,), recovery_fd=recovery_fd, recovery_vault=recovery_vault)
    if record.verb in (journal.HEADER_RESTORE, journal.HEADER_REPAIR):
        from volward.cli import header

        if record.verb == journal.HEADER_REPAIR:
            return int(ctx.invoke(header.repair, volume=record.volume))
        return int(ctx.invoke(header.restore, volume=record.volume, name=None, ask_recovery=ask_recovery, confirm=""))
    from volward.cli.apply import apply

    return int(ctx.invoke(apply, volumes=(record.volume,), yes=True, overwrite=(), no_recovery=False, **taking))


@click.command
@click.argument("operation", shell_complete=unfinished_operations)
@pass_context
def abort(context: Context, operation: str) -> int:
    """Give OPERATION up: nothing of it is done any more.

    Of a provisioning nothing is undone: a device that it had begun to format is no longer pinned and counts as
    foreign, and the key that it created stays. An enrolment's keyslot that nobody has a key to is removed. Of a
    rotation the new keyslot is removed and the old key is current again, unless that has begun to go. A header
    that was restored by half stays so: restore another backup, or the file of what was there before. A
    re-encryption can only be finished while the data are under two volume keys; before and after that it ends, and
    a new recovery key that its owner confirmed stays.
    """
    demand_root("abort")
    from volward import journal, lock
    from volward.operations.unfinished import unfinished
    from volward.os_errors import explained

    record = unfinished(operation)
    if record.verb == journal.REENCRYPT:
        from volward.operations.unreencrypt import give_up as keep_as_it_is

        for remark in keep_as_it_is(context.spec(record.volume), record, deadline_seconds=60.0):
            context.note(f"{record.volume}: {remark}")
    elif record.verb == journal.ROTATE:
        from volward.operations.unrotate import give_up as take_back

        for action in take_back(context.spec(record.volume), record, deadline_seconds=60.0):
            context.print(f"{record.volume}: {action.what}: done")
    elif record.announced and record.verb != journal.PROVISION:
        from volward.operations.enrolment import give_up

        removed = give_up(context.spec(record.volume), record, deadline_seconds=60.0)
        for number in removed:
            context.print(f"{record.volume}: keyslot {number} was removed; nobody had its key")
    else:
        with explained(f"Aborting {operation}"), lock.held(record.volume):
            record = unfinished(operation)  # it may have ended while another volward held the lock
            if record.verb == journal.PROVISION:
                _unpin(record)
            journal.resume(record).end("aborted")
    context.print(f"{operation}: aborted after {record.steps_done[-1] if record.steps_done else 'no step'}.")
    return 0


def _unpin(record: "Record") -> None:
    """Forget a device that was never formatted to the end: pinned, it would be taken for a damaged volume."""
    from volward import pins
    from volward.model import Step

    pin = pins.read(record.volume)
    if pin is not None and pin.luks_uuid == record.facts.get("luks_uuid") and Step.FORMAT not in record.steps_done:
        pins.remove(record.volume)
