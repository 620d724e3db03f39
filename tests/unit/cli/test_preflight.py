"""`volward preflight`: what it prints, and the exit status that a monitor goes by."""

import json
from functools import cached_property
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.unit import builders

from volward.cli import preflight as command
from volward.cli.context import Context
from volward.model import VolumeSpec
from volward.operations import preflight as operation
from volward.report.preflight import Check, Verdict


class _Context(Context):
    @cached_property
    def specs(self) -> dict[str, VolumeSpec]:
        return {"pgdata": builders.SPEC}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    checks = [Check("pgdata", "device", Verdict.PASSED, "/dev/vdb, as pinned")]
    monkeypatch.setattr(operation, "preflight", lambda specs, **_: tuple(checks))
    monkeypatch.setattr(command, "demand_root", lambda _: None)
    return checks


def preflight(*arguments: str) -> Result:
    return CliRunner().invoke(command.preflight, arguments, obj=_Context(Path("/nowhere")), standalone_mode=False)


def test_a_host_that_is_ready(found: list[Check]) -> None:
    done = preflight()
    assert done.return_value == 0
    assert done.output.splitlines() == [
        "VOLUME  CHECK   RESULT  FOUND",
        "pgdata  device  passed  /dev/vdb, as pinned",
        "",
        "The next boot opens 1 volume without a person.",
    ]


def test_what_is_wrong_says_what_to_do(found: list[Check]) -> None:
    found.append(Check("pgdata", "boot", Verdict.FAILED, "the boot unit is disabled", "Mend it."))
    done = preflight("pgdata")
    assert done.return_value == 76
    assert "pgdata, boot: the boot unit is disabled.\n  Mend it.\n" in done.output
    assert done.output.splitlines()[-1] == "The next boot needs a person: pgdata."


def test_warnings_count_when_asked(found: list[Check]) -> None:
    found.append(Check("pgdata", "recovery key", Verdict.WARNING, "there is none", "Make one."))
    assert preflight().return_value == 0
    assert preflight("--strict").return_value == 76


def test_json(found: list[Check]) -> None:
    document = json.loads(preflight("--json").output)
    assert document["passed"] is True
    assert document["checks"][0]["volume"] == "pgdata"
