"""`volward status --live` and `volward reload`, against a real control socket."""

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.driver import Cli
from tests.unit.service.fake_daemon import PGDATA, REDIS, STATUS, Running, running

from volward.service import client
from volward.service.live import LiveStatus, Reloaded
from volward.service.peer import Access

OPENED = replace(REDIS, state="open", opened_by="vault", waits_for="", next_try=None, failure=None)


@pytest.fixture
def control(tmp_path: Path, cli: Cli) -> Iterator[Running]:
    with running(tmp_path, access=Access(frozenset({os.getuid()}))) as found:
        for name in ("status", "follow", "reload"):
            cli.replace(f"volward.service.client.{name}", functools.partial(getattr(client, name), found.path))
        yield found


@pytest.fixture
def away(tmp_path: Path, cli: Cli) -> None:
    for name in ("status", "follow", "reload"):
        cli.replace(f"volward.service.client.{name}", functools.partial(getattr(client, name), tmp_path / "none"))


def _followed(cli: Cli, *later: LiveStatus) -> None:
    """Let the daemon tell these after the first, and then let the person press Ctrl-C."""

    def answers() -> Iterator[LiveStatus]:
        yield STATUS
        yield from later
        raise KeyboardInterrupt

    cli.replace("volward.service.client.follow", answers)


def test_it_is_a_table_with_what_is_wrong_below(cli: Cli, control: Running) -> None:
    answer = cli("status", "--live")
    assert answer.status == 0
    lines = answer.out.splitlines()
    assert lines[0].split() == ["VOLUME", "STATE", "SINCE", "OPENED", "BY", "NEXT", "TRY", "WAITS", "FOR"]
    assert [line.split()[:2] for line in lines[1:3]] == [["pgdata", "open"], ["redis", "waiting"]]
    assert "redis is waiting:" in lines
    assert lines[-1] == "2 volumes: 1 open, 1 waiting."


def test_volumes_can_be_named(cli: Cli, control: Running) -> None:
    assert cli("status", "--live", "pgdata").out.splitlines()[-1] == "1 volume: 1 open."
    answer = cli("status", "--live", "pgdta")
    assert answer.status == 78
    assert 'The daemon knows no volume "pgdta".' in answer.err
    assert "It knows: pgdata, redis." in answer.err


def test_a_daemon_without_volumes(cli: Cli, control: Running) -> None:
    control.daemon.status = replace(STATUS, volumes=())
    assert cli("status", "--live").out.splitlines()[-1] == "The daemon knows no volume."
    assert "It knows: none." in cli("status", "--live", "pgdata").err


def test_json_has_every_field(cli: Cli, control: Running) -> None:
    document = json.loads(cli("status", "--live", "--json").out)
    assert document["schema_version"] == 1
    assert document["volumes"][0]["opened_by"] == "vault"
    assert document["volumes"][0]["failure"] is None
    assert document["volumes"][1]["consumers_waiting"] == ["redis-server.service"]


def test_nothing_of_it_needs_the_configuration(cli: Cli, control: Running) -> None:
    cli.configure("broken")
    assert cli("status", "--live").status == 0
    assert cli("reload").status == 0


@pytest.mark.parametrize("words", [["status", "--live"], ["status", "--live", "--follow"], ["reload"]])
def test_no_daemon_is_said_and_has_its_status(cli: Cli, away: None, words: list[str]) -> None:
    answer = cli(*words)
    assert answer.status == 69
    assert answer.out == ""
    assert "volward: The daemon of volward does not run: nothing listens at " in answer.err
    assert "(VW0601, `volward explain VW0601`)" in answer.err


@pytest.mark.parametrize(
    "words", [["--follow"], ["--live", "--check"], ["--live", "--long"], ["--live", "--follow", "--check"]]
)
def test_what_does_not_go_together(cli: Cli, words: list[str]) -> None:
    answer = cli("status", *words)
    assert answer.status == 2
    assert "--live" in answer.err


def test_following_tells_of_each_change(cli: Cli) -> None:
    _followed(cli, replace(STATUS, revision=1), replace(STATUS, revision=2, volumes=(PGDATA, OPENED)))
    answer = cli("status", "--live", "--follow")
    assert answer.status == 130
    assert answer.err == ""
    assert answer.out.splitlines()[-1].endswith("redis  waiting -> degraded, by vault")
    assert answer.out.count("redis  ") == 2  # its row, and the change


def test_following_one_volume_leaves_the_others_out(cli: Cli) -> None:
    _followed(cli, replace(STATUS, revision=1, volumes=(PGDATA, OPENED)))
    lines = cli("status", "--live", "--follow", "pgdata").out.splitlines()
    assert lines[-1] == "1 volume: 1 open."


def test_following_as_json_is_a_line_each(cli: Cli) -> None:
    _followed(cli, replace(STATUS, revision=1, volumes=(PGDATA,)))
    answer = cli("status", "--live", "--follow", "--json", "redis")
    documents = [json.loads(line) for line in answer.out.splitlines()]
    assert [[one["name"] for one in document["volumes"]] for document in documents] == [["redis"], []]


def test_following_ends_when_the_answers_do(cli: Cli) -> None:
    for words in ([], ["--json"]):
        cli.replace("volward.service.client.follow", lambda: iter([STATUS]))
        assert cli("status", "--live", "--follow", *words).status == 0


def test_following_a_daemon_that_ends(cli: Cli, control: Running) -> None:
    control.do(lambda: control.loop.call_later(0.2, lambda: control.loop.create_task(control.server.close())))
    answer = cli("status", "--live", "--follow")
    assert answer.status == 75
    assert "The daemon closed the connection" in answer.err


def test_reload_of_a_good_configuration(cli: Cli, control: Running) -> None:
    answer = cli("reload")
    assert (answer.status, answer.out) == (0, "The configuration is good, and the daemon goes by it.\n")


def test_reload_of_a_bad_configuration(cli: Cli, control: Running) -> None:
    control.daemon.reloaded = Reloaded(good=False, problems=("volumes.x.device is missing.", "volumes.y: no"))
    answer = cli("reload")
    assert answer.status == 78
    assert "because of the new one:\nvolumes.x.device is missing.\nvolumes.y: no\n" in answer.err
    control.daemon.reloaded = Reloaded(good=False)
    assert "The daemon does not say which problems." in cli("reload").err
