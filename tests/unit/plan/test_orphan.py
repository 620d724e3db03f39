"""Keyslots that a cut enrolment left: removed where the journal proves them ours, and nowhere else."""

from dataclasses import replace

import pytest
from tests.unit.builders import HEADER, PERFECT, SPEC, keyslot, token, unfinished

from volward.model import AnnouncedKeyslot, Goal, Keyslot, Observation, ProviderKind, Step, VolumeSpec
from volward.plan import plan_volume

ANNOUNCED = AnnouncedKeyslot(2, "argon2id", 4, 65531, 4)
ORPHAN = Keyslot(2, "argon2id", iterations=4, memory_kib=65531, lanes=4, key_bits=512, priority=1)


def _seen(*keyslots: Keyslot, announced: tuple[AnnouncedKeyslot, ...] = (ANNOUNCED,)) -> Observation:
    header = replace(HEADER, keyslots=(*HEADER.keyslots, *keyslots))
    return replace(PERFECT, header=header, announced=announced)


def _steps(seen: Observation, goal: Goal = Goal.PROVISION, spec: VolumeSpec = SPEC) -> list[str]:
    return [action.name for action in plan_volume(spec, seen, goal, can_hand_over_recovery=True).actions]


def test_a_keyslot_that_was_announced_and_has_no_token_is_removed_visibly() -> None:
    plan = plan_volume(SPEC, _seen(ORPHAN), Goal.PROVISION, can_hand_over_recovery=True)

    (action,) = plan.actions
    assert (action.step, action.keyslot, action.name) == (Step.REMOVE_KEYSLOT, 2, "remove-keyslot:2")
    assert plan.destructive


@pytest.mark.parametrize(
    "owners_own",
    [
        pytest.param(replace(ORPHAN, number=3), id="another number"),
        pytest.param(replace(ORPHAN, memory_kib=65532), id="another cost"),
        pytest.param(keyslot(2), id="another kdf"),
    ],
)
def test_a_keyslot_that_the_journal_does_not_prove_ours_is_left_alone(owners_own: Keyslot) -> None:
    assert _steps(_seen(owners_own)) == []


def test_a_keyslot_that_nobody_announced_is_left_alone() -> None:
    assert _steps(_seen(ORPHAN, announced=())) == []


def test_a_keyslot_with_a_token_is_no_orphan() -> None:
    seen = _seen(ORPHAN)
    assert seen.header is not None
    described = replace(seen.header, tokens=(*seen.header.tokens, token("recovery", 2, confirmed=True)))

    assert _steps(replace(seen, header=described)) == []


def test_opening_never_removes_a_keyslot() -> None:
    assert _steps(_seen(ORPHAN), Goal.OPEN) == []


def test_the_orphan_goes_before_the_next_one_is_enrolled() -> None:
    seen = _seen(ORPHAN)
    assert seen.header is not None
    without = replace(seen.header, tokens=(token("credential", 0),))

    steps = _steps(replace(seen, header=without, recovery_confirmed=False))

    assert steps == ["remove-keyslot:2", "enrol-recovery:recovery"]


def test_a_tpm_whose_enrolment_was_cut_is_tried_once_more() -> None:
    spec = replace(SPEC, providers=(ProviderKind.CREDENTIAL, ProviderKind.TPM2))
    tpm = replace(token("", 1), type="systemd-tpm2")
    header = replace(HEADER, tokens=(*HEADER.tokens, tpm))
    done = ("create-key:credential", "pin", "format", "write-token:credential", "make-file-system")
    cut = replace(PERFECT, header=header, unfinished=unfinished(done, "enrol-tpm2:tpm2"))

    assert _steps(cut, spec=spec) == ["enrol-tpm2:tpm2"]
    assert _steps(replace(cut, unfinished=unfinished((*done, "enrol-tpm2:tpm2"))), spec=spec) == []
