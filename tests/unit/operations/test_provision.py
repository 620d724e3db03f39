"""provision: journal first, one reload for all, and one volume's trouble is not another's."""

from dataclasses import replace
from functools import partial

import pytest
from tests.unit.builders import BLANK, DEVICE, IDENTITY, OTHER_IDENTITY, UUID, unfinished
from tests.unit.operations.stage import A, B, Stage

from volward import journal, lock
from volward.apply import Work
from volward.errors import (
    BusyError,
    ConfirmationError,
    IdentityError,
    InterruptedRunError,
    KeyDeniedError,
    NotBlankError,
    OperatingSystemError,
    ToolFailedError,
    VerificationError,
)
from volward.host import boot, systemd
from volward.host.shipped import Part
from volward.keys.source import KeyRef
from volward.model import (
    Action,
    AnnouncedKeyslot,
    Device,
    Discrepancy,
    Identity,
    Plan,
    ProviderKind,
    Step,
    StoreKind,
    VolumeSpec,
)
from volward.operations.provision import Outcome, provision
from volward.operations.system_install import Ensured
from volward.secret import SecretBytes

FORMAT = Action(Step.FORMAT, "format it", "blank", destructive=True)
RECOVERY = Action(Step.ENROL_RECOVERY, "enrol a recovery key", "asked", provider=ProviderKind.RECOVERY)
OPEN = Action(Step.OPEN, "open it", "closed")
UNITS = Action(Step.WRITE_UNITS, "write the units", "missing")
MOUNT = Action(Step.MOUNT, "mount it", "not mounted")
WHOLE = (FORMAT, RECOVERY, OPEN, UNITS, MOUNT)
INSTALLED = ("install header-backup", "install opening!", "install preflight", "install rotation")
NOT_TYPED = ConfirmationError("Not typed back.", resolution="Again.")


class Nobody:
    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        raise AssertionError("the action is a script here")


@pytest.fixture(autouse=True)
def installed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[Ensured]:
    """What installing volward's own units answers: there is nothing to do; a test changes that."""
    stage.plans = {"a": Plan("a", WHOLE), "b": Plan("b", WHOLE)}
    stage.seen = {"a": BLANK, "b": BLANK}
    answers = [Ensured(reloaded=False, remarks=())]

    def ensure(parts: set[Part], *, insist: frozenset[Part]) -> Ensured:
        stage.log += [f"install {part}{'!' if part in insist else ''}" for part in sorted(parts)]
        return answers[-1]

    monkeypatch.setattr("volward.operations.provision.ensure", ensure)
    monkeypatch.setattr(systemd, "reload", lambda: stage.log.append("reload"))
    monkeypatch.setattr(boot, "enabled", lambda: True)
    monkeypatch.setattr(
        systemd,
        "have_follow",
        lambda unit, *, again, start: stage.log.append(f"{'' if start else 'try '}{'restart' if again else 'follow'}"),
    )
    return answers


def run(
    stage: Stage,
    *specs: VolumeSpec,
    approved: str = "a b",
    overwrite: dict[str, Identity] | None = None,
) -> tuple[Outcome, ...]:
    return provision(
        specs, recovery=Nobody(), watcher=stage.watcher, approved=set(approved.split()), overwrite=overwrite or {}
    )


def records() -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [(one.verb, one.outcome, one.steps_done) for one in journal.every()]


NAMES = ("format", "enrol-recovery:recovery", "open", "write-units", "mount")


def test_each_step_is_journaled_and_the_whole_is_verified(stage: Stage) -> None:
    (outcome,) = run(stage, A)
    assert outcome == Outcome("a", provisioned=True)
    assert stage.log == [
        *(f"a {name}" for name in NAMES[:4]), *INSTALLED, "reload", "a mount", "a verified for provision",
        "follow",
    ]  # fmt: skip
    assert records() == [("provision", "done", NAMES)]
    assert stage.watcher.steps[:2] == ["a format", "a format done"]
    assert stage.backed_up == ["a"]


def test_a_header_that_cannot_be_backed_up_is_a_remark_and_no_error(stage: Stage) -> None:
    stage.said_of_backup = ("The disk is full.",)
    (outcome,) = run(stage, A)
    assert outcome == Outcome("a", provisioned=True, remarks=("The disk is full.",))
    assert records() == [("provision", "done", NAMES)]


def test_the_journal_has_the_uuid_before_the_format_runs(stage: Stage) -> None:
    found: list[tuple[object, str | None, object]] = []

    def look(work: Work) -> None:
        (record,) = journal.unfinished("a")
        found.append((record.facts["luks_uuid"], record.step_begun, record.facts["identity"]["serial"]))  # type: ignore[index]

    stage.answers["a format"] = look
    run(stage, A)
    assert found == [(stage.works["a"].luks_uuid, "format", "PG1")]


def test_two_volumes_share_one_reload(stage: Stage) -> None:
    assert all(outcome.provisioned for outcome in run(stage, A, B))
    assert stage.log.count("reload") == 1
    assert stage.log.index("b write-units") < stage.log.index("reload") < stage.log.index("a mount")


def test_nothing_is_reloaded_when_no_unit_was_written(stage: Stage) -> None:
    stage.plans["a"] = Plan("a", (OPEN, MOUNT))
    run(stage, A)
    assert stage.backed_up == [], "the header was not changed"
    assert "reload" not in stage.log
    assert records() == [], "each of these steps shows on the host itself"


def test_units_are_installed_once_for_all_and_that_reloads(stage: Stage, installed: list[Ensured]) -> None:
    installed.append(Ensured(reloaded=True, remarks=("a file is left alone",)))
    one, other = run(stage, A, B)
    assert [line for line in stage.log if "install" in line] == list(INSTALLED)
    assert "reload" not in stage.log
    assert (one.remarks, other.remarks) == (("a file is left alone",), ()), "it is said once"


@pytest.mark.parametrize(
    ("providers", "timers"),
    [
        ((ProviderKind.PROMPT,), ()),
        ((ProviderKind.PROMPT, ProviderKind.TPM2), ("preflight",)),
        ((ProviderKind.TPM2, ProviderKind.CREDENTIAL), ("header-backup", "preflight", "rotation")),
        ((ProviderKind.VAULT, ProviderKind.PROMPT), ("header-backup", "preflight", "rotation")),
    ],
)
def test_a_timer_is_for_what_needs_no_person(
    stage: Stage, providers: tuple[ProviderKind, ...], timers: tuple[str, ...]
) -> None:
    run(stage, replace(A, providers=providers))
    assert [line for line in stage.log if "install" in line] == sorted(
        ["install opening!", *(f"install {timer}" for timer in timers)]
    )


def test_a_scratch_volume_has_no_keys_and_is_opened_by_the_boot(stage: Stage) -> None:
    run(stage, replace(A, store=StoreKind.SCRATCH, providers=()))
    assert [line for line in stage.log if "install" in line] == ["install opening!", "install preflight"]


def test_a_volume_that_the_boot_does_not_open_leaves_the_boot_alone(stage: Stage) -> None:
    run(stage, replace(A, open_at_boot=False))
    assert [line for line in stage.log if "install" in line] == ["install header-backup", "install rotation"]
    assert "reload" in stage.log


def test_units_that_cannot_be_installed_are_every_volumes_outcome(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(parts: set[Part], *, insist: frozenset[Part]) -> Ensured:
        raise ToolFailedError("systemctl failed.", resolution="Look.")

    monkeypatch.setattr("volward.operations.provision.ensure", fail)
    assert all(isinstance(one.error, ToolFailedError) for one in run(stage, A, B))
    assert "a mount" not in stage.log


def test_what_the_daemons_sandbox_has_to_let_through_is_had_by_a_restart(stage: Stage) -> None:
    run(stage, replace(A, is_file=True))
    assert stage.log[-1] == "restart"
    stage.plans["a"] = Plan("a", (OPEN,))
    run(stage, replace(A, is_file=True))
    assert stage.log[-1] == "follow"


@pytest.mark.parametrize("at_boot", [False, True])
def test_a_daemon_that_the_boot_does_not_start_follows_only_when_it_runs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, at_boot: bool
) -> None:
    monkeypatch.setattr(boot, "enabled", lambda: False)
    assert run(stage, replace(A, open_at_boot=at_boot))[0].provisioned
    assert stage.log[-1] == "try follow"


def test_a_daemon_that_does_not_start_is_not_the_volumes_failure(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(unit: str, *, again: bool, start: bool) -> None:
        raise ToolFailedError("systemctl ended with status 1.", resolution="Look.", status=1, stderr="")

    monkeypatch.setattr(systemd, "have_follow", fail)
    assert run(stage, A)[0].provisioned


# --- trouble ----------------------------------------------------------------------------------------------


def test_one_volume_fails_and_the_other_goes_on(stage: Stage) -> None:
    stage.answers["a open"] = BusyError("In use.", resolution="Stop it.")
    one, other = run(stage, A, B)
    assert isinstance(one.error, BusyError)
    assert not one.provisioned
    assert other == Outcome("b", provisioned=True)
    assert "a mount" not in stage.log
    assert stage.watcher.steps[4:6] == ["a open", "a open failed"]
    (record,) = journal.unfinished("a")
    assert (record.step_begun, record.steps_done) == ("open", NAMES[:2])


def test_a_refusal_at_the_second_look(stage: Stage) -> None:
    stage.plans["a"] = NotBlankError("Not blank any more.", resolution="Look.")
    one, other = run(stage, A, B)
    assert isinstance(one.error, NotBlankError)
    assert other.provisioned
    assert journal.unfinished("a") == ()


def test_a_plan_that_became_destructive_is_not_carried_out(stage: Stage) -> None:
    (outcome,) = run(stage, A, approved="b")
    assert isinstance(outcome.error, ConfirmationError)
    assert "became destructive" in outcome.error.what
    assert stage.log == []
    assert records() == []


def test_another_volward_works_on_it(stage: Stage) -> None:
    with lock.held("a"):
        one, other = run(stage, A, B)
    assert isinstance(one.error, BusyError)
    assert other.provisioned


def test_locks_are_let_go_of(stage: Stage) -> None:
    stage.answers["a open"] = BusyError("In use.", resolution="Stop it.")
    run(stage, A, B)
    with lock.held("a"), lock.held("b"):
        pass


def test_an_error_of_the_kernel_is_an_outcome(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(volume: str) -> object:
        raise OSError(30, "Read-only file system", "/run/volward/lock")

    monkeypatch.setattr(lock, "held", read_only)
    (outcome,) = run(stage, A)
    assert isinstance(outcome.error, OperatingSystemError)
    assert outcome.error.what == "Provisioning a stopped: /run/volward/lock: Read-only file system."


def test_a_reload_that_fails_is_every_volumes_outcome(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ToolFailedError("systemctl failed.", resolution="Look.")

    stage.answers["a format"] = NotBlankError("Not blank any more.", resolution="Look.")
    monkeypatch.setattr(systemd, "reload", fail)
    one, other = run(stage, A, B)
    assert isinstance(one.error, NotBlankError), "what had failed before keeps its own reason"
    assert isinstance(other.error, ToolFailedError)
    assert "b mount" not in stage.log


def test_a_host_that_is_not_as_planned(stage: Stage) -> None:
    stage.discrepancies["a"] = [Discrepancy("a", "mount", "at /srv/a", "nothing")]
    (outcome,) = run(stage, A)
    assert isinstance(outcome.error, VerificationError)
    assert "volward apply" in outcome.error.resolution
    assert [one.outcome for one in journal.unfinished("a")] == [None]


def test_keys_are_wiped_at_the_end(stage: Stage) -> None:
    secret = SecretBytes(b"key")

    def take(work: Work) -> None:
        work.take(KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 1), secret)

    stage.answers["a format"] = take
    stage.answers["a open"] = BusyError("In use.", resolution="Stop it.")
    run(stage, A)
    assert secret.wiped


# --- the recovery key --------------------------------------------------------------------------------------


def test_a_recovery_key_that_reached_nobody_does_not_stop_the_volume(stage: Stage) -> None:
    stage.answers["a enrol-recovery:recovery"] = NOT_TYPED
    (outcome,) = run(stage, A)
    assert outcome == Outcome("a", provisioned=True, error=NOT_TYPED)
    assert "a mount" in stage.log
    assert "a enrol-recovery:recovery failed" in stage.watcher.steps
    ((_, outcome_of_journal, done),) = records()
    assert (outcome_of_journal, done) == ("done", ("format", "open", "write-units", "mount"))


def test_any_other_error_there_does(stage: Stage) -> None:
    stage.answers["a enrol-recovery:recovery"] = KeyDeniedError("No.", resolution="Ask.")
    (outcome,) = run(stage, A)
    assert not outcome.provisioned
    assert "a open" not in stage.log


def test_a_confirmation_that_fails_elsewhere_does(stage: Stage) -> None:
    stage.answers["a format"] = ConfirmationError("The two passphrases differ.", resolution="Again.")
    (outcome,) = run(stage, A)
    assert not outcome.provisioned
    assert "a open" not in stage.log


def test_remarks_reach_the_owner(stage: Stage) -> None:
    def remark(work: Work) -> None:
        work.remarks, work.degraded = ("PCR 7 is empty",), ("tpm2: away",)

    stage.answers["a open"] = remark
    assert run(stage, A)[0].remarks == ("PCR 7 is empty", "tpm2: away")


def test_a_keyslot_is_announced_in_the_step_that_fills_it(stage: Stage) -> None:
    keyslot = AnnouncedKeyslot(3, "argon2id", 4, 65535, 4)

    def cut(work: Work) -> None:
        work.announce(keyslot)
        raise KeyboardInterrupt

    stage.answers["a enrol-recovery:recovery"] = cut
    with pytest.raises(KeyboardInterrupt):
        run(stage, A)
    assert journal.announced("a") == (keyslot,)
    assert "a enrol-recovery:recovery failed" in stage.watcher.steps


# --- interrupted and resumed -------------------------------------------------------------------------------


def test_interrupted_between_two_steps(stage: Stage) -> None:
    stage.watcher.stop_after = 1
    one, other = run(stage, A, B)
    assert stage.log == ["a format"]
    assert isinstance(one.error, InterruptedRunError)
    assert "a: enrol a recovery key" in one.error.what
    assert isinstance(other.error, InterruptedRunError)
    assert [record.volume for record in journal.every()] == ["a"], "what was not begun leaves no record"


def test_the_next_run_goes_on_with_the_journal_of_the_first(stage: Stage) -> None:
    stage.watcher.stop_after = 3
    run(stage, A)
    first = journal.unfinished("a")[0]
    stage.watcher.stop_after = 10_000
    stage.plans["a"] = Plan("a", (UNITS, MOUNT))
    cut = unfinished(("format",), uuid=str(first.facts["luks_uuid"]))
    stage.seen["a"] = replace(BLANK, unfinished=cut)
    (outcome,) = run(stage, A)
    assert outcome.provisioned
    (record,) = journal.every()
    assert (record.operation, record.outcome) == (first.operation, "done")
    assert record.steps_done == NAMES


def test_units_that_the_first_run_wrote_are_read_by_the_second(stage: Stage) -> None:
    stage.watcher.stop_after = 4
    run(stage, A)
    stage.watcher.stop_after = 10_000
    stage.plans["a"] = Plan("a", (MOUNT,))
    stage.log.clear()
    run(stage, A)
    assert stage.log[: len(INSTALLED) + 2] == [*INSTALLED, "reload", "a mount"]


def test_a_cut_after_the_last_step_is_only_verified(stage: Stage) -> None:
    operation = journal.begin("provision", "a", {})
    operation.begin_step("mount")
    operation.end_step("mount")
    stage.plans["a"] = Plan("a", (), "a is fine")
    assert run(stage, A)[0].provisioned
    assert records() == [("provision", "done", ("mount",))]


def test_enrolling_alone_is_journaled_as_such(stage: Stage) -> None:
    stage.plans["a"] = Plan("a", (RECOVERY,))
    run(stage, A)
    assert records() == [("enrol", "done", ("enrol-recovery:recovery",))]


# --- overwriting -------------------------------------------------------------------------------------------


def test_the_device_whose_identity_was_typed(stage: Stage) -> None:
    run(stage, A, overwrite={"a": IDENTITY})
    assert stage.options["a"]["overwrite"] is True
    assert stage.works["a"].overwrite


def test_a_device_whose_identity_was_not_typed_is_never_wiped(stage: Stage) -> None:
    run(stage, A, B, overwrite={"b": IDENTITY})
    assert stage.options["a"]["overwrite"] is False
    assert not stage.works["a"].overwrite


@pytest.mark.parametrize("device", [replace(DEVICE, identity=OTHER_IDENTITY), None], ids=["another", "none"])
def test_the_link_was_turned_after_the_identity_was_typed(stage: Stage, device: Device | None) -> None:
    stage.seen["a"] = replace(BLANK, device=device)
    (outcome,) = run(stage, A, overwrite={"a": IDENTITY})
    assert isinstance(outcome.error, IdentityError)
    assert stage.log == []


def test_the_uuid_of_the_cut_run_is_used_again(stage: Stage) -> None:
    stage.seen["a"] = replace(BLANK, unfinished=unfinished(("pin",)))
    run(stage, A)
    assert stage.works["a"].luks_uuid == UUID


def test_whoever_is_told_of_steps_may_be_nobody(stage: Stage) -> None:
    from volward.operations.watcher import Watcher

    quiet = partial(provision, recovery=None, watcher=Watcher(), approved={"a"})
    assert quiet([A])[0].provisioned
    stage.answers["a format"] = BusyError("In use.", resolution="Stop it.")
    assert not quiet([A])[0].provisioned
    assert stage.options["a"]["can_hand_over_recovery"] is False
