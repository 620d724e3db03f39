"""The daemon's loop: what is opened, released and tried again, and what systemd and the control socket are told."""

import asyncio
import sys
import time
from dataclasses import replace

import pytest
from tests.unit.service.stage import AWAY, CLOSED, DATA, OPEN, PATIENCE_SECONDS, SEALED, ZOMBIE, Stage

from volward.service.board import State
from volward.service.live import LiveStatus, Reloaded
from volward.service.task import Ended, Lease, Problems, line
from volward.service.worker import Worker


def test_a_volume_is_opened_and_systemd_is_told(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(lambda: stage.state is State.OPEN)
        await stage.until(lambda: "READY=1" in stage.notified)

    stage.play(story)
    assert [task["open"] for task in stage.tasks] == [["data"]], "by the worker that read the configuration"
    assert stage.tasks[0]["deadline_seconds"] == 20.0, "the first pass does not hold up a boot"
    assert "STATUS=1 of 1 volumes open" in stage.notified
    assert stage.notified[0] == "STATUS=Reading the configuration"
    assert stage.notified.index("READY=1") > stage.notified.index("STATUS=1 of 1 volumes open")
    assert stage.notified[-1] == "STOPPING=1"
    assert stage.said == ["<5>data: open and in use (key: vault)"]


def test_a_disk_that_the_kernel_has_not_found_yet_is_waited_for(stage: Stage) -> None:
    """The wait of whoever needs the mapping begins with READY."""

    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: stage.state is State.AWAY)
        stage.sights["data"] = CLOSED
        stage.daemon.look_again()
        await stage.until(lambda: "READY=1" in stage.notified)

    stage.sights["data"] = AWAY
    stage.play(story)
    assert stage.notified.index("READY=1") > stage.notified.index("STATUS=1 of 1 volumes open")


def test_a_disk_that_is_not_there_does_not_hold_up_the_boot(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volward.service.daemon.DEVICE_SECONDS", 0.3)

    async def story(stage: Stage) -> None:
        await stage.until(lambda: "READY=1" in stage.notified)

    stage.sights["data"] = AWAY
    stage.play(story)
    assert stage.tasks == []
    assert stage.notified[-2:] == ["READY=1", "STOPPING=1"]


def test_a_pass_that_hangs_does_not_hold_up_the_boot(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volward.service.daemon.READY_SECONDS", 0.3)
    pids = stage.directory / "pid"

    async def story(stage: Stage) -> None:
        await stage.until(lambda: "READY=1" in stage.notified)
        await stage.until(lambda: pids.exists() and pids.read_text().isdigit())

    hangs = f"import os, pathlib, time; pathlib.Path({str(pids)!r}).write_text(str(os.getpid())); time.sleep(600)"
    stage.outside.worker = Worker((sys.executable, "-I", "-S", "-c", hangs))
    stage.play(story)
    assert stage.said == []


def test_a_file_that_was_broken_since_is_named_and_not_the_worker(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: stage.state is State.WAITING and "READY=1" in stage.notified)
        stage.answer("load", Problems("volumes.data: nonsense"))
        stage.daemon.hurry()
        await stage.until(lambda: stage.daemon is not None and bool(stage.daemon.problems))
        await stage.until(lambda: len(stage.said) > 2)
        stage.answer("load", DATA)
        stage.answer("open", Ended("data", "vault"))
        stage.daemon.hurry()
        await stage.until(lambda: stage.state is State.OPEN)
        assert stage.daemon.problems, "what it goes by is still the configuration of before"

    stage.answer("open", SEALED)
    stage.play(story)
    assert stage.said[1:3] == [
        "<3>The configuration cannot be read, and what was known before stays:\nvolumes.data: nonsense",
        "<4>data: not open, and tried again later: The configuration cannot be read. (VW0900)",
    ]


def test_a_key_that_comes_late(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: stage.state is State.WAITING and "READY=1" in stage.notified)
        stage.answer("open", Ended("data", "vault", started=("db.service",)))
        stage.daemon.hurry()
        await stage.until(lambda: stage.state is State.OPEN)

    stage.answer("open", SEALED)
    stage.play(story)
    assert stage.said == [
        "<4>data: not open, and tried again later: Vault is sealed. (VW0407)",
        "<5>data: open and in use (key: vault); started db.service, which waited for it",
    ]
    assert stage.tasks[-1]["deadline_seconds"] == 30.0


def test_it_is_tried_again_without_any_event(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volward.service.board.FIRST_PAUSE_SECONDS", 0.05)

    async def story(stage: Stage) -> None:
        await stage.until(lambda: len(stage.tasks) > 3)

    stage.answer("open", SEALED)
    stage.play(story)
    assert stage.state is State.WAITING


def test_a_disk_is_pulled_and_put_back(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: stage.state is State.OPEN)
        stage.sights["data"] = ZOMBIE
        stage.daemon.look_again()
        await stage.until(lambda: len(stage.tasks) > 1)
        await stage.until(lambda: stage.state is State.AWAY)
        stage.sights["data"] = CLOSED
        stage.daemon.look_again()
        await stage.until(lambda: stage.state is State.OPEN)

    stage.play(story)
    assert [task["release"] for task in stage.tasks] == [[], ["data"], []]
    assert set(stage.tasks[1]["lost_usec"]) == {"data"}


def test_a_configuration_that_cannot_be_read_and_then_can(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: "READY=1" in stage.notified)
        assert stage.daemon.board.rows == ()
        stage.answer("load", DATA)
        stage.daemon.reload_soon()
        await stage.until(lambda: bool(stage.daemon and stage.daemon.board.rows) and stage.state is State.OPEN)
        assert stage.daemon.problems == ""
        stage.answer("load", Problems("volumes.data: more nonsense"))
        stage.daemon.reload_soon()
        await stage.until(lambda: bool(stage.daemon and stage.daemon.problems))
        assert stage.state is State.OPEN, "what was known before stays"

    stage.answer("load", Problems("volumes.data:\n  nonsense"))
    stage.play(story)
    assert "STATUS=The configuration cannot be read: volumes.data: nonsense" in stage.notified
    assert any(one.startswith("RELOADING=1\nMONOTONIC_USEC=") for one in stage.notified)
    assert stage.said[0].startswith("<3>The configuration cannot be read")


def test_a_worker_that_dies_while_it_reads_the_configuration_changes_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volward.service.daemon.AGAIN_SECONDS", 0.1)

    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: stage.state is State.OPEN)
        (stage.directory / "load").write_bytes(line(replace(DATA, name="half")))
        stage.daemon.reload_soon()
        await stage.until(lambda: bool(stage.daemon and stage.daemon.problems))
        assert [row.volume.name for row in stage.daemon.board.rows] == ["data"]
        stage.answer("load", DATA)
        await stage.until(lambda: bool(stage.daemon and not stage.daemon.problems))

    stage.play(story)


def test_what_a_person_asked_for_is_done_though_a_worker_dies(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volward.service.daemon.AGAIN_SECONDS", 0.1)

    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: stage.state is State.BY_HAND and "READY=1" in stage.notified)
        (stage.directory / "load").write_bytes(b"")
        assert not (await stage.daemon.reload()).good
        stage.answer("load", replace(DATA, closed_by_hand=True))
        await stage.until(lambda: stage.state is State.OPEN)

    stage.answer("load", replace(DATA, closed_by_hand=True))
    stage.play(story)


def test_a_clock_that_was_wrong_at_the_boot_makes_no_time_wrong_for_good(stage: Stage) -> None:
    hour = 3600.0

    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: stage.state is State.WAITING)
        before = stage.daemon.snapshot()
        assert stage.daemon.snapshot() == before, "what is told twice is the same"
        stage.outside.wall = lambda: time.time() + hour
        after = stage.daemon.snapshot()
        assert after.started_at - before.started_at == pytest.approx(hour, abs=60)
        assert after.volumes[0].since - before.volumes[0].since == pytest.approx(hour, abs=60)

    stage.answer("open", SEALED)
    stage.play(story)


def test_a_worker_that_is_ended_with_the_daemon_is_no_news(stage: Stage) -> None:
    started = stage.directory / "started"

    async def story(stage: Stage) -> None:
        await stage.until(started.exists)

    hangs = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(600)"
    stage.outside.worker = Worker((sys.executable, "-I", "-S", "-c", hangs))
    stage.play(story)
    assert stage.said == []
    assert stage.notified[-1] == "STOPPING=1"


def test_a_token_is_renewed_once_the_volumes_are_open(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(lambda: any("token" in one for one in stage.said))

    stage.sights["data"] = OPEN
    stage.answer("load", replace(DATA, leased_from="https://vault.example:8200"))
    stage.answer("renew", Lease("https://vault.example:8200", error="403."))
    stage.play(story)
    assert [task["renew"] for task in stage.tasks] == [False, True]
    assert stage.said[-1] == (
        "<4>The token for https://vault.example:8200 was not renewed, and it is tried again: 403."
    )


def test_a_host_that_cannot_be_looked_at(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(lambda: stage.state is State.OPEN)

    stage.broken = True
    stage.play(story)
    assert "<4>The volumes cannot be looked at: [Errno 24] Too many open files. It is tried again." in stage.said


def test_a_worker_that_says_nothing(stage: Stage) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(lambda: stage.state is State.WAITING)

    (stage.directory / "open").write_text("nonsense\n" + "x" * 300_000 + "\n")
    stage.play(story)
    assert "The worker ended without an answer." in stage.said[0]


def test_what_the_control_socket_is_told(stage: Stage) -> None:
    seen: list[LiveStatus] = []

    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: stage.state is State.WAITING)
        seen.append(stage.daemon.snapshot())
        stage.answer("open", Ended("data", "vault"))
        stage.daemon.hurry()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while stage.daemon.snapshot().volumes[0].state != "open":
                await stage.daemon.changed(stage.daemon.snapshot().revision)
        seen.append(stage.daemon.snapshot())

    stage.answer("open", SEALED)
    stage.play(story)
    waiting, opened = seen
    (volume,) = waiting.volumes
    assert (volume.state, volume.waits_for, volume.opened_by) == ("waiting", "Vault is sealed.", "")
    assert volume.failure is not None and volume.failure.code == "VW0407"
    assert volume.next_try is not None and volume.last_try is not None and volume.last_try < volume.next_try
    assert opened.volumes[0].opened_by == "vault"
    assert opened.revision > waiting.revision
    assert opened.configured_at is not None and opened.last_pass is not None


def test_a_reload_is_answered(stage: Stage) -> None:
    answers: list[Reloaded] = []

    async def story(stage: Stage) -> None:
        assert stage.daemon is not None
        await stage.until(lambda: stage.state is State.OPEN)
        answers.append(await stage.daemon.reload())
        stage.answer("load", Problems("nonsense"))
        gone = asyncio.create_task(stage.daemon.reload())
        await asyncio.sleep(0)
        gone.cancel()
        answers.append(await stage.daemon.reload())

    stage.play(story)
    assert answers == [Reloaded(good=True), Reloaded(good=False, problems=("nonsense",))]
