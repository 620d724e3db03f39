"""provision: lead volumes from what is there to open, mounted and ready; journaled, resumable.

Two halves with one `systemctl daemon-reload` between them, which costs a second or more: first everything up
to the unit files for each volume, then the mounts. Locks are held from the last look to the verification.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from volward import journal, lock
from volward.apply import RecoveryDelivery, Work, apply
from volward.errors import ConfirmationError, IdentityError, ToolFailedError, VerificationError, VolwardError
from volward.host import boot, systemd, volume_units
from volward.host.shipped import Part
from volward.keys.ages import TYPED, stored_kinds
from volward.keys.providers import Providers
from volward.model import Action, Goal, Identity, Step, StoreKind, VolumeSpec
from volward.observe import observe
from volward.operations import header_backup
from volward.operations.prepare import plan_for, seen_with_journal
from volward.operations.system_install import ensure
from volward.operations.watcher import Watcher
from volward.os_errors import explained
from volward.verify import verify

_KEY_STEPS = frozenset({Step.REMOVE_KEYSLOT, Step.ENROL_KEY, Step.ENROL_TPM2, Step.ENROL_RECOVERY})
_AFTER_RELOAD = frozenset({Step.MOUNT, Step.SWAP_ON, Step.PREPARE_STORE})


@dataclass(frozen=True)
class Outcome:
    """How it ended for one volume: provisioned or not, what went wrong, and what its owner should know.

    A volume can be provisioned and an error remain: its recovery key did not reach anybody.
    """

    volume: str
    provisioned: bool
    error: VolwardError | None = None
    remarks: tuple[str, ...] = ()


def provision(
    specs: Sequence[VolumeSpec],
    *,
    recovery: RecoveryDelivery | None,
    watcher: Watcher,
    approved: Set[str],
    overwrite: Mapping[str, Identity] = MappingProxyType({}),
) -> tuple[Outcome, ...]:
    """Provision volumes one after another. ``approved`` names those whose destructive plan was confirmed,
    ``overwrite`` those whose device may be wiped, with the identity that its owner typed out.

    Each volume is locked, looked at and planned again here, since the confirmed plan may be old: a plan that
    has become destructive without approval is not carried out. Returns an outcome a volume; an interruption
    is the outcome of the volumes that were not finished.
    """
    running: list[_Running] = []
    outcomes: dict[str, Outcome] = {}
    with contextlib.ExitStack() as stack:
        providers = stack.enter_context(Providers())
        for spec in specs:
            one = _Running(spec, watcher, providers)
            with _recorded(outcomes, spec.name):
                watcher.refuse_when_interrupted(f"all steps of {spec.name}")
                stack.enter_context(lock.held(spec.name))
                one.begin(recovery, stack, approved=spec.name in approved, overwrite=overwrite.get(spec.name))
                one.until(lambda step: step in _AFTER_RELOAD)
                running.append(one)
        with _recorded(outcomes, *(one.spec.name for one in running)):
            _have_systemd_read(running)
        for one in running:
            name = one.spec.name
            if name not in outcomes:
                with _recorded(outcomes, name):
                    one.until(lambda _: False)
                    one.finish()
                    outcomes[name] = Outcome(name, provisioned=True, error=one.left_out, remarks=one.remarks)
    _have_daemon_follow(running)
    return tuple(outcomes[spec.name] for spec in specs)


@contextlib.contextmanager
def _recorded(outcomes: dict[str, Outcome], *names: str) -> Iterator[None]:
    """Make an error the outcome of the volumes that it is about; the other volumes go on."""
    try:
        with explained(f"Provisioning {', '.join(names)}"):
            yield
    except VolwardError as error:
        outcomes.update({name: Outcome(name, provisioned=False, error=error) for name in names})


def _have_systemd_read(running: Sequence["_Running"]) -> None:
    """One reload for a whole pass; installing a unit includes one.

    That the boot opens a volume is in the configuration, so it is enabled whoever disabled it. What an administrator
    changed is left alone, and the first volume's owner is told.
    """
    parts = {part for one in running for part in _parts(one.spec)}
    installed = ensure(parts, insist=parts & {Part.OPENING})
    if running:
        running[0].of_units = installed.remarks
    if not installed.reloaded and any(one.wrote_units for one in running):
        systemd.reload()


def _have_daemon_follow(running: Sequence["_Running"]) -> None:
    """Have the daemon watch these volumes from now on; after the locks, so that it meets none of ours.

    The volumes are open without it: what goes wrong here is for its own unit to tell. One that the boot does not start
    is not started here either, and follows when it runs.
    """
    if not running:
        return
    # What lets it reach a volume is a drop-in of its own unit, which only a new process gets.
    again = any(one.wrote_units and volume_units.daemon_drop_in(one.spec) is not None for one in running)
    with contextlib.suppress(ToolFailedError):
        systemd.have_follow(boot.UNIT, again=again, start=boot.enabled())


def _parts(spec: VolumeSpec) -> Iterator[Part]:
    """Yield what of volward's own units a volume needs. A timer that only a person could satisfy is none of them.

    Keys that no store keeps are neither rotated nor read to prove a header backup with, and a boot that has to ask
    needs no daily look.
    """
    if spec.open_at_boot:
        yield Part.OPENING
        if spec.store is StoreKind.SCRATCH or not TYPED.issuperset(spec.providers):
            yield Part.PREFLIGHT
    if stored_kinds(spec):
        yield from (Part.ROTATION, Part.HEADER_BACKUP)


class _Running:
    """One volume's provisioning while it runs."""

    def __init__(self, spec: VolumeSpec, watcher: Watcher, providers: Providers) -> None:
        self.spec = spec
        self.watcher = watcher
        self._providers = providers
        self.wrote_units = False
        self.left_out: VolwardError | None = None  # why there is no recovery key yet
        self.of_units: tuple[str, ...] = ()
        self._of_backup: tuple[str, ...] = ()
        self._pending: list[Action] = []

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the providers had to say, for the person who runs it."""
        return self._work.remarks + self._work.degraded + self.of_units + self._of_backup

    def begin(
        self,
        recovery: RecoveryDelivery | None,
        stack: contextlib.ExitStack,
        *,
        approved: bool,
        overwrite: Identity | None,
    ) -> None:
        """Look, plan, and open the journal: a new operation's, or the one of the run that was cut short."""
        seen = seen_with_journal(self.spec, prove_blank=True)
        if overwrite is not None and (seen.device is None or seen.device.identity != overwrite):
            raise IdentityError(
                f"{self.spec.device} is not the device any more whose identity was typed.",
                resolution="Nothing was written to it. Find out why the link changed, then run the same command again.",
            )
        plan = plan_for(
            self.spec,
            seen,
            Goal.PROVISION,
            can_hand_over_recovery=recovery is not None,
            overwrite=overwrite is not None,
        )
        if plan.destructive and not approved:
            raise ConfirmationError(
                f"The plan for {self.spec.name} became destructive while it waited to be confirmed.",
                resolution="Nothing was done. Run `volward plan` and look again.",
            )
        self._pending = list(plan.actions)
        self._work = stack.enter_context(Work.on(self.spec, seen, self._providers))
        self._work.recovery, self._work.overwrite = recovery, overwrite is not None
        self._operation = self._journal()

    def _journal(self) -> journal.Operation | None:
        """A volume that is only opened and mounted has nothing to journal: each step is seen on the host."""
        unfinished = journal.unfinished(self.spec.name)
        for verb in (journal.PROVISION, journal.ENROL):
            earlier = [r for r in unfinished if r.verb == verb]
            if earlier:
                # A run that was cut may have written units that systemd has not read.
                self.wrote_units = Step.WRITE_UNITS in earlier[-1].steps_begun
                return journal.resume(earlier[-1])
        steps = {action.step for action in self._pending}
        if Step.FORMAT in steps:
            facts = journal.provisioning_facts(self._work.identity, self._work.luks_uuid, self._work.file_system_uuid)
            return journal.begin(journal.PROVISION, self.spec.name, facts)
        if steps & _KEY_STEPS:
            return journal.begin(journal.ENROL, self.spec.name, {"luks_uuid": self._work.luks_uuid})
        return None

    def until(self, is_barrier: Callable[[Step], bool]) -> None:
        """Do the pending actions up to the first that has to wait. Raises what an action raises."""
        while self._pending and not is_barrier(self._pending[0].step):
            action = self._pending.pop(0)
            self.watcher.refuse_when_interrupted(f"{self.spec.name}: {action.what}")
            self.watcher.step(self.spec.name, action)
            try:
                self._do(action)
            except ConfirmationError as error:
                self.watcher.step_failed(self.spec.name, action)
                if action.step is not Step.ENROL_RECOVERY:
                    raise
                # Nobody has the key, and it opens nothing. The volume is no worse for it, and goes on.
                self.left_out = error
            except BaseException:
                self.watcher.step_failed(self.spec.name, action)
                raise
            else:
                self.watcher.step_done(self.spec.name, action)

    def _do(self, action: Action) -> None:
        if self._operation:
            self._operation.begin_step(action.name)
            self._work.announce = partial(self._operation.announce, action.name)
        apply(action, self._work)
        if self._operation:
            self._operation.end_step(action.name)
        self.wrote_units = self.wrote_units or action.step is Step.WRITE_UNITS

    def finish(self) -> None:
        """Look again, compare with the plan, and close the journal. Raises VerificationError."""
        found = verify(self.spec, observe(self.spec), Goal.PROVISION)
        if found:
            raise VerificationError(
                f"{self.spec.name} is not as planned: {'; '.join(map(str, found))}.",
                resolution=f"`volward status {self.spec.name}` shows it; `volward apply` goes on from there.",
            )
        if self._operation:
            # Before its end: a run that is cut here backs the header up when it is resumed.
            keys = [held.key for held in self._work.keys.values()]
            deadline = self._work.deadline_seconds
            self._of_backup = header_backup.after_change(
                self.spec, self._providers, deadline_seconds=deadline, held=keys
            )
            self._operation.end("done")
