"""`volward rotate`: what is shown, what has to be confirmed, and what is told afterwards."""

import json
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from tests.unit.cli.driver import CONFIGURATION, Cli
from tests.unit.report.test_status_json import validator

from volward import journal
from volward.errors import BusyError, DeviceNotFoundError, NotEnrolledError, VolwardError
from volward.model import Action, Fate, KeyslotFate, ProviderKind, Rotation, RotationPlan, Step, VolumeSpec
from volward.operations.rotate import Looked, Pass, Rotated
from volward.plan.rotation import Wish

RETIRE = Action(Step.RETIRE_KEYSLOT, "retire keyslot 0", "the new key has taken over", keyslot=0)
REVOKE = Action(Step.REVOKE_KEYSLOT, "remove keyslot 0", "its owner wants it gone", destructive=True, keyslot=0)
ROTATION = Rotation(ProviderKind.CREDENTIAL, old=(0,))
FATES = (
    KeyslotFate(0, "credential", Fate.RETIRED, 1_700_000_000),
    KeyslotFate(1, "recovery", Fate.STAYS),
    KeyslotFate(2, "credential", Fate.NEW),
)
NOT_ENROLLED = NotEnrolledError("It has no such key.", resolution="Enrol one.")


class Keys:
    """Stands for the operation: what it is asked, and what it answers."""

    def __init__(self, cli: Cli) -> None:
        self.plan = RotationPlan("cache", (RETIRE,), fates=FATES, rotation=ROTATION)
        self.answer: dict[str, Any] = {}
        self.refused: VolwardError | None = None
        self.resumes = ""
        self.wishes: list[Wish] = []
        self.passes: list[tuple[list[str], Pass]] = []
        cli.replace("volward.operations.rotate.look", self.look)
        cli.replace("volward.operations.rotate.rotate", self.rotate)

    def look(self, spec: VolumeSpec, wish: Wish) -> Looked:
        self.wishes.append(wish)
        return Looked(spec, error=self.refused) if self.refused else Looked(spec, self.plan, self.resumes)

    def rotate(self, specs: Sequence[VolumeSpec], shared: Pass) -> tuple[Rotated, ...]:
        self.passes.append(([spec.name for spec in specs], shared))
        return tuple(Rotated(spec.name, **({"plans": (self.plan,)} | self.answer)) for spec in specs)


@pytest.fixture
def keys(cli: Cli) -> Keys:
    return Keys(cli)


def test_the_fate_of_each_keyslot_is_shown_and_then_it_is_done(cli: Cli, keys: Keys) -> None:
    done = cli("rotate", "cache")
    assert done.status == 0
    assert "0  credential: retired, opens the volume until 2023-11-1" in done.out
    assert "1  recovery: stays" in done.out
    assert "2  credential: the new key" in done.out
    assert "cache: a new key of credential opens it; keyslot 0 is retired, opens the volume until" in done.out
    assert [names for names, _ in keys.passes] == [["cache"]]
    assert keys.passes[0][1].recovery is None


def test_a_plan_does_nothing(cli: Cli, keys: Keys) -> None:
    keys.resumes = "rotate-cache-1"
    done = cli("rotate", "--plan", "cache", "queue")
    assert done.status == 0
    assert "rotate-cache-1 was cut short and is finished first" in done.err
    found = json.loads(cli("rotate", "--json", "cache").out)
    validator("plan.schema.json").validate(found)
    assert found[0]["keyslots"][0] == {
        "keyslot": 0, "opened_by": "credential", "fate": "retired", "until": 1_700_000_000,
    }  # fmt: skip
    keys.refused = NOT_ENROLLED
    refusal = cli("rotate", "--json", "cache")
    assert refusal.status == 78
    jsonschema.validate(json.loads(refusal.out), {"type": "array", "minItems": 1})
    assert "VW0412" in cli("rotate", "--plan", "cache").err
    assert keys.passes == []


def test_what_removes_a_keyslot_is_confirmed(cli: Cli, keys: Keys) -> None:
    keys.plan = RotationPlan("cache", (REVOKE,), fates=FATES, rotation=ROTATION)
    refused = cli("rotate", "--now", "cache")
    assert refused.status == 73
    assert "`volward rotate --yes cache`" in refused.err
    assert "`volward rotate --plan`" in refused.err
    assert cli("rotate", "--now", "--yes", "cache").status == 0
    assert keys.passes[0][1].approved == {"cache"}
    assert keys.wishes[-1] == Wish(None, False, True)


def test_what_is_due_needs_nobody(cli: Cli, keys: Keys) -> None:
    keys.plan = RotationPlan("cache", (REVOKE,), fates=FATES, rotation=Rotation(None, revoked=(0,)))
    done = cli("rotate", "--due")
    assert done.status == 0
    assert keys.wishes == [Wish(due=True)] * 2
    keys.answer = {"plans": (), "nothing_because": "the key is young"}
    assert "cache: nothing to do, because the key is young" in cli("rotate", "--due", "cache").out
    keys.refused = NOT_ENROLLED
    wrong = cli("rotate", "--due", "cache")
    assert (wrong.status, wrong.err.count("It has no such key.")) == (78, 1)


@pytest.mark.parametrize(
    ("at_boot", "arguments", "status"), [("false", (), 0), ("true", (), 66), ("false", ("cache", "queue"), 66)]
)
def test_a_disk_in_a_drawer_makes_no_unit_fail(
    cli: Cli, keys: Keys, at_boot: str, arguments: tuple[str, ...], status: int
) -> None:
    cli.configure(f"[defaults]\nopen_at_boot = {at_boot}\n{CONFIGURATION}")
    keys.refused = DeviceNotFoundError("The device is not there.", resolution="Plug it in.")
    done = cli("rotate", "--due", *arguments)
    assert done.status == status
    assert ("queue: left out" in done.err) is (status == 0)
    assert [names for names, _ in keys.passes] == [[]]


def test_what_went_wrong_and_what_was_finished(cli: Cli, keys: Keys) -> None:
    keys.answer = {"plans": (), "error": BusyError("In use.", resolution="Wait."), "resumed": "rotate-cache-1",
                   "remarks": ("a key was passed over",)}  # fmt: skip
    done = cli("rotate", "cache")
    assert done.status == 75
    assert "cache: rotate-cache-1 was finished" in done.out
    assert "warning: a key was passed over" in done.err
    assert "In use." in done.err


@pytest.mark.parametrize("words", [(), ("--due", "--now"), ("--due", "--provider", "tpm2"), ("--due", "--recovery")])
def test_words_that_make_no_sense(cli: Cli, keys: Keys, words: tuple[str, ...]) -> None:
    assert cli("rotate", *words).status == 2


def test_a_host_that_has_lost_its_keys_goes_by_the_recovery_key(cli: Cli, keys: Keys) -> None:
    assert cli("rotate", "--recovery", "--provider", "credential", "cache").status == 0
    assert cli("rotate", "cache").status == 0
    assert [shared.ask_recovery for _, shared in keys.passes] == [True, False]


def test_who_takes_a_new_recovery_key(cli: Cli, keys: Keys) -> None:
    cli.on_a_terminal()
    assert cli("rotate", "--provider", "recovery", "cache").status == 0
    assert type(keys.passes[0][1].recovery).__name__ == "TerminalDelivery"
    assert cli("rotate", "--provider", "recovery", "--recovery-fd", "2", "cache").status == 73


def test_resume_and_abort_of_a_rotation(cli: Cli, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    record = journal.Record("rotate-cache-1", journal.ROTATE, "cache", {}, 1.0, (), (), None, None)
    monkeypatch.setattr(journal, "unfinished", lambda *_: (record,))
    keys.plan = RotationPlan("cache", (REVOKE,), fates=FATES, rotation=ROTATION)
    assert cli("resume", "rotate-cache-1").status == 0
    assert keys.passes[0][0] == ["cache"]
    cli.replace("volward.operations.unrotate.give_up", lambda spec, one, deadline_seconds: (REVOKE,))
    done = cli("abort", "rotate-cache-1")
    assert done.out == "cache: remove keyslot 0: done\nrotate-cache-1: aborted after no step.\n"
