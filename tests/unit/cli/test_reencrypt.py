"""`volward rotate --volume-key`: what is shown before, on the way, and what goes together."""

import json
import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from tests.unit import builders
from tests.unit.report.test_status_json import validator

from volward.cli import rotate as command
from volward.cli.context import Context
from volward.cli.delivery import DescriptorDelivery
from volward.errors import BusyError, InterruptedRunError
from volward.model import Action, Fate, KeyslotFate, Progress, ReencryptionPlan, Step, VolumeSpec
from volward.operations import reencrypt as operation
from volward.operations import reencryption_look
from volward.operations.reencrypt import Reencrypted
from volward.operations.reencryption_look import Looked, Wanted
from volward.operations.watcher import Watcher

PLAN = ReencryptionPlan("pgdata", (Action(Step.REENCRYPT, "re-encrypt all data", "asked", destructive=True),))


class _Context(Context):
    @cached_property
    def specs(self) -> dict[str, VolumeSpec]:
        return {"pgdata": builders.SPEC}


class Host:
    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.runs = 0
        self.recovery: list[type] = []
        self.plan = PLAN
        self.replaces = ""
        self.refuses: Exception | None = None
        self.fails: Exception | None = None

    def look(self, spec: VolumeSpec, wanted: Wanted) -> Looked:
        self.wanted.append(wanted)
        if self.refuses:
            raise self.refuses
        return Looked(self.plan, replaces=self.replaces)

    def run(
        self, spec: VolumeSpec, wanted: Wanted, watcher: Watcher, *, shown: ReencryptionPlan, recovery: object
    ) -> Reencrypted:
        assert shown is self.plan, "what was confirmed goes along"
        self.recovery.append(type(recovery))
        self.runs += 1
        for done in (0, 1, 2):
            watcher.progress(spec.name, Progress(done, 2, 1.0, None))
        if self.fails:
            raise self.fails
        return Reencrypted(spec.name, ("Look at this.",))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    one = Host()
    monkeypatch.setattr(reencryption_look, "look", one.look)
    monkeypatch.setattr(operation, "run", one.run)
    monkeypatch.setattr(command, "demand_root", lambda _: None)
    return one


def rotate(*arguments: str) -> Result:
    return CliRunner().invoke(command.rotate, arguments, obj=_Context(Path("/nowhere")), standalone_mode=False)


def test_it_is_shown_confirmed_and_done(host: Host) -> None:
    done = rotate("--volume-key", "--yes", "--online", "pgdata")
    assert done.return_value == 0
    assert host.wanted == [Wanted(online=True, typed=False)]
    assert host.runs == 1
    assert "! re-encrypt all data, because asked" in done.stderr
    assert "pgdata: 0 %" in done.stderr
    assert "pgdata: 50 %" not in done.stderr  # not every second
    assert "every key opens it" in done.stderr
    assert "warning: Look at this." in done.stderr


def test_one_that_had_not_begun_is_named(host: Host) -> None:
    host.replaces = "reencrypt-pgdata-0"
    assert (
        "reencrypt-pgdata-0 was cut before any data changed. It is planned anew."
        in rotate("--volume-key", "--yes", "pgdata").stderr
    )


def test_without_a_confirmation_nothing_is_done(host: Host) -> None:
    done = rotate("--volume-key", "pgdata")
    assert "there is no terminal to ask on" in str(done.exception)
    assert host.runs == 0


def test_who_takes_a_new_recovery_key(host: Host) -> None:
    reading, writing = os.pipe()
    try:
        assert rotate("--volume-key", "--yes", "--recovery-fd", str(writing), "pgdata").return_value == 0
    finally:
        os.close(reading)
        os.close(writing)
    rotate("--volume-key", "--yes", "--new-recovery", "pgdata")
    rotate("--volume-key", "--yes", "pgdata")
    assert [one.new_recovery for one in host.wanted] == [True, True, False]
    assert host.recovery == [DescriptorDelivery, type(None), type(None)]


def test_each_fate_is_shown_and_published(host: Host) -> None:
    fates = tuple(KeyslotFate(number, "recovery", fate) for number, fate in enumerate(Fate))
    host.plan = replace(PLAN, fates=fates)
    assert (
        "recovery: replaced by a new recovery key, which its owner confirms"
        in rotate("--volume-key", "--plan", "pgdata").stderr
    )
    validator("plan.schema.json").validate(json.loads(rotate("--volume-key", "--json", "pgdata").stdout))
    host.refuses = BusyError("It is open.", resolution="Close it.")
    refusal = json.loads(rotate("--volume-key", "--json", "pgdata").stdout)
    validator("plan.schema.json").validate(refusal)
    assert refusal[0]["error"]["what"] == "It is open."


@pytest.mark.parametrize("option", ["--plan", "--json"])
def test_a_look_alone(host: Host, option: str) -> None:
    done = rotate("--volume-key", option, "pgdata")
    assert done.return_value == 0
    assert host.runs == 0
    if option == "--json":
        assert json.loads(done.stdout)[0]["volume"] == "pgdata"


def test_progress_as_json(host: Host) -> None:
    lines = rotate("--volume-key", "--yes", "--progress-json", "pgdata").stdout.splitlines()
    assert [json.loads(line)["done_bytes"] for line in lines] == [0, 1, 2]


def test_what_is_refused_and_what_fails_has_its_status(host: Host) -> None:
    host.refuses = BusyError("It is open.", resolution="Close it.")
    assert rotate("--volume-key", "--yes", "pgdata").return_value == 75
    assert host.runs == 0
    host.refuses, host.fails = None, InterruptedRunError("Stopped.", resolution="Go on.")
    done = rotate("--volume-key", "--yes", "pgdata")
    assert done.return_value == 130
    assert "Stopped." in done.stderr


def test_nothing_to_do(host: Host) -> None:
    host.plan = ReencryptionPlan("pgdata", (), "its volume key is new at each boot")
    assert rotate("--volume-key", "--yes", "pgdata").return_value == 0
    assert host.runs == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--volume-key", "--now", "pgdata"),
        ("--volume-key", "--due"),
        ("--volume-key",),
        ("--online", "pgdata"),
        ("--progress-json", "pgdata"),
        ("--new-recovery", "pgdata"),
        ("--volume-key", "--recovery", "pgdata"),
        ("--volume-key", "--yes", "--recovery-fd", "3", "--recovery-vault", "pgdata"),
    ],
)
def test_options_that_do_not_go_together(host: Host, arguments: tuple[str, ...]) -> None:
    assert isinstance(rotate(*arguments).exception, click.UsageError)
