"""Who waits for a volume: started when it is there, stopped when its device is lost, and nobody forgotten."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import SPEC, SWAP

from volward import losses
from volward.errors import BusyError
from volward.host import docker, systemd
from volward.host.docker import Container
from volward.losses import Loss
from volward.model import VolumeSpec
from volward.service import revival, waiters
from volward.service.revival import Decision, Why
from volward.service.waiters import Waiters

A = replace(SPEC, name="a", mount_point=Path("/srv/a"), consumers=("db.service", "other.service", "container:x"))
B = replace(SPEC, name="b", mount_point=Path("/srv/b"), consumers=("db.service",))
BUSY = BusyError("It is.", resolution="Wait.")
WITHOUT_IT = Container("x", running=False, restart_policy="always", error="mkdir /srv/a/app: operation not permitted")
STOPPED = Container("x", running=False)


class Host:
    """What systemd and Docker say, and what they were told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.decisions: tuple[Decision, ...] = ()
        self.examined: list[tuple[dict[str, Sequence[str]], dict[str, int]]] = []
        self.broken: Exception | None = None
        self.engine = ["active"]
        self.containers: dict[str, Container] = {}
        self.refusing: set[str] = set()
        self.log: list[str] = []
        self.stopping = threading.Event()
        self.mounted = {"a", "b"}

    def examine(self, consumers: Mapping[str, Sequence[str]], *, lost_usec: Mapping[str, int]) -> tuple[Decision, ...]:
        self.examined.append((dict(consumers), dict(lost_usec)))
        if self.broken:
            raise self.broken
        return self.decisions

    def engine_state(self) -> str:
        return self.engine.pop(0) if len(self.engine) > 1 else self.engine[0]

    def look(self, names: Sequence[str]) -> list[Container]:
        if self.broken:
            raise self.broken
        return [self.containers[name] for name in names if name in self.containers]

    def start(self, name: str) -> None:
        if name in self.refusing:
            raise BUSY
        self.log.append(f"start {name}")

    def stop_containers(self, spec: VolumeSpec) -> tuple[str, ...]:
        if self.broken:
            raise self.broken
        for name in spec.containers:
            losses.add_container(spec.name, name, directory=self.directory)
            self.log.append(f"stop {name}")
        return spec.containers

    def waiters(self, *specs: VolumeSpec) -> Waiters:
        return Waiters({spec.name: spec for spec in specs or (A, B)}, self.stopping)

    def note_loss(self, *containers: str, boot: str = "", usec: int = 7) -> None:
        losses.write("a", Loss(boot or losses.this_boot(), usec, containers), directory=self.directory)

    @property
    def loss(self) -> Loss | None:
        return losses.read("a", directory=self.directory)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    one = Host(tmp_path)
    for function in (losses.read, losses.write, losses.forget):
        monkeypatch.setattr(function, "__kwdefaults__", {"directory": tmp_path})
    monkeypatch.setattr(revival, "examine", one.examine)
    monkeypatch.setattr(systemd, "start_soon", one.start)
    monkeypatch.setattr(docker, "engine_state", one.engine_state)
    monkeypatch.setattr(docker, "look", one.look)
    monkeypatch.setattr(docker, "start", one.start)
    monkeypatch.setattr(waiters, "stop_containers", one.stop_containers)
    monkeypatch.setattr(waiters, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Waiters, "_is_mounted", lambda self, volume: volume in one.mounted)
    return one


# --- units ------------------------------------------------------------------------------------------------


def test_units_whose_volume_was_away_are_started(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.decisions = (Decision("db.service", Why.MOUNT_WAS_AWAY), Decision("other.service", Why.STOPPED))
    assert host.waiters().start_units("a") == ("db.service",)
    assert host.log == ["start db.service"]
    assert host.examined == [({"db.service": ("srv-a.mount", "srv-b.mount"), "other.service": ("srv-a.mount",)}, {})]
    assert "<5>db.service is started: its start job failed while its volume was away" in capsys.readouterr().err


def test_one_that_cannot_be_started_is_no_reason_to_leave_the_others(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.decisions = tuple(Decision(name, Why.MOUNT_WAS_AWAY) for name in ("db.service", "other.service"))
    host.refusing = {"db.service"}
    assert host.waiters().start_units("a") == ("other.service",)
    assert "<4>db.service cannot be started: It is. Wait." in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(5, "no journal"), BUSY])
def test_that_it_cannot_be_found_out_is_said(host: Host, capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    host.broken = error
    host.note_loss()
    found = host.waiters()
    assert found.start_units("a") == ()
    host.broken = None
    assert found.start_containers(["a"]) == {"a"}
    assert "a: who waited for it cannot be found out" in capsys.readouterr().err
    assert host.loss is not None, "and it is tried again"


def test_a_loss_of_this_boot_counts_for_units(host: Host) -> None:
    host.note_loss()
    host.waiters().start_units("b")
    assert host.examined[0][1] == {"srv-a.mount": 7}
    host.note_loss(boot="another")
    host.waiters().start_units("b")
    assert host.examined[1][1] == {}


@pytest.mark.parametrize("why", [Why.MOUNT_IS_AWAY, Why.STOPPED])
def test_a_loss_is_remembered_as_long_as_a_unit_waits_for_another_volume(host: Host, why: Why) -> None:
    host.note_loss()
    host.decisions = (Decision("db.service", why),)
    found = host.waiters()
    found.start_units("a")
    found.start_containers(["a"])
    assert (host.loss is not None) is (why is Why.MOUNT_IS_AWAY)


def test_a_loss_is_forgotten_when_the_last_of_several_volumes_is_back(host: Host) -> None:
    host.note_loss()
    host.decisions = (Decision("db.service", Why.MOUNT_IS_AWAY),)
    found = host.waiters()
    found.start_units("a")
    found.start_containers(["a"])
    assert host.loss is not None
    host.decisions = (Decision("db.service", Why.RUNNING),)
    found.start_units("b")
    found.start_containers(["b"])
    assert host.loss is None


# --- containers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "lost_in", "why"),
    [
        (WITHOUT_IT, None, "its start failed while its volume was away"),
        (STOPPED, "", "it was stopped because its volume vanished"),
        (STOPPED, "another boot", "it was stopped because its volume vanished"),
        (replace(STOPPED, running=True), "", ""),
        (replace(STOPPED, restart_policy="always"), None, ""),
        (None, "", ""),
    ],
)
def test_containers_that_waited_are_started(
    host: Host, capsys: pytest.CaptureFixture[str], container: Container | None, lost_in: str | None, why: str
) -> None:
    host.containers = {"x": container} if container else {}
    if lost_in is not None:
        host.note_loss("x", boot=lost_in)
    host.waiters().start_containers(["a", "b"])
    assert host.log == (["start x"] if why else [])
    assert (f"<5>container x is started: {why}" in capsys.readouterr().err) is bool(why)
    assert host.loss is None


def test_a_container_of_two_volumes_waits_for_both(host: Host) -> None:
    host.containers = {"x": STOPPED}
    host.note_loss("x")
    host.mounted = {"a"}
    both = (A, replace(B, consumers=("container:x",)))
    host.waiters(*both).start_containers(["a"])
    assert host.log == []
    assert host.loss is not None
    host.mounted = {"a", "b"}
    host.waiters(*both).start_containers(["a", "b"])
    assert host.log == ["start x"]
    assert host.loss is None


def test_a_container_that_could_not_be_started_is_tried_again(host: Host) -> None:
    host.containers, host.refusing = {"x": STOPPED}, {"x"}
    host.note_loss("x")
    assert host.waiters().start_containers(["a"]) == {"a"}
    assert host.loss is not None


def test_an_engine_that_starts_is_waited_for(host: Host) -> None:
    host.engine, host.containers = ["activating", "activating", "active"], {"x": WITHOUT_IT}
    host.waiters().start_containers(["a"])
    assert host.log == ["start x"]


@pytest.mark.parametrize("reason", ["down", "broken", "stopping"])
def test_without_an_engine_nothing_is_started_or_forgotten(host: Host, reason: str) -> None:
    host.containers = {"x": WITHOUT_IT}
    host.note_loss("x")
    if reason == "down":
        host.engine = ["inactive"]
    elif reason == "broken":
        host.broken = BUSY
    else:
        host.engine = ["activating"]
        host.stopping.set()
    assert host.waiters().start_containers(["a"]) == {"a"}
    assert host.log == []
    assert host.loss is not None


def test_a_container_that_does_not_start_is_told_of(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    both = replace(A, consumers=("container:x", "container:y"))
    host.containers = {"x": WITHOUT_IT, "y": replace(WITHOUT_IT, name="y")}
    host.refusing = {"x"}
    host.waiters(both).start_containers(["a"])
    assert host.log == ["start y"]
    assert "container x cannot be started: It is. Wait." in capsys.readouterr().err


def test_a_volume_without_a_mount_has_nobody(host: Host) -> None:
    host.waiters(replace(SWAP, consumers=("db.service",))).start_units(SWAP.name)
    assert host.examined == [({"db.service": ()}, {})]


# --- a device that is lost --------------------------------------------------------------------------------


def test_what_is_stopped_is_written_down(host: Host) -> None:
    host.waiters().stop("a", 17)
    assert host.log == ["stop x"]
    assert host.loss == Loss(losses.this_boot(), 17, ("x",))
    host.waiters().stop("a", 18)
    assert host.loss == Loss(losses.this_boot(), 17, ("x",)), "the first moment counts"


def test_what_was_stopped_in_an_earlier_boot_is_not_forgotten(host: Host) -> None:
    host.note_loss("old", boot="another")
    host.waiters().stop("a", 17)
    assert host.loss == Loss(losses.this_boot(), 17, ("old", "x"))


def test_a_container_that_cannot_be_stopped_is_told_of(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.broken = BUSY
    host.waiters().stop("a", 17)
    assert "<4>a: its containers cannot be stopped: It is. Wait." in capsys.readouterr().err


def test_a_loss_that_cannot_be_forgotten_is_told_of(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(volume: str) -> None:
        raise OSError(30, "Read-only file system")

    host.note_loss()
    monkeypatch.setattr(losses, "forget", fail)
    host.waiters().start_containers(["a"])
    assert "that it was lost cannot be forgotten" in capsys.readouterr().err
