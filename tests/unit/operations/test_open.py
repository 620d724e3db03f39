"""open: side by side where nobody is asked, one after another where somebody is, and each has its own outcome."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operations.stage import A, B, Stage

from volward import lock
from volward.apply import Work
from volward.errors import (
    BusyError,
    InterruptedRunError,
    KeyDeniedError,
    OperatingSystemError,
    VerificationError,
)
from volward.host import volume_units
from volward.keys.source import KeyRef
from volward.model import Action, Discrepancy, Goal, Plan, ProviderKind, Step, VolumeSpec
from volward.operations.open import Opened, open_volumes
from volward.secret import SecretBytes

OPEN = Action(Step.OPEN, "open it", "closed")
MOUNT = Action(Step.MOUNT, "mount it", "not mounted")
DENIED = KeyDeniedError("No.", resolution="Ask.")


@pytest.fixture(autouse=True)
def _plans(stage: Stage) -> Iterator[None]:
    stage.plans = {name: Plan(name, (OPEN, MOUNT)) for name in "abc"}
    yield


def run(stage: Stage, *specs: VolumeSpec, **options: Any) -> tuple[Opened, ...]:
    return open_volumes(specs, stage.watcher, deadline_seconds=5.0, **options)


def test_one_volume(stage: Stage) -> None:
    def opened(work: Work) -> None:
        work.opened_by, work.degraded = "credential", ("tpm2: away",)

    stage.answers["a open"] = opened
    (one,) = run(stage, A)
    assert (one.volume, one.opened_by, one.degraded, one.error) == ("a", "credential", ("tpm2: away",), None)
    assert stage.log == ["a open", "a mount", "a verified for open"]
    assert stage.options["a"] == {"goal": Goal.OPEN, "can_hand_over_recovery": False}
    assert stage.works["a"].deadline_seconds == 5.0
    assert not stage.works["a"].ask_recovery


def test_the_mapping_alone(stage: Stage) -> None:
    stage.plans["a"] = Plan("a", (OPEN,))
    run(stage, A, goal=Goal.MAP)
    assert stage.log == ["a open", "a verified for map"]
    assert stage.options["a"]["goal"] is Goal.MAP


def test_nothing_to_do(stage: Stage) -> None:
    stage.plans["a"] = Plan("a", (), "a is open and mounted")
    assert run(stage, A) == (Opened("a", Plan("a", (), "a is open and mounted")),)
    assert stage.log == []


def test_side_by_side_and_in_the_order_given(stage: Stage) -> None:
    together = threading.Barrier(2, timeout=20)
    stage.answers |= {"a open": lambda _: together.wait(), "b open": lambda _: together.wait()}
    assert [one.volume for one in run(stage, B, A)] == ["b", "a"]


def test_one_fails_and_the_other_opens(stage: Stage) -> None:
    stage.answers["a open"] = DENIED
    one, other = run(stage, A, B)
    assert (one.error, other.error) == (DENIED, None)
    assert "a mount" not in stage.log
    assert ("a open", "failed", "VW0402") in stage.audited
    assert [(volume, opened.code) for volume, opened in stage.remembered] == [("a", "VW0402")]
    assert "a open failed" in stage.watcher.steps


def test_another_volward_works_on_it(stage: Stage) -> None:
    with lock.held("a"):
        (one,) = run(stage, A)
    assert isinstance(one.error, BusyError)
    assert stage.remembered == [], "the one that works on it says how it went"


def test_a_host_that_is_not_as_planned(stage: Stage) -> None:
    stage.discrepancies["a"] = [Discrepancy("a", "mount", "writable", "read-only")]
    (one,) = run(stage, A)
    assert isinstance(one.error, VerificationError)


def test_an_error_of_the_kernel_is_an_outcome(stage: Stage) -> None:
    stage.answers["a mount"] = OSError(5, "Input/output error")
    (one,) = run(stage, A)
    assert isinstance(one.error, OperatingSystemError)
    assert one.error.what == "Opening a stopped: Input/output error."


def test_no_lock_to_be_had(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(volume: str) -> object:
        raise OSError(28, "No space left on device", "/run/volward")

    monkeypatch.setattr(lock, "held", full)
    (one,) = run(stage, A)
    assert one.error is not None
    assert one.error.code == "VW0206"


def test_interrupted(stage: Stage) -> None:
    stage.watcher.stop_after = 1
    (one,) = run(stage, A)
    assert isinstance(one.error, InterruptedRunError)
    assert stage.log == ["a open"]


@pytest.mark.parametrize("how", ["prompt", "recovery"])
def test_questions_come_one_after_another_in_the_main_thread(stage: Stage, how: str) -> None:
    """Ctrl-C reaches the main thread alone, and two questions on one terminal would mix."""
    threads: list[threading.Thread] = []
    stage.answers |= {f"{name} open": lambda _: threads.append(threading.current_thread()) for name in "ab"}
    asking = replace(B, providers=(ProviderKind.PROMPT,)) if how == "prompt" else B
    run(stage, A, asking, ask_recovery=how == "recovery")
    assert threads == [threading.main_thread()] * 2
    assert stage.works["a"].ask_recovery is (how == "recovery")


def test_keys_are_wiped(stage: Stage) -> None:
    secret = SecretBytes(b"key")
    stage.answers["a open"] = lambda work: work.take(KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1), secret)
    run(stage, A)
    assert secret.wiped


def test_what_cannot_be_read_of_the_host_is_each_volumes_own_trouble(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(volume_units, "ties", unreadable)
    assert [one.error for one in run(stage, A, B)] == [None, None], "the stage's look needs none of it"
