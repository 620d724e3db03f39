"""The root directory of a host for the tests of `volward system`: real files and links, and no systemd.

What systemctl(1) does to links, `Links` does here; a test compares it with the real one, which takes a tenth of a
second each time. What only a running PID 1 can do (--now, daemon-reload, list-units) is written down and answered.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from volward import audit, lock
from volward.host import run, shipped, systemd
from volward.host.run import Completed, Word
from volward.installation import Installation
from volward.operations.system_additions import EVERYTHING, plan_install
from volward.operations.system_install import carry_out
from volward.operations.system_removals import plan_uninstall

UNITS = "/etc/systemd/system"
PACKAGED = "/usr/lib/systemd/system"
PROGRAM = "/usr/local/bin/volward"


class Cut(BaseException):
    """The power goes."""


class Links:
    """`systemctl --root=DIR enable` and `disable` of units that have a WantedBy=."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._own = root / UNITS.lstrip("/")

    def __call__(self, verb: str, names: Sequence[str]) -> None:
        for name in names:
            path = next(path for path in (UNITS, PACKAGED) if (self._root / path.lstrip("/") / name).exists())
            if verb == "enable":
                self._enable(f"{path}/{name}", (self._root / path.lstrip("/") / name).read_text())
            else:
                self._disable(name)

    def _enable(self, path: str, text: str) -> None:
        for target in re.findall("^WantedBy=(.*)$", text, re.MULTILINE):
            link = self._own / f"{target}.wants" / path.rpartition("/")[2]
            link.parent.mkdir(exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(path)

    def _disable(self, name: str) -> None:
        for link in self._own.glob("*.wants/*"):  # with the name in it, links that lead nowhere would not be found
            if link.name == name:
                os.unlink(link)  # noqa: PTH108 (a test cuts Path.unlink, which systemctl does not use)
                if not list(link.parent.iterdir()):
                    link.parent.rmdir()


class RealLinks:
    """The real systemctl, which works on the links alone when it has a --root, as it does for an image."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __call__(self, verb: str, names: Sequence[str]) -> None:
        real = ["systemctl", f"--root={self._root}", verb, *names]
        done = subprocess.run(real, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


class SystemRoot:
    """``calls`` are what systemctl was asked, ``states`` what it says runs.

    At the call that begins with ``cut_at`` the power goes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.units = root / UNITS.lstrip("/")
        self.packaged = root / PACKAGED.lstrip("/")
        self.manifest = root / "var/lib/volward/system.json"
        self.calls: list[str] = []
        self.states: dict[str, str] = {}
        self.audited: list[tuple[str, str]] = []
        self.cut_at: str = ""
        self.links: Links | RealLinks = Links(root)
        self.units.mkdir(parents=True)

    def install(self, **options: object) -> Installation:
        plan = self.plan(**options)
        carry_out(plan, root=self.root)
        return plan

    def uninstall(self, **options: object) -> Installation:
        plan = plan_uninstall(root=self.root, **options)  # type: ignore[arg-type]
        carry_out(plan, root=self.root)
        return plan

    def plan(self, **options: object) -> Installation:
        return plan_install(options.pop("parts", EVERYTHING), root=self.root, **options)  # type: ignore[arg-type]

    def package(self) -> None:
        """Put the files of the Debian package there."""
        for one in shipped.ALL:
            path = shipped.at(one.place.packaged / one.name, self.root)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(shipped.content(one, program="/usr/bin/volward"))

    def enabled(self) -> list[str]:
        return sorted(path.name for path in self.units.glob("*.wants/*") if path.is_symlink())

    def names(self) -> list[str]:
        directories = {shipped.at(one.place.own, self.root) for one in shipped.ALL}
        return sorted(path.name for each in directories for path in each.glob("*") if path.is_file())

    @property
    def asked_of_systemctl(self) -> list[str]:
        return [call for call in self.calls if call.startswith("systemctl")]

    def run(self, argv: Sequence[Word], **_: object) -> Completed:
        words = [str(word) for word in argv]
        self.calls.append(" ".join(words))
        if self.cut_at and self.calls[-1].startswith(self.cut_at):
            raise Cut
        if words[0] != "systemctl" or words[1] == "daemon-reload":
            return Completed(tuple(words), 0, "", "")
        if words[1] == "list-units":
            lines = [f"{unit} loaded {state} sub A description\n" for unit, state in self.states.items()]
            return Completed(tuple(words), 0, "".join(lines), "")
        self.links(words[1], [word for word in words[2:] if word != "--now"])
        return Completed(tuple(words), 0, "", "")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SystemRoot:
    one = SystemRoot(tmp_path / "root")
    monkeypatch.setattr(sys, "argv", ["pytest"])  # so that the units call PROGRAM
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a dozen for each installation, and no power cut is real
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    monkeypatch.setattr(run, "mutate", one.run)
    monkeypatch.setattr(run, "read", one.run)
    monkeypatch.setattr(lock, "held", partial(lock.held, directory=tmp_path / "lock"))

    def record(event: str, volume: str, outcome: audit.Outcome, message: str, **fields: str) -> None:
        one.audited.append((event, str(outcome)))

    monkeypatch.setattr(audit, "record", record)
    return one
