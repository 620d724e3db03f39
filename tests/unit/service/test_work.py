"""The worker of a pass: what it is asked and what it answers, with operations that are a script."""

import io
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.builders import SPEC, SWAP

from volward import config, lock, losses, openings, stores
from volward.errors import (
    BusyError,
    ConfigurationError,
    DeviceNotFoundError,
    DeviceUnknownError,
    InterruptedRunError,
    KeyDeniedError,
    ToolFailedError,
    VolwardError,
)
from volward.host import docker, run, systemd, systemd_cryptsetup
from volward.keys.vault.time_left import TimeLeft
from volward.model import Goal, Plan, VaultLogin, VaultLoginMethod, VaultPlace, VaultServer, VolumeSpec
from volward.operations import login_life
from volward.operations.open import Opened
from volward.service import revival, work
from volward.service.revival import Decision, Why
from volward.service.task import Again, Ended, Lease, Loaded, Problems, Task, Watched, line, read_answer
from volward.service.waiters import Waiters

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
        self.started: list[str] = []
        self.deadlines: list[float] = []
        self.stopped: list[str] = []
        self.stopped_between = False

    def open_volumes(
        self,
        specs: Sequence[VolumeSpec],
        watcher: Any,
        *,
        deadline_seconds: float,
        tell: Callable[[Opened], None],
        goal: Goal = Goal.OPEN,
    ) -> tuple[Opened, ...]:
        self.deadlines.append(deadline_seconds)
        self.stopped_between = watcher.interrupted()
        opened = tuple(self.opened.get(spec.name, Opened(spec.name, PLAN, "vault")) for spec in specs)
        for one in opened:
            tell(one)
        return opened

    def release(self, spec: VolumeSpec) -> bool:
        if spec.name in self.lost:
            raise self.lost[spec.name]
        return True

    def examine(self, consumers: Mapping[str, Sequence[str]], *, lost_usec: Mapping[str, int]) -> tuple[Decision, ...]:
        self.examined.append((dict(consumers), dict(lost_usec)))
        return self.decisions


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    one = Host()
    monkeypatch.setattr(work, "open_volumes", one.open_volumes)
    monkeypatch.setattr(work, "release_volume", one.release)
    monkeypatch.setattr(revival, "examine", one.examine)
    monkeypatch.setattr(losses.read, "__kwdefaults__", {"directory": tmp_path / "losses"})
    monkeypatch.setattr(Waiters, "stop", lambda self, volume, lost_usec: one.stopped.append(f"{volume} {lost_usec}"))
    monkeypatch.setattr(docker, "engine_state", lambda: "inactive")
    monkeypatch.setattr(Waiters, "_is_mounted", lambda self, volume: True)
    monkeypatch.setattr(systemd, "start_soon", one.started.append)
    monkeypatch.setattr(work._STOPPING, "is_set", lambda: False)
    return one


def answers(task: Task, *specs: VolumeSpec) -> list[object]:
    out = io.BytesIO()
    worker = work.Worker(specs or (A, B), out)
    worker.tell()
    worker.do(task)
    return [read_answer(text) for text in out.getvalue().splitlines()]


def test_it_tells_what_is_configured(host: Host) -> None:
    assert answers(Task(), A, replace(SWAP, name="s", open_at_boot=False)) == [
        Watched("a", str(A.device), "volward-a", "/srv/a", consumers=A.consumers),
        Watched("s", str(SWAP.device), "volward-s", "", scratch=True, consumers=SWAP.consumers, opens=False),
        Loaded(),
    ]
    assert host.deadlines == []


def test_a_volume_that_somebody_closed_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openings, "read", lambda name: openings.closed() if name == "a" else None)
    told = answers(Task())
    assert [one.closed_by_hand for one in told if isinstance(one, Watched)] == [True, False]


def test_it_opens_and_starts_who_waited(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.decisions = (Decision("db.service", Why.MOUNT_WAS_AWAY), Decision("other.service", Why.STOPPED))
    host.opened["a"] = Opened("a", PLAN, "tpm2", ("vault: sealed",))
    said = answers(Task(open=("a",), deadline_seconds=3.0))
    assert said[3:] == [Ended("a", "tpm2", ("vault: sealed",), ("db.service",))]
    assert host.started == ["db.service"]
    ((consumers, _),) = host.examined
    assert consumers == {"db.service": ("srv-a.mount", "srv-b.mount"), "other.service": ("srv-a.mount",)}
    assert host.deadlines == [3.0]
    assert "db.service is started: its start job failed while its volume was away" in capsys.readouterr().err


@pytest.mark.parametrize(("patience", "asks", "looks"), [(60.0, False, 3), (0.0, False, 1), (60.0, True, 1)])
def test_what_systemd_is_opening_is_left_to_it_for_a_while(
    host: Host, monkeypatch: pytest.MonkeyPatch, patience: float, asks: bool, looks: int
) -> None:
    """Of a line in /etc/crypttab; the others are opened before."""
    looked: list[tuple[list[str], int]] = []

    def is_opening(mappings: list[str], *, longest_seconds: float) -> bool:
        assert longest_seconds == patience
        looked.append((mappings, len(host.deadlines)))
        return len(looked) < 3

    monkeypatch.setattr(systemd_cryptsetup, "has_line", lambda mapping: mapping == "volward-a")
    monkeypatch.setattr(systemd_cryptsetup, "is_opening", is_opening)
    monkeypatch.setattr(systemd_cryptsetup, "asks_a_person", lambda: asks)
    monkeypatch.setattr(work, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(work, "_SYSTEMD_SECONDS", patience)
    said = answers(Task(open=("a", "b")))
    assert said[3:] == [Ended("b", "vault"), Ended("a", "vault")]
    assert looked == [(["volward-a"], 1)] * looks


def test_a_pid_1_that_does_not_answer_keeps_no_volume_closed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_opening(mappings: list[str], *, longest_seconds: float) -> bool:
        raise ToolFailedError("systemctl failed.", resolution="Try again.", status=1)

    monkeypatch.setattr(systemd_cryptsetup, "has_line", lambda mapping: True)
    monkeypatch.setattr(systemd_cryptsetup, "is_opening", is_opening)
    assert answers(Task(open=("a",)))[3:] == [Ended("a", "vault", started=())]


def test_a_wait_for_a_provider_ends_with_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    monkeypatch.setattr(work, "_STOPPING", stopping)
    work.Stoppable().sleep(0.0)
    stopping.set()
    with pytest.raises(InterruptedRunError):
        work.Stoppable().sleep(600.0)


def test_who_waited_for_a_volume_that_somebody_opened_is_started(host: Host) -> None:
    host.decisions = (Decision("db.service", Why.MOUNT_WAS_AWAY),)
    assert answers(Task(revive=("a",)))[3:] == [Ended("a", started=("db.service",))]
    assert host.started == ["db.service"]
    assert host.deadlines == [], "nothing is opened"


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (KeyDeniedError("No.", resolution="Ask."), Ended("a", error="No.", resolution="Ask.", needs_a_person=True)),
        (DeviceNotFoundError("Gone.", resolution="Plug."), Ended("a", error="Gone.", resolution="Plug.", away=True)),
        (BusyError("Busy.", resolution="Wait."), Ended("a", error="Busy.", resolution="Wait.")),
        (DeviceUnknownError("Size 0.", resolution="Wait."), Ended("a", error="Size 0.", resolution="Wait.")),
    ],
)
def test_one_that_fails(host: Host, error: VolwardError, ended: Ended) -> None:
    host.opened["a"] = Opened("a", None, error=error)
    assert answers(Task(open=("a",)))[3:] == [replace(ended, code=error.code)]


def test_it_releases_what_was_lost(host: Host) -> None:
    host.lost["b"] = BusyError("In use.", resolution="Stop it.")
    said = answers(Task(release=("a", "b"), lost_usec={"a": 7, "b": 8}))[3:]
    assert sorted(host.stopped) == ["a 7", "b 8"]
    assert set(map(str, said)) == {
        str(Ended("a")),
        str(Ended("b", code=BusyError.code, error="In use.", resolution="Stop it.")),
    }


def test_one_that_is_configured_no_more_is_answered_for(host: Host) -> None:
    (ended,) = (one for one in answers(Task(release=("gone",))) if isinstance(one, Ended))
    assert (ended.name, ended.code, ended.needs_a_person) == ("gone", "VW0102", True)
    assert host.stopped == []


def test_who_could_not_be_seen_to_is_told_of(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Waiters, "start_containers", lambda self, volumes: frozenset(volumes))
    assert answers(Task(open=("a",)))[-1] == Again("a")
    assert answers(Task(revive=("a",)))[-1] == Again("a")


SERVER = VaultServer("https://vault.example:8200", VaultLogin(VaultLoginMethod.TOKEN))
LEASED = replace(B, vault=VaultPlace(SERVER))


@pytest.mark.parametrize(
    ("outcome", "lease"),
    [
        (TimeLeft(60.0, token_renewable=True), Lease(SERVER.address, 60.0)),
        (BusyError("It is.", resolution="Wait."), Lease(SERVER.address, error="It is. Wait.")),
    ],
)
def test_the_token_of_each_server_is_renewed_once(
    host: Host, monkeypatch: pytest.MonkeyPatch, outcome: TimeLeft | Exception, lease: Lease
) -> None:
    asked: list[VaultServer] = []

    def renew(server: VaultServer, providers: object, *, deadline_seconds: float) -> TimeLeft:
        asked.append(server)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(login_life, "renew", renew)
    approle = replace(SERVER, login=VaultLogin(VaultLoginMethod.APPROLE))
    told = answers(Task(renew=True), LEASED, replace(LEASED, name="c"), replace(A, vault=VaultPlace(approle)))
    assert [one.leased_from for one in told if isinstance(one, Watched)] == [SERVER.address, SERVER.address, ""]
    assert told[4:] == [lease]
    assert asked == [SERVER]


def test_a_configuration_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(root: Path) -> object:
        raise ConfigurationError("volumes.x: is wrong.", resolution="Mend it.")

    out = io.BytesIO()
    monkeypatch.setattr(config, "load", load)
    monkeypatch.setattr(run, "forbid_core_dumps", lambda: None)
    monkeypatch.setattr(lock, "of_daemon", lambda: None)
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
    monkeypatch.setattr(lock, "of_daemon", lambda: None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(line(Task(open=("a",))))))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert work.main() == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert read_answer(out.getvalue().splitlines()[-1]) == Ended("a", "vault")
    assert not host.stopped_between
