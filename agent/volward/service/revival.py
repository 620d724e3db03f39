"""Which consumers are to be started now that their volumes are back, and why the others are not.

Nothing in systemd starts again what failed because a mount was not there, nor what was stopped because it went. Exactly
those are started here; in doubt nothing is. ``decide`` is a pure function of what PID 1 says (systemctl show), what the
journal says, and what the daemon remembers: a mount that goes away takes its consumers with it in the same way whether
an administrator stopped it or its disk was pulled, and only the daemon has seen the disk go.

How a stop is told to be the mount's doing: PID 1 stops a mount and all that is bound to it in one transaction, which
makes the mount's job first and ends it last. So the consumer's job has the higher number and ends before the mount's
does. A consumer that somebody stopped just before has the lower number.

What cannot be told: `systemctl stop` of a consumer that does not run leaves no trace anywhere. Who wants one that
failed with its volume to stay down disables or masks it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from volward.host import unit_jobs, unit_state
from volward.host.unit_jobs import JobEnd
from volward.host.unit_state import UnitState

# A database meets the first error of a pulled disk before the daemon has heard that it is gone.
_NOTICED_LATE_USEC = 5_000_000


class Why(StrEnum):
    """The reason, as a sentence's end: "NAME is started: WHY", "NAME is left alone: WHY"."""

    MOUNT_WAS_AWAY = "its start job failed while its volume was away"
    STOPPED_WITH_MOUNT = "it was stopped because its volume vanished"
    FAILED_WITH_MOUNT = "it failed when its volume vanished"

    NOT_LOADED = "systemd does not load it (masked, or no such unit)"
    NOT_ENABLED = "it is disabled or masked"
    HAS_JOB = "systemd is at work on it already"
    RUNNING = "it is not stopped"
    MOUNT_IS_AWAY = "a volume of it is not mounted"
    NEVER_TRIED = "nothing is known of a job of it since the boot"
    CHANGED_SINCE = "its state has changed since the last job that is known"
    OTHER_DEPENDENCY = "its start job failed by another dependency"
    FAILED = "it failed by itself"
    SKIPPED = "a condition of its unit did not hold"
    ENDED = "it ended by itself"
    STOPPED = "it was stopped, as far as can be told by somebody"


_STARTED = (Why.MOUNT_WAS_AWAY, Why.STOPPED_WITH_MOUNT, Why.FAILED_WITH_MOUNT)


@dataclass(frozen=True)
class Decision:
    consumer: str
    why: Why

    @property
    def start(self) -> bool:
        return self.why in _STARTED


@dataclass(frozen=True)
class MountPast:
    """A mount that a consumer needs, and how it went away last.

    ``lost_usec`` is when the daemon saw its device or mapping vanish unasked (CLOCK_MONOTONIC); None: it has not, since
    the consumers were seen to for the last time.
    """

    state: UnitState
    last_stop: JobEnd | None = None
    lost_usec: int | None = None

    def away_at(self, moment_usec: int) -> bool:
        """Whether it was away then, and has come back later."""
        return self.state.inactive_enter_usec <= moment_usec < self.state.active_enter_usec

    def lost_around(self, moment_usec: int) -> bool:
        """Whether it was lost then or before, unasked, and has come back later."""
        if self.lost_usec is None:
            return False
        since = self.lost_usec - _NOTICED_LATE_USEC
        return since <= self.state.inactive_enter_usec and since <= moment_usec < self.state.active_enter_usec

    def took_down(self, consumer: UnitState, stop: JobEnd) -> bool:
        """Whether its own going was what stopped the consumer, and not somebody."""
        if not self.lost_around(stop.monotonic_usec):
            return False
        own = self.last_stop
        if own is not None and 0 < own.number < stop.number and stop.monotonic_usec <= own.monotonic_usec:
            return True
        # Unmounted without a job of PID 1: the consumer ran on for a moment without it.
        gone = self.state.inactive_enter_usec
        return consumer.active_enter_usec < gone < consumer.inactive_enter_usec


def examine(
    consumers: Mapping[str, Sequence[str]], *, lost_usec: Mapping[str, int] | None = None
) -> tuple[Decision, ...]:
    """Decide about consumers, each with the mount units that it needs; ``lost_usec`` is by mount unit (see MountPast).

    One `systemctl show` for all of them; the journal is read only if it has a say. It blocks for some milliseconds.
    Raises ToolFailedError, ToolTimeoutError, OSError (the journal).
    """
    lost = lost_usec or {}
    names = list(dict.fromkeys([*consumers, *(mount for mounts in consumers.values() for mount in mounts)]))
    states = dict(zip(names, unit_state.show(names), strict=True))
    mounts = {name: tuple(MountPast(states[mount]) for mount in needed) for name, needed in consumers.items()}
    first = {name: decide(states[name], None, mounts[name]) for name in consumers}
    open_ones = [name for name, decision in first.items() if decision.why is Why.NEVER_TRIED]
    if not open_ones:
        return tuple(first.values())
    jobs = unit_jobs.last(states[name].identifier for name in open_ones)
    stops = unit_jobs.last(
        {states[mount].identifier for name in open_ones for mount in consumers[name] if mount in lost},
        job_types=(unit_jobs.STOP,),
    )
    for name in open_ones:
        past = tuple(
            MountPast(states[mount], stops.get(states[mount].identifier), lost.get(mount)) for mount in consumers[name]
        )
        first[name] = decide(states[name], jobs.get(states[name].identifier), past)
    return tuple(first.values())


def decide(consumer: UnitState, job: JobEnd | None, mounts: Sequence[MountPast]) -> Decision:
    """Decide about one consumer, given the end of its last job in this boot and all mounts that it needs."""
    return Decision(consumer.name, _why(consumer, job, mounts))


def _why(consumer: UnitState, job: JobEnd | None, mounts: Sequence[MountPast]) -> Why:
    if consumer.load_state != "loaded":
        return Why.NOT_LOADED
    if not consumer.enabled:
        return Why.NOT_ENABLED
    if consumer.has_job:
        return Why.HAS_JOB
    if not consumer.stopped:
        return Why.RUNNING
    if any(mount.state.active_state != "active" for mount in mounts):
        return Why.MOUNT_IS_AWAY
    if job is None:
        return Why.NEVER_TRIED
    if job.job_type == unit_jobs.START and job.result != unit_jobs.DEPENDENCY:
        return _after_a_start(consumer, job, mounts)
    # A job that fails by dependency leaves the state alone, and one that stops has changed it before it ends.
    if consumer.state_change_usec > job.monotonic_usec:
        return Why.CHANGED_SINCE
    if job.job_type == unit_jobs.START:
        away = any(mount.away_at(job.monotonic_usec) for mount in mounts)
        return Why.MOUNT_WAS_AWAY if away else Why.OTHER_DEPENDENCY
    return Why.STOPPED_WITH_MOUNT if any(mount.took_down(consumer, job) for mount in mounts) else Why.STOPPED


def _after_a_start(consumer: UnitState, job: JobEnd, mounts: Sequence[MountPast]) -> Why:
    """Why it does not run, when its last job started it, or could not for a reason of its own."""
    if consumer.active_state == "failed":
        lost = any(mount.lost_around(consumer.inactive_enter_usec) for mount in mounts)
        return Why.FAILED_WITH_MOUNT if lost else Why.FAILED
    if job.result != unit_jobs.DONE:
        return Why.FAILED
    return Why.ENDED if consumer.condition_held else Why.SKIPPED
