"""The worker of a pass: what it is asked and what it answers, with operations that are a script."""

import io
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.builders import SPEC, SWAP

from volward import config, stores
from volward.errors import BusyError, ConfigurationError, DeviceNotFoundError, KeyDeniedError, VolwardError
from volward.host import run, systemd
from volward.model import Goal, Plan, VolumeSpec
from volward.operations.open import Opened
from volward.service import revival, work
from volward.service.revival import Decision, Why
from volward.service.task import Ended, Problems, Task, Watched, line, read_answer

A = replace(SPEC, name="a", mount_point=Path("/srv/a"), consumers=("db.service", "other.service", "container:x"))
B = replace(SPEC, name="b", mount_point=Path("/srv/b"), consumers=("db.service",))
PLAN = Plan("a", ())


class Host:
    """What the operations answer, and what was asked of them."""

    def __init__(self) -> None:
        self.opened: dict[str, Opened] = {}
        self.lost: dict[str, VolwardError] = {}
        self.decisions: tuple[Decision, ...] = ()
        self.examined: list[tuple[dict[str, Sequence[str]], dict[str, int]]] = []
        self.broken: Exception | None = None
        self.started: list[str] = []
        self.deadlines: list[float] = []
        self.stopped_between = False

    def open_volumes(
        self,
        specs: Sequence[VolumeSpec],
        watcher: Any,
        *,
        deadline_seconds: float,
        tell: Callable[[Opened], None],
        goal: Goal = Goal.OPEN,
    ) -> None:
        self.deadlines.append(deadline_seconds)
        self.stopped_between = watcher.interrupted()
        for spec in specs:
            tell(self.opened.get(spec.name, Opened(spec.name, PLAN, "vault")))

    def release(self, spec: VolumeSpec) -> bool:
        if spec.name in self.lost:
            raise self.lost[spec.name]
        return True

    def examine(self, consumers: Mapping[str, Sequence[str]], *, lost_usec: Mapping[str, int]) -> tuple[Decision, ...]:
        self.examined.append((dict(consumers), dict(lost_usec)))
        if self.broken:
            raise self.broken
        return self.decisions


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    one = Host()
    monkeypatch.setattr(work, "open_volumes", one.open_volumes)
    monkeypatch.setattr(work, "release_volume", one.release)
    monkeypatch.setattr(revival, "examine", one.examine)
    monkeypatch.setattr(systemd, "start", one.started.append)
    monkeypatch.setattr(work._STOPPING, "is_set", lambda: False)
    return one


def answers(task: Task, *specs: VolumeSpec) -> list[object]:
    out = io.BytesIO()
    work.Worker(specs or (A, B), task, out).run()
    return [read_answer(text) for text in out.getvalue().splitlines()]


def test_it_tells_what_is_configured(host: Host) -> None:
    assert answers(Task(), A, replace(SWAP, name="s", open_at_boot=False)) == [
        Watched("a", str(A.device), "volward-a", "/srv/a", consumers=A.consumers),
        Watched("s", str(SWAP.device), "volward-s", "", scratch=True, consumers=SWAP.consumers, opens=False),
    ]
    assert host.deadlines == []


def test_it_opens_and_starts_who_waited(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.decisions = (Decision("db.service", Why.MOUNT_WAS_AWAY), Decision("other.service", Why.STOPPED))
    host.opened["a"] = Opened("a", PLAN, "tpm2", ("vault: sealed",))
    said = answers(Task(open=("a", "gone"), lost_usec={"a": 7, "gone": 8}, deadline_seconds=3.0))
    assert said[2:] == [Ended("a", "tpm2", ("vault: sealed",), ("db.service",))]
    assert host.started == ["db.service"]
    ((consumers, lost),) = host.examined
    assert consumers == {"db.service": ("srv-a.mount", "srv-b.mount"), "other.service": ("srv-a.mount",)}
    assert lost["srv-a.mount"] == 7
    assert host.deadlines == [3.0]
    assert "db.service is started: its start job failed while its volume was away" in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(5, "no journal"), BusyError("It is.", resolution="Wait.")])
def test_a_volume_is_open_though_nobody_can_be_started(
    host: Host, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    host.broken = error
    assert answers(Task(open=("a",)))[2:] == [Ended("a", "vault")]
    assert "a: who waited for it cannot be started" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (KeyDeniedError("No.", resolution="Ask."), Ended("a", error="No.", resolution="Ask.", needs_a_person=True)),
        (DeviceNotFoundError("Gone.", resolution="Plug."), Ended("a", error="Gone.", resolution="Plug.", away=True)),
        (BusyError("Busy.", resolution="Wait."), Ended("a", error="Busy.", resolution="Wait.")),
    ],
)
def test_one_that_fails(host: Host, error: VolwardError, ended: Ended) -> None:
    host.opened["a"] = Opened("a", None, error=error)
    assert answers(Task(open=("a",)))[2:] == [replace(ended, code=error.code)]


def test_it_releases_what_was_lost(host: Host) -> None:
    host.lost["b"] = BusyError("In use.", resolution="Stop it.")
    said = answers(Task(release=("a", "b", "gone")))[2:]
    assert set(map(str, said)) == {
        str(Ended("a")),
        str(Ended("b", code=BusyError.code, error="In use.", resolution="Stop it.")),
    }


def test_a_configuration_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(root: Path) -> object:
        raise ConfigurationError("volumes.x: is wrong.", resolution="Mend it.")

    out = io.BytesIO()
    monkeypatch.setattr(config, "load", load)
    monkeypatch.setattr(run, "forbid_core_dumps", lambda: None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(line(Task()))))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert work.main() == 78
    finally:
        signal.signal(signal.SIGTERM, before)
    (problems,) = (read_answer(text) for text in out.getvalue().splitlines())
    assert isinstance(problems, Problems)
    assert "volumes.x: is wrong." in problems.text


def test_a_whole_pass(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(config, "load", lambda root: None)
    monkeypatch.setattr(stores, "specs", lambda configuration: {"a": A})
    monkeypatch.setattr(run, "forbid_core_dumps", lambda: None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(line(Task(open=("a",))))))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert work.main() == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert read_answer(out.getvalue().splitlines()[-1]) == Ended("a", "vault")
    assert not host.stopped_between
