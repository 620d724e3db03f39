"""What runs, by control groups."""

import json
from pathlib import Path

import pytest

from volward.host import cgroup
from volward.model import Presence

ID = "0123456789abcdef" * 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "cgroup"
    for path, populated in (
        ("", 1),
        ("system.slice/redis-server.service", 1),
        ("system.slice/system-postgresql.slice/postgresql@17-main.service", 1),
        ("system.slice/stopped.service", 0),
        (f"system.slice/docker-{ID}.scope", 1),
        (f"docker/{'f' * 64}", 0),
    ):
        (root / path).mkdir(parents=True, exist_ok=True)
        (root / path / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")
    (root / "cgroup.controllers").touch()
    return root


@pytest.fixture
def containers(tmp_path: Path) -> Path:
    directory = tmp_path / "containers"
    for identifier, name in ((ID, "/pg"), ("f" * 64, "/other")):
        (directory / identifier).mkdir(parents=True)
        (directory / identifier / "config.v2.json").write_text(json.dumps({"Name": name}))
    (directory / "damaged").mkdir()
    (directory / "damaged/config.v2.json").write_text("{")
    return directory


@pytest.mark.parametrize(
    ("consumer", "runs"),
    [
        ("redis-server.service", Presence.PRESENT),
        ("postgresql@17-main.service", Presence.PRESENT),
        ("stopped.service", Presence.ABSENT),
        ("never.service", Presence.ABSENT),
        ("container:pg", Presence.PRESENT),
        ("container:other", Presence.ABSENT),
        ("container:never", Presence.ABSENT),
    ],
)
def test_a_consumer_runs_when_its_group_has_processes(
    root: Path, containers: Path, consumer: str, runs: Presence
) -> None:
    assert cgroup.look(root=root).of(consumer, containers=containers) is runs


def test_a_container_of_another_engine_is_unknown(root: Path, tmp_path: Path) -> None:
    assert cgroup.look(root=root).of("container:pg", containers=tmp_path / "nowhere") is Presence.UNKNOWN


def test_without_control_groups_all_is_unknown(tmp_path: Path) -> None:
    assert cgroup.look(root=tmp_path).of("redis-server.service") is Presence.UNKNOWN
