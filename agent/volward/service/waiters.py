"""Who waits for a volume: units and containers that are started once it is there, and stopped when its device is lost.

A unit is stopped by PID 1, with the mount that it is tied to. A container has a mount of its own, and is stopped here.
That is written down first (volward.losses), so that whoever opens the volume again, in whatever boot, starts it.
"""

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property

from volward import losses
from volward.errors import VolwardError
from volward.host import docker, mount, systemd, volume_units
from volward.host.docker import Container
from volward.losses import Loss
from volward.model import Mount, VolumeSpec
from volward.operations.close import stop_containers
from volward.service import revival
from volward.service.revival import Decision, Why

_ENGINE_SECONDS = 60.0
_PAUSE_SECONDS = 1.0


class Waiters:
    """Of all volumes of the configuration; nothing here raises, since the volumes are open all the same."""

    def __init__(self, specs: Mapping[str, VolumeSpec], stopping: threading.Event) -> None:
        self._specs = specs
        self._stopping = stopping
        self._again: set[str] = set()  # volumes of which somebody could not be seen to

    def start_units(self, volume: str) -> tuple[str, ...]:
        """Start the units that failed or stopped because the volume was away; return them. They are not waited for."""
        decisions = self._decisions(volume)
        return tuple(one.consumer for one in decisions if one.start and self._start(volume, one))

    def start_containers(self, volumes: Sequence[str]) -> frozenset[str]:
        """Start the containers whose directory was not there, and those stopped here, once all volumes are open.

        At a boot the engine may just be starting them: it is waited for, since it does not try again. Losses that all
        were seen to for are forgotten. Return the volumes for which somebody is to be looked at again.
        """
        wanted = tuple(dict.fromkeys(name for volume in volumes for name in self._specs[volume].containers))
        seen = self._look(wanted) if wanted else {}
        for volume in volumes:
            loss = losses.read(volume)
            if seen is None:  # Docker starts the others itself, once it runs
                self._again |= {volume} if loss is not None and loss.containers else set()
                continue
            for name in self._specs[volume].containers:
                if name in seen:
                    self._start_container(volume, seen[name], loss)
        for volume in self._specs:
            if losses.read(volume) is not None and volume not in self._again and self._is_mounted(volume):
                self._forget_unless_awaited(volume, looked=seen is not None and volume in volumes)
        return frozenset(self._again)

    def stop(self, volume: str, lost_usec: int) -> None:
        """Write down that the volume's device was lost, and stop the containers that use it."""
        try:
            known = losses.read(volume)
            if known is None or not known.is_of_this_boot:
                containers = known.containers if known else ()
                losses.write(volume, Loss(losses.this_boot(), lost_usec, containers))
            stop_containers(self._specs[volume])
        except (VolwardError, OSError) as error:
            note(f"<4>{volume}: its containers cannot be stopped: {error}")

    def _decisions(self, volume: str) -> tuple[Decision, ...]:
        noted = {name: loss for name in self._specs if (loss := losses.read(name)) is not None}
        lost = {self._mount(name): loss.usec for name, loss in noted.items() if loss.is_of_this_boot}
        try:
            return revival.examine({unit: self._mounts(unit) for unit in self._specs[volume].units}, lost_usec=lost)
        except (VolwardError, OSError) as error:
            note(f"<4>{volume}: who waited for it cannot be found out: {error}")
            self._again.add(volume)
            return ()

    def _start(self, volume: str, decision: Decision) -> bool:
        try:
            systemd.start_soon(decision.consumer)
        except VolwardError as error:  # the other units may start
            note(f"<4>{decision.consumer} cannot be started: {error}")
            self._again.add(volume)
            return False
        note(f"<5>{decision.consumer} is started: {decision.why}")
        return True

    def _look(self, wanted: Sequence[str]) -> dict[str, Container] | None:
        """Return the containers by name; None when Docker does not run, or does not answer."""
        try:
            limit = time.monotonic() + _ENGINE_SECONDS
            while (state := docker.engine_state()) == "activating" and time.monotonic() < limit:
                if self._stopping.wait(_PAUSE_SECONDS):
                    return None
            return {one.name: one for one in docker.look(wanted)} if state == "active" else None
        except VolwardError as error:
            note(f"<4>the containers {', '.join(wanted)} cannot be looked at: {error}")
            return None

    def _start_container(self, volume: str, container: Container, loss: Loss | None) -> None:
        where = str(self._specs[volume].mount_point or "")
        if loss is not None and container.name in loss.containers and not container.running:
            why = "it was stopped because its volume vanished"
        elif where and container.failed_without(where):
            why = "its start failed while its volume was away"
        else:
            return
        if any(container.name in spec.containers and not self._is_mounted(spec.name) for spec in self._specs.values()):
            return  # it waits for another volume, too, whose opening looks again
        try:
            docker.start(container.name)
            note(f"<5>container {container.name} is started: {why}")
        except VolwardError as error:  # the other containers may start
            note(f"<4>container {container.name} cannot be started: {error}")
            self._again.add(volume)

    def _forget_unless_awaited(self, volume: str, *, looked: bool) -> None:
        """Forget a loss for which all were seen to: no unit of it waits for another volume, nor a container."""
        if any(one.why is Why.MOUNT_IS_AWAY for one in self._decisions(volume)):
            return
        loss = losses.read(volume)
        waiting = (spec for spec in self._specs.values() if spec.name != volume and not self._is_mounted(spec.name))
        shared = {name for spec in waiting for name in spec.containers}
        if loss is None or shared & set(loss.containers) or (loss.containers and not looked):
            return
        try:
            losses.forget(volume)
        except OSError as error:
            note(f"<4>{volume}: that it was lost cannot be forgotten: {error}")

    def _is_mounted(self, volume: str) -> bool:
        where = self._specs[volume].mount_point
        return where is not None and mount.at(where, self._table) is not None

    @cached_property
    def _table(self) -> tuple[Mount, ...]:
        return mount.table()

    def _mounts(self, consumer: str) -> tuple[str, ...]:
        """Return the mount units of all volumes that a consumer needs."""
        needed = (spec for spec in self._specs.values() if consumer in spec.consumers and spec.mount_point)
        return tuple(self._mount(spec.name) for spec in needed)

    def _mount(self, volume: str) -> str:
        mount_point = self._specs[volume].mount_point
        return volume_units.mount_unit_name(mount_point) if mount_point else ""


def note(text: str) -> None:
    """Write a line to the journal (sd-daemon(3)); standard output belongs to the daemon."""
    print(text, file=sys.stderr, flush=True)
