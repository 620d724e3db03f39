"""`volward plan`: what it prints, and its exit statuses."""

import json
from dataclasses import replace

import pytest
from tests.unit.builders import PERFECT
from tests.unit.cli.driver import Cli

from volward.errors import DeviceNotFoundError, NoDeviceMapperError, NotBlankError
from volward.model import Action, Plan, Step, VolumeSpec
from volward.operations.prepare import Prepared, Refused

FORMAT = Action(Step.FORMAT, "format /dev/vdb", "it is blank", destructive=True)
OPEN = Action(Step.OPEN, "open it", "it is closed")


@pytest.fixture
def goals(cli: Cli) -> dict[str, object]:
    """What `prepare` answers by volume; a plan or an error."""
    answers: dict[str, object] = {
        "cache": Plan("cache", (FORMAT, OPEN), warnings=("no recovery key",)),
        "queue": Plan("queue", (), "queue is fine"),
    }

    def prepare(spec: VolumeSpec, goal: object, *, can_hand_over_recovery: bool) -> Prepared | Refused:
        answers["recovery"] = can_hand_over_recovery
        answer = answers[spec.name]
        if isinstance(answer, Plan):
            return Prepared(spec, replace(PERFECT, volume=spec.name), answer)
        assert isinstance(answer, NotBlankError | DeviceNotFoundError)
        return Refused(spec, answer)

    cli.replace("volward.operations.prepare.prepare", prepare)
    return answers


def test_actions_reasons_and_warnings(cli: Cli, goals: dict[str, object]) -> None:
    done = cli("plan")
    assert done.status == 0
    assert done.out == (
        "cache\n"
        "  ! format /dev/vdb, because it is blank\n"
        "  + open it, because it is closed\n"
        "  warning: no recovery key\n"
        "queue\n"
        "  nothing to do, because queue is fine\n"
    )
    assert goals["recovery"] is False


def test_on_a_terminal_the_recovery_key_is_part_of_the_plan(cli: Cli, goals: dict[str, object]) -> None:
    cli.on_a_terminal()
    cli("plan")
    assert goals["recovery"] is True


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("queue",), 0), (("--detailed-exitcode", "queue"), 0), (("--detailed-exitcode",), 3), ((), 0)],
)
def test_status(cli: Cli, goals: dict[str, object], arguments: tuple[str, ...], status: int) -> None:
    assert cli("plan", *arguments).status == status


def test_a_refusal_does_not_hide_the_others(cli: Cli, goals: dict[str, object]) -> None:
    goals["cache"] = NotBlankError("/dev/vdb is not blank.", resolution="Look at it.")
    done = cli("plan", "--detailed-exitcode")
    assert done.status == 73
    assert done.out == "queue\n  nothing to do, because queue is fine\n"
    assert done.err == "cache: /dev/vdb is not blank.\n  Look at it.\n  (VW0302, `volward explain VW0302`)\n"


def test_the_status_is_the_first_refusals(cli: Cli, goals: dict[str, object]) -> None:
    goals["cache"] = DeviceNotFoundError("It is not there.", resolution="Attach it.")
    goals["queue"] = NotBlankError("It is not blank.", resolution="Look at it.")
    assert cli("plan").status == 66


def test_json(cli: Cli, goals: dict[str, object]) -> None:
    goals["queue"] = NotBlankError("It is not blank.", resolution="Look at it.")
    done = cli("plan", "--json")
    assert done.status == 73
    cache, queue = json.loads(done.out)
    assert [action["step"] for action in cache["actions"]] == ["format", "open"]
    assert queue == {
        "volume": "queue",
        "error": {"code": "VW0302", "what": "It is not blank.", "resolution": "Look at it."},
    }
    assert done.err == ""


def test_no_volume_is_configured(cli: Cli, goals: dict[str, object]) -> None:
    cli.configure("")
    done = cli("plan")
    assert (done.status, done.out) == (0, "")
    assert "No volume is configured" in done.err


def test_an_unknown_volume(cli: Cli) -> None:
    done = cli("plan", "cahce")
    assert done.status == 78
    assert 'Did you mean "cache"?' in done.err


def test_without_device_mapper_nothing_strange_happens(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[bool] = []

    def refuse(*, load: bool) -> None:
        loads.append(load)
        raise NoDeviceMapperError("None.", resolution="`make demo`.")

    monkeypatch.setattr("volward.cli.plan.demand_device_mapper", refuse)
    assert cli("plan").status == 72
    assert loads == [False], "planning loads no module"
