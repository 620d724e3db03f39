"""How far a re-encryption is, and its plan, as a person and as a program reads them."""

import pytest

from volward.model import Action, Fate, KeyslotFate, Progress, ProviderKind, ReencryptionPlan, Step
from volward.report import rotation

GIB = 1024**3
HALF = Progress(5 * GIB, 10 * GIB, 400 * 1024**2, 3725.4)


def test_a_line_and_a_bar() -> None:
    assert rotation.progress_line("pgdata", HALF) == "pgdata: 50 %, 5 GiB of 10 GiB, 400 MiB/s, 1:02:05 left"
    assert rotation.progress_bar("pgdata", HALF) == f"[{'#' * 15}{'.' * 15}] " + rotation.progress_line("pgdata", HALF)


@pytest.mark.parametrize(("left", "text"), [(None, ""), (5.0, ", 0:05 left"), (65.0, ", 1:05 left")])
def test_the_time_that_is_left(left: float | None, text: str) -> None:
    line = rotation.progress_line("p", Progress(1, 2, 3.0, left))
    assert line == f"p: 50 %, 1 bytes of 2 bytes, 3 bytes/s{text}"


def test_as_json() -> None:
    assert rotation.progress_as_json("pgdata", HALF) == {
        "volume": "pgdata",
        "done_bytes": 5 * GIB,
        "total_bytes": 10 * GIB,
        "bytes_per_second": 400 * 1024**2,
        "seconds_left": 3725,
    }
    assert rotation.progress_as_json("pgdata", Progress(1, 2, 3.0, None))["seconds_left"] is None


PLAN = ReencryptionPlan(
    "pgdata",
    (Action(Step.REENCRYPT, "re-encrypt all data", "its owner asked for it"),),
    fates=(KeyslotFate(0, "credential", Fate.CARRIED),),
)


def test_the_plan_says_which_keys_change_first_and_every_fate() -> None:
    assert list(rotation.reencryption_lines(PLAN, (ProviderKind.CREDENTIAL,))) == [
        "pgdata",
        "  + give it a new key of credential, because whoever has the old one could read on",
        "  + re-encrypt all data, because its owner asked for it",
        "  keyslots afterwards (their numbers change):",
        "    0  credential: carried over",
    ]
    document = rotation.reencryption_as_json(PLAN, (ProviderKind.CREDENTIAL,))
    assert document["rotates_first"] == ["credential"]
    assert document["keyslots"] == [{"keyslot": 0, "opened_by": "credential", "fate": "carried over", "until": None}]


def test_nothing_to_do_and_only_the_end_left() -> None:
    nothing = ReencryptionPlan("tmp", (), "its volume key is new at each boot")
    assert list(rotation.reencryption_lines(nothing, ())) == [
        "tmp",
        "  nothing to do, because its volume key is new at each boot",
    ]
    assert "try every key once more" in list(rotation.reencryption_lines(ReencryptionPlan("pgdata", ()), ()))[1]
