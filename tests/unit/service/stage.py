"""A daemon with a real worker process that answers what a test wants, and a host that is a dictionary."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from volward.service import daemon as daemon_module
from volward.service.board import Sight, State
from volward.service.daemon import Daemon, Outside
from volward.service.task import Answer, Ended, Loaded, Problems, Watched, line
from volward.service.worker import Worker

DATA = Watched("data", "/dev/disk/by-id/virtio-data", "volward-data", "/srv/data", consumers=("db.service",))
CLOSED = Sight(device=True, mapping=False, mounted=False)
OPEN = Sight(device=True, mapping=True, mounted=True)
ZOMBIE = Sight(device=False, mapping=True, mounted=True, zombie=True)
AWAY = Sight(device=False, mapping=False, mounted=False)
SEALED = Ended("data", code="VW0407", error="Vault is sealed.", resolution="Unseal it.")
PATIENCE_SECONDS = 90.0  # on a machine that does much else; nothing waits so long when all is well
SCRIPT = """
import json, pathlib, sys, time
directory = pathlib.Path(sys.argv[1])
configuration = (directory / "load").read_text()
sys.stdout.write(configuration)
sys.stdout.flush()
if '"kind": "loaded"' not in configuration:
    sys.exit()
text = sys.stdin.readline()
if not text:
    sys.exit()
task = json.loads(text)
with (directory / "tasks").open("a") as file:
    file.write(text)
verb = "open" if task["open"] else "release" if task["release"] else "renew" if task["renew"] else "revive"
answer = (directory / verb).read_text()
if verb in ("open", "release") and '"code": ""' in answer:
    (directory / {"open": "mapped", "release": "released"}[verb]).touch()
sys.stdout.write(answer)
"""


class Stage:
    """One daemon and its world."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sights: dict[str, Sight] = {"data": CLOSED}
        self.notified: list[str] = []
        self.said: list[str] = []
        self.broken = False
        program = (sys.executable, "-I", "-S", "-c", SCRIPT, str(directory))
        self.outside = Outside(
            look=self._look,
            notify=self.notified.append,
            say=self.said.append,
            chance=lambda: 0.0,
            worker=Worker(program),
        )
        self.daemon: Daemon | None = None
        (directory / "tasks").touch()
        self.answer("load", DATA)
        self.answer("open", Ended("data", "vault"))
        self.answer("release", Ended("data"))
        self.answer("revive", Ended("data"))

    def _look(self, volumes: tuple[Watched, ...]) -> dict[str, Sight]:
        if self.broken:
            raise OSError(24, "Too many open files")
        self._follow()
        return {one.name: self.sights[one.name] for one in volumes if one.name in self.sights}

    def _follow(self) -> None:
        """What the worker has opened or released is so on the host from then on, until the test says otherwise."""
        for name, sight in (("mapped", OPEN), ("released", AWAY)):
            done = self.directory / name
            if done.exists():
                done.unlink()
                self.sights["data"] = sight

    def answer(self, verb: str, *answers: Answer) -> None:
        """Have workers say this from now on; all volumes of a configuration end with ``Loaded``."""
        if verb == "load" and not any(isinstance(one, Problems) for one in answers):
            answers += (Loaded(),)
        (self.directory / verb).write_bytes(b"".join(map(line, answers)))

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """What the workers were asked to do, one each; those that were asked for nothing are not among them."""
        return [json.loads(text) for text in (self.directory / "tasks").read_text().splitlines()]

    @property
    def state(self) -> State | None:
        assert self.daemon is not None
        return next((row.state for row in self.daemon.board.rows), None)

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not what():
                await asyncio.sleep(0.01)
        self._follow()

    def play(self, story: Callable[["Stage"], Awaitable[None]]) -> None:
        """Run the daemon while a story is told, then end it."""

        async def both() -> None:
            self.daemon = Daemon(self.outside)
            running = asyncio.create_task(self.daemon.run())
            try:
                await story(self)
            finally:
                self.daemon.stop()
                await running

        asyncio.run(both())


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(daemon_module, "SETTLE_SECONDS", 0.0)
    return Stage(tmp_path)
