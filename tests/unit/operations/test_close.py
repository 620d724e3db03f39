"""close: names who holds the volume, unmounts through PID 1, and never closes what is not the volume."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.unit.builders import AT_BOOT, CLOSED, MOUNT, OPEN, PERFECT, SPEC, SWAP, UUID

from volward import audit, lock
from volward.errors import BusyError, MappingError
from volward.host import cryptsetup, docker, holders, swap, systemd
from volward.host.docker import Container
from volward.host.holders import Holder, Holding
from volward.model import MappingState, Observation, VolumeSpec
from volward.operations import close as operation
from volward.operations.close import close_volume, release_volume, who_holds

POSTGRES = Holder(7, "postgres", "/usr/lib/postgresql/17/bin/postgres", "file /srv/volward/pgdata/x")
NOBODY = Holding((), (), (), (), 0)


@dataclass
class Host:
    """Who holds the volume before and after the unmount, and what was done."""

    seen: Observation = PERFECT
    held: list[Holding] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    audited: list[tuple[str, str]] = field(default_factory=list)
    engine: bool = True
    containers: tuple[Container, ...] = ()

    def holding(self, number: str, **_: object) -> Holding:
        assert number == OPEN.number
        return self.held.pop(0) if self.held else NOBODY

    def stop(self, unit: str) -> None:
        self.log.append(f"stop {unit}")
        self.running.discard(unit)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    one = Host()
    held = lock.held
    monkeypatch.setattr(lock, "held", lambda volume: held(volume, directory=tmp_path))
    monkeypatch.setattr(operation, "observe", lambda spec, **_: one.seen)
    monkeypatch.setattr(holders, "holding", one.holding)
    monkeypatch.setattr(docker, "name", lambda container: f"name of {container}")
    monkeypatch.setattr(docker, "engine_state", lambda: "active" if one.engine else "inactive")
    monkeypatch.setattr(docker, "look", lambda names: tuple(each for each in one.containers if each.name in names))
    monkeypatch.setattr(docker, "stop", lambda name: one.log.append(f"stop container {name}"))
    monkeypatch.setattr(systemd, "stop", one.stop)
    monkeypatch.setattr(systemd, "active", lambda unit: unit in one.running)
    monkeypatch.setattr(swap, "off", lambda node: one.log.append(f"swapoff {node}"))
    monkeypatch.setattr(cryptsetup, "close", lambda name: one.log.append(f"close {name}"))
    monkeypatch.setattr(
        audit, "record", lambda event, volume, outcome, message, **_: one.audited.append((event, str(outcome)))
    )
    return one


def close(spec: VolumeSpec = SPEC, *, stop_consumers: bool = False) -> bool:
    return close_volume(spec, stop_consumers=stop_consumers)


def test_unmounted_by_pid_1_and_closed(host: Host) -> None:
    assert close()
    assert host.log == ["stop srv-volward-pgdata.mount", "close volward-pgdata"]
    assert host.audited == [("close", "intent"), ("close", "done")]


def test_closed_already(host: Host) -> None:
    host.seen = replace(PERFECT, mapping=CLOSED)
    assert not close()
    assert host.log == []


@pytest.mark.parametrize("state", [MappingState.FOREIGN, MappingState.ZOMBIE, MappingState.SUSPENDED])
def test_what_is_not_the_volume_is_not_closed(host: Host, state: MappingState) -> None:
    host.seen = replace(PERFECT, mapping=replace(OPEN, state=state, detail="not ours."))
    with pytest.raises(MappingError, match=state):
        close()
    assert host.log == []


def test_who_holds_it_is_named(host: Host) -> None:
    host.held = [Holding((POSTGRES,), ("dm-3",), (Path("/srv/volward/pgdata/sub"),), (), 0)]
    with pytest.raises(BusyError) as refused:
        close()
    for words in ("7", "postgres", "block device dm-3", "mount at /srv/volward/pgdata/sub"):
        assert words in refused.value.what
    assert "--stop-consumers pgdata` stops postgresql@17-main.service" in refused.value.resolution
    assert host.log == []
    assert host.audited[-1] == ("close", "failed")


def test_a_long_list_is_cut(host: Host) -> None:
    host.held = [Holding(tuple(replace(POSTGRES, pid=number) for number in range(20)), (), (), (), 0)]
    with pytest.raises(BusyError, match="8 more processes"):
        close()


def test_somebody_who_came_during_the_unmount_keeps_it_open(host: Host) -> None:
    host.held = [NOBODY, Holding((POSTGRES,), (), (), (), 0)]
    with pytest.raises(BusyError):
        close()
    assert "close volward-pgdata" not in host.log


def test_a_consumer_that_runs_counts_without_an_open_file(host: Host) -> None:
    host.running = {"postgresql@17-main.service"}
    with pytest.raises(BusyError, match=r"consumer postgresql@17-main.service \(running\)"):
        close()
    assert host.log == []


def test_consumers_are_stopped_when_that_is_said(host: Host) -> None:
    host.running = {"postgresql@17-main.service"}
    host.containers = (Container("db", running=True), Container("other", running=False))
    spec = replace(SPEC, consumers=("postgresql@17-main.service", "container:db", "container:other"))
    assert close(spec, stop_consumers=True)
    assert host.log == [
        *("stop postgresql@17-main.service", "stop container db"),
        *("stop srv-volward-pgdata.mount", "close volward-pgdata"),
    ]


def test_an_engine_that_does_not_run_has_no_container_to_stop(host: Host) -> None:
    host.engine = False
    assert close(replace(SPEC, consumers=("container:db",)), stop_consumers=True)
    assert host.log == ["stop srv-volward-pgdata.mount", "close volward-pgdata"]


def test_without_consumers_there_is_no_hint(host: Host) -> None:
    host.held = [Holding((POSTGRES,), (), (), (), 0)]
    with pytest.raises(BusyError) as refused:
        close(replace(SPEC, consumers=()))
    assert refused.value.resolution == "Stop these, then try again."


def test_a_container_is_called_by_its_name(host: Host) -> None:
    host.held = [Holding((replace(POSTGRES, container="0123456789ab"),), (), (), (), 0)]
    with pytest.raises(BusyError, match="name of 0123456789ab"):
        close()


def test_what_others_mounted_there_is_not_unmounted(host: Host) -> None:
    host.seen = replace(PERFECT, mount=replace(MOUNT, number="8:1"))
    assert close()
    assert host.log == ["close volward-pgdata"]


@pytest.mark.parametrize("active", [True, False])
def test_swap(host: Host, active: bool) -> None:
    host.seen = replace(PERFECT, mount=None, swap_active=active)
    assert close(SWAP)
    assert host.log == ["swapoff /dev/mapper/volward-pgdata"] * active + ["close volward-pgdata"]


# --- a device that is gone, and who holds a volume --------------------------------------------------------

OURS = f"CRYPT-LUKS2-{UUID.replace('-', '')}-volward-pgdata"
LOST = replace(PERFECT, mapping=replace(OPEN, state=MappingState.ZOMBIE, dm_uuid=OURS))


def test_a_lost_volume_is_unmounted_and_closed(host: Host) -> None:
    host.seen = LOST
    assert release_volume(SPEC)
    assert host.log == ["stop srv-volward-pgdata.mount", "close volward-pgdata"]
    assert host.audited == [("release", "intent"), ("release", "done")]


@pytest.mark.parametrize("seen", [PERFECT, AT_BOOT])
def test_what_is_not_lost_is_not_released(host: Host, seen: Observation) -> None:
    host.seen = seen
    assert not release_volume(SPEC)
    assert (host.log, host.audited) == ([], [])


def test_a_lost_volume_that_something_holds_stays(host: Host) -> None:
    host.seen = LOST
    host.held = [replace(NOBODY, processes=(POSTGRES,))]
    with pytest.raises(BusyError, match="postgres"):
        release_volume(SPEC)
    assert host.log == ["stop srv-volward-pgdata.mount"]
    assert host.audited == [("release", "intent"), ("release", "failed")]


@pytest.mark.parametrize(
    "seen", [replace(LOST, pin=None), replace(LOST, mapping=replace(LOST.mapping, dm_uuid="CRYPT-LUKS2-0-x"))]
)
def test_a_strangers_mapping_is_not_released(host: Host, seen: Observation) -> None:
    host.seen = seen
    with pytest.raises(MappingError, match="is gone, and is not known to be pgdata"):
        release_volume(SPEC)
    assert host.log == []


def test_a_lost_scratch_mapping_has_no_header_to_be_known_by(host: Host) -> None:
    host.seen = replace(LOST, mapping=replace(LOST.mapping, dm_uuid="CRYPT-PLAIN-volward-swap"), swap_active=True)
    assert release_volume(SWAP)
    assert host.log == ["swapoff /dev/mapper/volward-pgdata", "close volward-pgdata"]


def test_who_holds_a_volume(host: Host) -> None:
    host.held = [replace(NOBODY, processes=(POSTGRES,))]
    (line,) = who_holds(SPEC)
    assert "postgres" in line
    assert who_holds(SPEC) == ()
    host.seen = AT_BOOT
    assert who_holds(SPEC) == ()
