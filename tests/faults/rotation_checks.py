"""What has to hold after a rotation was cut, and when it was resumed, run again or given up."""

from __future__ import annotations

from collections import Counter

from tests.faults.rotation_batch import Outcome
from tests.faults.rotation_cuts import End, Key


def check(outcome: Outcome) -> None:
    """The volume opens, and what is left of the rotation is all of it or nothing."""
    cut = outcome.cut
    assert outcome.reached == "cut"
    assert any(slots for slots in outcome.before["stored"].values()), "no key in the store opens the volume"
    earlier = ["done"] if cut.key.way == "due" else []
    assert [r["outcome"] for r in outcome.before["journal"] if r["verb"] == "rotate"] == [*earlier, None]
    ended = outcome.finished or outcome.ended
    assert ended is not None
    assert ended.status == 0, f"{ended.stdout}\n{ended.stderr}"
    check_agreement(outcome)
    given_up = cut.end is End.ABORT and outcome.finished is None
    if given_up:
        was = (outcome.before if cut.key.way == "due" else outcome.begun)["header"]
        assert outcome.after["header"]["keyslots"] == was["keyslots"]
        assert outcome.after["header"]["tokens"] == was["tokens"]
    else:
        check_rotated(outcome)
    assert outcome.opened is not None
    assert outcome.opened.status == 0, outcome.opened.stderr
    assert outcome.opened.stdout.endswith(f"of {outcome.volume}\n"), outcome.opened.stdout


def check_agreement(outcome: Outcome) -> None:
    """Keyslots, tokens, store and journal say the same."""
    header, stored = outcome.after["header"], outcome.after["stored"]
    described = [slot for token in header["tokens"] for slot in token["keyslots"]]
    assert sorted(described) == sorted(header["keyslots"]), header
    assert all(token["keyslots"] for token in header["tokens"])
    for token in header["tokens"]:
        if token.get("provider") in ("credential", "vault"):
            assert stored[str(token["version"])] == [int(slot) for slot in token["keyslots"]]
    kinds = Counter(token["provider"] or token["type"] for token in header["tokens"] if not token["retired"])
    store = "vault" if outcome.cut.key.is_in_vault else "credential"
    wanted = Counter({store: 1, "systemd-tpm2": int(outcome.cut.key.store == "tpm2")})
    assert kinds == +(wanted + Counter({"recovery": int(outcome.cut.recovery)}))
    assert all(record["outcome"] for record in outcome.after["journal"])
    assert outcome.after["header"]["digest"] == outcome.begun["header"]["digest"]


def check_rotated(outcome: Outcome) -> None:
    """There is a new key, and the old one is retired or gone."""
    key = outcome.cut.key
    header = outcome.after["header"]
    retired = [token for token in header["tokens"] if token["retired"]]
    assert len(retired) == (0 if key.removes_old else 1)
    assert all(token["provider"] == key.provider for token in retired)
    assert (key.old in header["keyslots"]) is not key.removes_old
    if key.provider in ("credential", "vault"):
        assert [version for version, slots in outcome.after["stored"].items() if slots][-1:] == ["2"]
    if key is Key.RECOVERY:
        assert len(set(outcome.after["recovery_opens"])) == 2, "the owner has a key to each of them"
