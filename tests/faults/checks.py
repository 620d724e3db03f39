"""What has to hold right after a cut, and after the apply that follows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.faults import matrix
from tests.faults.batch import Outcome
from tests.faults.cuts import Kind
from tests.faults.random_cuts import SEED


def check_cut(outcome: Outcome) -> None:
    """Right after the cut: no keyslot whose key exists nowhere, unless the journal has the format as unfinished."""
    header, before = outcome.before["header"], outcome.before
    records = before["journal"]
    assert len(records) <= 1 and all(record["outcome"] is None for record in records)
    if header and header["keyslots"]:
        formatting = any("format" in r["steps_begun"] and "format" not in r["steps_done"] for r in records)
        assert before["opened_by"] or formatting, f"nobody has a key to {header}"
    if format_done(outcome):
        assert header is not None and before["opened_by"] == [0], before


def check_finished(outcome: Outcome) -> None:
    """After the next apply: everything is there once, and what the cut left was used and not made again."""
    after, apply = outcome.after, outcome.apply
    assert apply is not None and outcome.again is not None
    said = f"{apply.stdout}\n{apply.stderr}"
    assert f"{outcome.volume}: provisioned, open and mounted" in apply.stdout, said
    header = after["header"]
    keyslots = set(header["keyslots"])
    described = [slot for token in header["tokens"] for slot in token["keyslots"]]
    tokens = Counter({"volward": 2 if outcome.cut.recovery else 1})
    tokens["systemd-tpm2"] += outcome.cut.kind is Kind.BLOCK
    assert Counter(token["type"] for token in header["tokens"]) == +tokens
    assert sorted(described) == sorted(keyslots), f"keyslots without a token, or tokens without a keyslot: {header}"
    assert after["opened_by"] == [0], "the key in the store does not open the volume"
    assert len(after["recovery_opens"]) == (1 if outcome.cut.recovery else 0)
    check_kept(outcome)
    assert [record["outcome"] for record in after["journal"]] == ["done"]
    assert not after["leftovers"]
    assert after["data"] == f"of {outcome.volume}\n"
    assert "nothing to do" in outcome.again.stdout.partition(f"{outcome.volume}\n")[2].partition("\n")[0]


def check_random(outcome: Outcome, record_property: Callable[[str, object], None]) -> None:
    """After a cut wherever the clock said: the next apply has finished it, or says what stands in the way."""
    record_property(matrix.SEED, SEED)
    assert outcome.reached == "cut" or outcome.reached.startswith("status 3"), outcome.reached
    if outcome.reached == "cut":
        check_cut(outcome)
    assert outcome.apply is not None
    if f"{outcome.volume}: provisioned, open and mounted" in outcome.apply.stdout:
        check_finished(outcome)
    else:
        said = matrix.said_of(outcome.volume, outcome.apply.stderr)
        assert said and "VW09" not in said, outcome.apply
        check_kept(outcome)
        record_property(matrix.TOLD, said)


def check_kept(outcome: Outcome) -> None:
    """The key that was there is the same file, and what was formatted was not formatted again."""
    before, after = outcome.before, outcome.after
    if before["credential"]:
        assert after["credential"] == before["credential"], "the key was replaced"
    if format_done(outcome):
        assert after["header"]["uuid"] == before["header"]["uuid"]
        assert after["header"]["digest"] == before["header"]["digest"], "the volume was formatted twice"


def format_done(outcome: Outcome) -> bool:
    """Whether luksFormat had ended: by where the cut was, or by what the journal knows."""
    return outcome.cut.format_done or any("format" in r["steps_done"] for r in outcome.before["journal"])
