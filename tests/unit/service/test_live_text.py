"""What the daemon tells, as text."""

from dataclasses import replace

from tests.unit.service.fake_daemon import PGDATA, REDIS, STATUS

from volward.service import live_text
from volward.service.live import Failure, LiveStatus, LiveVolume, Pass
from volward.service.live_text import moment


def _below(status: LiveStatus) -> str:
    return "\n".join(live_text.below(status, status.volumes))


def _changes(before: LiveStatus, after: LiveStatus, *names: str) -> list[str]:
    return [line.partition("  ")[2] for line in live_text.changes(before, after, names, 5.0)]


def test_a_row_has_what_the_daemon_waits_for() -> None:
    assert live_text.row(PGDATA) == ("pgdata", "open", moment(1000), "vault", "-", "-")
    assert live_text.row(REDIS) == (
        "redis", "waiting", moment(1001), "-", moment(1031), "Vault at https://vault.example:8200",
    )  # fmt: skip
    assert len(live_text.HEADINGS) == len(live_text.row(REDIS))


def test_an_open_volume_with_something_to_see_to_is_degraded() -> None:
    assert live_text.state(replace(PGDATA, degraded=("Vault was sealed.",))) == "degraded"
    assert live_text.state(REDIS) == "waiting"


def test_what_is_wrong_stands_below_with_what_to_do() -> None:
    text = _below(STATUS)
    assert "pgdata is" not in text
    assert (
        "redis is waiting:\n"
        "  ! The header has no fresh backup.\n"
        "  ! Vault is sealed.\n"
        "    Unseal it.\n"
        "    (VW0401, `volward explain VW0401`)\n"
        "  - Started once it is mounted: redis-server.service.\n"
    ) in text
    assert text.endswith("2 volumes: 1 open, 1 waiting.")
    assert f"The daemon (volward 0.1.0) runs since {moment(990)}." in text
    assert f"The last pass over pgdata, redis ended {moment(1001)}." in text


def test_what_somebody_did_is_a_sentence() -> None:
    unmounted, closed = replace(PGDATA, state="unmounted"), replace(REDIS, state="closed by hand")
    text = _below(replace(STATUS, volumes=(unmounted, closed)))
    assert (
        "pgdata is unmounted:\n  - Somebody unmounted it, and it stays so: `volward open pgdata` mounts it.\n" in text
    )
    assert "  - Somebody closed it, and it stays so until `volward open redis` or `volward reload`.\n" in text


def test_a_failure_of_several_lines_is_indented() -> None:
    many = replace(REDIS, failure=Failure("VW0407", "Nothing opened it:\nvault: sealed", ""), degraded=())
    assert "  ! Nothing opened it:\n    vault: sealed\n    \n    (VW0407" in _below(replace(STATUS, volumes=(many,)))


def test_problems_of_the_configuration_are_told() -> None:
    text = _below(replace(STATUS, problems=("volumes.x.device is missing.\nWrite it.", "second")))
    assert "goes on with the one before:\n  ! volumes.x.device is missing.\n    Write it.\n  ! second\n" in text


def test_a_daemon_that_has_just_begun() -> None:
    text = _below(LiveStatus(0, "0.1.0", started_at=1.0))
    assert "No pass yet.\nThe daemon knows no volume." in text
    running = _below(LiveStatus(0, "0.1.0", started_at=1.0, last_pass=Pass(2.0)))
    assert f"A pass runs since {moment(2)}." in running


def test_only_what_is_another_than_before_is_told_of() -> None:
    opened = replace(REDIS, state="open", opened_by="tpm2", waits_for="", next_try=None, failure=None, degraded=())
    after = replace(STATUS, revision=1, volumes=(PGDATA, opened))
    assert _changes(STATUS, after, "pgdata", "redis") == ["redis  waiting -> open, by tpm2"]
    assert _changes(STATUS, after, "pgdata") == []
    assert _changes(STATUS, replace(STATUS, revision=1), "pgdata", "redis") == []


def test_a_further_failure_is_told_without_a_change_of_state() -> None:
    again = replace(REDIS, next_try=1091.0, failure=Failure("VW0401", "Vault is away.", ""))
    told = f"redis  waiting, waits for Vault at https://vault.example:8200, next try {moment(1091)}: Vault is away."
    assert _changes(STATUS, replace(STATUS, volumes=(PGDATA, again)), "redis") == [told]


def test_volumes_and_problems_that_come_and_go() -> None:
    new = replace(STATUS, volumes=(PGDATA, LiveVolume("new", "closed", 3.0)), problems=("one",))
    assert _changes(STATUS, new, "pgdata", "redis", "new", "never") == [
        "redis  is configured no more",
        "new  closed",
        "configuration  1 problem",
    ]
    assert _changes(new, replace(new, problems=()), "pgdata") == ["configuration  good"]
