"""How old the keys are: in the detailed view, as JSON, and as a warning."""

from dataclasses import replace

import pytest
from tests.unit.builders import HEADER, PERFECT, SPEC
from tests.unit.plan.test_rotation import CREDENTIAL, DAY, NOW, PROMPT, RECOVERY, TPM2, own, with_tokens
from tests.unit.report.test_status_json import document, validator
from tests.unit.report.volumes import WHOLE, volume

from volward.journal import ROTATE, Record
from volward.model import AnnouncedKeyslot, StoreKind, Token
from volward.report import condition, detail, key_ages
from volward.report.state import State
from volward.report.volume import SeenVolume

WANTED = replace(SPEC, providers=(CREDENTIAL, TPM2, PROMPT))


def with_keys(*tokens: Token) -> SeenVolume:
    found = volume(replace(PERFECT, header=with_tokens(*tokens)), spec=WANTED)
    return replace(found, at=float(NOW))


def told(one: SeenVolume) -> list[str]:
    return list(key_ages.lines(one))


def test_the_detailed_view() -> None:
    one = with_keys(own(CREDENTIAL, 0, retired=5), own(CREDENTIAL, 1, version=2, age=5), own(RECOVERY, 2, age=400))
    lines = told(one)
    assert lines[0].startswith("credential: 5 days old, due 20")
    assert lines[1] == "recovery: 400 days old"
    assert lines[2].startswith("credential, keyslot 0: retired 2023-11-0")
    assert any(line.strip().startswith("keys") for line in detail.lines(one, condition.judge(one)))
    assert "due since" in told(with_keys(own(CREDENTIAL, 0, age=91)))[0]
    assert told(with_keys(own(CREDENTIAL, 0, age=None))) == ["credential: age not known, so it is due"]
    assert told(with_keys(own(PROMPT, 0, age=None))) == ["prompt: age not known"]


def test_where_there_are_no_keys() -> None:
    assert told(replace(WHOLE, seen=replace(PERFECT, header=None))) == []
    assert told(replace(with_keys(own(CREDENTIAL, 0)), spec=replace(WANTED, store=StoreKind.SCRATCH))) == []
    assert told(replace(WHOLE, seen=replace(PERFECT, header=replace(HEADER, tokens=())))) == []


def test_as_published() -> None:
    one = with_keys(own(CREDENTIAL, 0, retired=5), own(CREDENTIAL, 1, version=2, age=95), own(PROMPT, 2, age=None))
    found = document(one)
    validator("status.schema.json").validate(found)
    rotation = found["volumes"][0]["rotation"]
    assert [(key["provider"], key["overdue"], key["by_timer"]) for key in rotation["keys"]] == [
        ("credential", True, True), ("prompt", False, False),
    ]  # fmt: skip
    assert rotation["keys"][0]["due_at"] == NOW - 5 * DAY
    assert rotation["retired"] == [
        {"keyslot": 0, "provider": "credential", "key_ref": "credential:volward.credential.v1",
         "retired_at": NOW - 5 * DAY, "until": NOW + 25 * DAY}
    ]  # fmt: skip


@pytest.mark.parametrize(("age", "problem"), [(89, None), (91, False), (97, False), (98, True)])
def test_a_key_that_is_due_is_a_note_and_one_that_the_timer_forgot_a_problem(age: int, problem: bool | None) -> None:
    judged = condition.judge(with_keys(own(CREDENTIAL, 0, age=age)))
    found = [remark.problem for remark in judged.remarks if "days old" in remark.what]
    assert found == ([] if problem is None else [problem])
    if problem:
        assert judged.state is State.DEGRADED


def test_a_passphrase_is_only_said_to_be_old() -> None:
    remarks = condition.judge(with_keys(own(PROMPT, 0, age=500))).remarks
    (old,) = [remark for remark in remarks if "days old" in remark.what]
    assert not old.problem
    assert "--provider prompt pgdata" in old.resolution
    assert "timer" not in old.resolution


def test_the_keyslot_of_a_rotation_is_not_called_an_orphan() -> None:
    announced = (AnnouncedKeyslot(0, "pbkdf2", 1000),)
    record = Record("rotate-pgdata-1", ROTATE, "pgdata", {}, 1.0, ("x",), (), "x", None, announced)
    bare = replace(PERFECT, header=replace(HEADER, tokens=()))
    cut = replace(WHOLE, seen=bare, operations=(record,))
    assert not any("was left by an enrolment" in remark.what for remark in condition.judge(cut).remarks)
    other = replace(cut, operations=(replace(record, verb="enrol"),))
    assert any("was left by an enrolment" in remark.what for remark in condition.judge(other).remarks)
