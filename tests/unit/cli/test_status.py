"""`volward status`: which view, and the exit status."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.unit import builders
from tests.unit.report.volumes import WHOLE, volume

from volward.cli import status as command
from volward.cli.context import Context
from volward.model import VolumeSpec
from volward.operations import status as operation
from volward.report.volume import SeenVolume

CLOSED = volume(builders.AT_BOOT, spec=replace(builders.SPEC, name="redis"))


class _Context(Context):
    """Two volumes, without a configuration."""

    @cached_property
    def specs(self) -> dict[str, VolumeSpec]:
        return {"pgdata": WHOLE.spec, "redis": CLOSED.spec}


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_at(specs: Sequence[VolumeSpec]) -> tuple[SeenVolume, ...]:
        known = {one.spec.name: one for one in (WHOLE, CLOSED)}
        return tuple(known[spec.name] for spec in specs)

    monkeypatch.setattr(operation, "look_at", look_at)
    monkeypatch.setattr(command, "demand_root", lambda _: None)


def status(*arguments: str) -> Result:
    return CliRunner().invoke(command.status, arguments, obj=_Context(Path("/nowhere")), standalone_mode=False)


def test_all_volumes_are_a_table() -> None:
    lines = status().output.splitlines()
    assert lines[0].split() == ["VOLUME", "STATE", "DEVICE", "USED", "MOUNT", "POINT", "KEYS"]
    assert [line.split()[:2] for line in lines[1:3]] == [["pgdata", "ok"], ["redis", "closed"]]
    assert lines[-1] == "2 volumes: 1 ok, 1 closed."


def test_one_volume_is_shown_in_full() -> None:
    assert status("pgdata").output.startswith("pgdata: ok\n\n  device ")
    assert "keyslots" not in status("pgdata", "redis").output
    assert "keyslots" in status("--long").output


def test_json_has_all_volumes() -> None:
    document = json.loads(status("--json").output)
    assert [one["state"] for one in document["volumes"]] == ["ok", "closed"]


def test_the_status_is_0_unless_check_is_asked_for() -> None:
    assert status().return_value == 0
    assert status("--check").return_value == 76
    assert status("--check", "pgdata").return_value == 0
