"""A stage for operations: locks, journal and pins are real and below a temporary directory, the host is a script.

``seen`` says what is observed of each volume, ``plans`` what is planned; every action is written down in ``log``.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.unit.builders import PERFECT, SPEC

from volward import audit, journal, lock, openings, pins
from volward.apply import Work
from volward.errors import VolwardError
from volward.model import Action, Discrepancy, Goal, Observation, Plan, VolumeSpec
from volward.operations import enrolment, header_backup, keys, prepare, provision, repin
from volward.operations import open as opening
from volward.operations.watcher import Watcher

A, B = replace(SPEC, name="a"), replace(SPEC, name="b")


class Recorder(Watcher):
    """Writes down what it is told, and stops when it is told to."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.stop_after = 10_000

    def step(self, volume: str, action: Action) -> None:
        self.steps.append(f"{volume} {action.name}")

    def step_done(self, volume: str, action: Action) -> None:
        self.steps.append(f"{volume} {action.name} done")

    def step_failed(self, volume: str, action: Action) -> None:
        self.steps.append(f"{volume} {action.name} failed")

    def interrupted(self) -> bool:
        return len(self.steps) >= 2 * self.stop_after


class Stage:
    """What is there, what is planned, and what was done."""

    def __init__(self) -> None:
        self.seen: dict[str, Observation] = {}
        self.plans: dict[str, Plan | VolwardError] = {}
        self.options: dict[str, dict[str, Any]] = {}  # of planning, by volume
        self.answers: dict[str, BaseException | Callable[[Work], object]] = {}  # of an action, by "volume step"
        self.discrepancies: dict[str, list[Discrepancy]] = {}
        self.log: list[str] = []
        self.works: dict[str, Work] = {}
        self.audited: list[tuple[str, str, str]] = []
        self.remembered: list[tuple[str, openings.Opening]] = []
        self.watcher = Recorder()
        self.backed_up: list[str] = []  # headers, after a change
        self.said_of_backup: tuple[str, ...] = ()

    def observe(self, spec: VolumeSpec, **options: object) -> Observation:
        return replace(self.seen.get(spec.name, PERFECT), volume=spec.name)

    def look_again(self, spec: VolumeSpec, before: Observation, surroundings: object) -> Observation:
        return self.observe(spec)

    def plan_for(self, spec: VolumeSpec, seen: Observation, goal: object, **options: Any) -> Plan:
        self.options[spec.name] = {"goal": goal, **options}
        plan = self.plans[spec.name]
        if isinstance(plan, VolwardError):
            raise plan
        return plan

    def apply(self, action: Action, work: Work) -> None:
        name = work.spec.name
        self.works[name] = work
        self.log.append(f"{name} {action.name}")
        answer = self.answers.get(f"{name} {action.name}")
        if isinstance(answer, BaseException):
            raise answer
        if answer is not None:
            answer(work)

    def verify(self, spec: VolumeSpec, seen: Observation, goal: Goal) -> list[Discrepancy]:
        self.log.append(f"{spec.name} verified for {goal}")
        return self.discrepancies.get(spec.name, [])

    def after_change(self, spec: VolumeSpec, providers: object, **options: object) -> tuple[str, ...]:
        self.backed_up.append(spec.name)
        return self.said_of_backup

    def record(self, event: str, volume: str, outcome: audit.Outcome, message: str, **fields: str) -> None:
        self.audited.append((f"{volume} {event}", str(outcome), fields.get("code", "")))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    one = Stage()
    for module, directory, names in (
        (journal, "journal", ("begin", "resume", "unfinished", "announced", "every", "unfinished_provisioning")),
        (pins, "pins", ("read", "write", "remove")),
        (lock, "lock", ("held",)),
    ):
        for name in names:
            function = partial(getattr(module, name), directory=tmp_path / directory)
            monkeypatch.setattr(module, name, function)
    for module in (enrolment, keys, opening, prepare, provision, repin):
        for name in ("observe", "look_again", "plan_for", "apply", "verify"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(one, name))
    monkeypatch.setattr(audit, "record", one.record)
    monkeypatch.setattr(header_backup, "after_change", one.after_change)
    monkeypatch.setattr(openings, "write", lambda volume, opened: one.remembered.append((volume, opened)))
    yield one
