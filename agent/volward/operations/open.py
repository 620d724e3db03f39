"""open: mapping and mount of provisioned volumes, side by side. Never destructive, needs no terminal.

Not journaled, so that a full root disk does not keep a volume closed: each step shows on the host itself, and
running it again takes up where it stopped.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from volward import audit, lock, openings
from volward.apply import Work, apply
from volward.errors import NotPrivilegedError, VerificationError, VolwardError
from volward.keys.providers import Providers
from volward.model import Goal, Observation, Plan, ProviderKind, Step, VolumeSpec
from volward.observe import look_again, observe
from volward.operations.prepare import plan_for
from volward.operations.watcher import Watcher
from volward.os_errors import explained
from volward.surroundings import Surroundings
from volward.verify import verify

_AT_ONCE = 16


@dataclass(frozen=True)
class Opened:
    """How opening ended for one volume: the provider that opened it, or the error."""

    volume: str
    plan: Plan | None
    opened_by: str = ""
    degraded: tuple[str, ...] = ()
    error: VolwardError | None = None


def open_volumes(
    specs: Sequence[VolumeSpec],
    watcher: Watcher,
    *,
    deadline_seconds: float,
    ask_recovery: bool = False,
    goal: Goal = Goal.OPEN,
    tell: Callable[["Opened"], None] = lambda _: None,
) -> tuple[Opened, ...]:
    """Open and mount volumes side by side (only open them, for Goal.MAP); an outcome a volume, in the order given.

    ``deadline_seconds`` bounds how long an unreachable provider is waited for. With ``ask_recovery`` the
    recovery key is asked for on the terminal in place of the configured providers. ``tell`` is called as each volume
    has ended, from the thread that it was opened in.
    """

    before = Surroundings()
    if len(specs) > 1:
        with contextlib.suppress(OSError):  # then each volume tells of it
            before.all_carriers, before.ties, before.boot_opens  # noqa: B018 (here, once, and not by each thread)

    with Providers() as providers:
        one = partial(_open, _Pass(before, providers, watcher, deadline_seconds, ask_recovery, goal, tell))
        if len(specs) < 2 or ask_recovery or any(ProviderKind.PROMPT in spec.providers for spec in specs):
            return tuple(map(one, specs))  # questions come one after another; Ctrl-C reaches the main thread alone
        with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(specs))) as pool:
            return tuple(pool.map(one, specs))


@dataclass(frozen=True)
class _Pass:
    """What all volumes of one pass share."""

    before: Surroundings
    providers: Providers
    watcher: Watcher
    deadline_seconds: float
    ask_recovery: bool
    goal: Goal
    tell: Callable[[Opened], None]

    def look(self, spec: VolumeSpec) -> Observation:
        return observe(spec, to_open=True, surroundings=self._now())

    def look_again(self, spec: VolumeSpec, seen: Observation) -> Observation:
        return look_again(spec, seen, self._now())

    def _now(self) -> Surroundings:
        return Surroundings(earlier=self.before)


def _open(shared: _Pass, spec: VolumeSpec) -> Opened:
    one = _outcome(shared, spec)
    shared.tell(one)
    return one


def _outcome(shared: _Pass, spec: VolumeSpec) -> Opened:
    try:
        with explained(f"Opening {spec.name}"), lock.held(spec.name):
            try:
                with explained(f"Opening {spec.name}"):
                    return _open_locked(shared, spec)
            except VolwardError as error:  # not for a volume that another volward works on
                openings.write(spec.name, openings.failed(error))
                raise
    except VolwardError as error:
        audit.record("open", spec.name, audit.Outcome.FAILED, f"{spec.name}: {error}", code=error.code)
        return Opened(spec.name, None, error=error)


def _open_locked(shared: _Pass, spec: VolumeSpec) -> Opened:
    watcher = shared.watcher
    seen = shared.look(spec)
    plan = plan_for(spec, seen, shared.goal, can_hand_over_recovery=False)
    if not plan.actions:
        return Opened(spec.name, plan)
    work = Work.on(spec, seen, shared.providers)
    work.ask_recovery, work.deadline_seconds = shared.ask_recovery, shared.deadline_seconds
    work.sleep = watcher.sleep
    with work:
        for action in plan.actions:
            watcher.refuse_when_interrupted(f"{spec.name}: {action.what}")
            watcher.step(spec.name, action)
            try:
                apply(action, work)
            except (OSError, NotPrivilegedError) as error:
                watcher.step_failed(spec.name, action)
                if action.step is not Step.SEAL_MOUNT_POINT:
                    raise
                # Within the daemon's sandbox the root file system is read-only; PID 1 mounts all the same.
                work.degraded += (f"the mount point is not sealed, `volward apply {spec.name}` does it: {error}",)
                continue
            except BaseException:
                watcher.step_failed(spec.name, action)
                raise
            watcher.step_done(spec.name, action)
    found = verify(spec, shared.look_again(spec, seen), shared.goal)
    if found:
        raise VerificationError(
            f"{spec.name} is not open as planned: {'; '.join(map(str, found))}.",
            resolution=f"`volward status {spec.name}` shows what is there.",
        )
    return Opened(spec.name, plan, work.opened_by, work.degraded)
