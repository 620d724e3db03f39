"""The list of what volward puts on a host is complete, and its files are what systemd takes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from volward.host import shipped
from volward.host.shipped import ALL, UNITS, Part

SOURCES = Path(__file__).parents[3] / "units"
OPENING = next(one for one in ALL if one.name == "volward.service")


def test_every_file_of_units_is_on_the_list() -> None:
    assert sorted(one.source or one.name for one in ALL) == sorted(path.name for path in SOURCES.iterdir())


UNIT_FILES = [one for one in ALL if one.is_unit]


@pytest.mark.parametrize("one", UNIT_FILES, ids=lambda one: one.name)
def test_the_list_says_what_the_install_section_says(one: shipped.Shipped) -> None:
    text = (SOURCES / one.name).read_text()
    assert re.findall("^WantedBy=(.*)$", text, re.MULTILINE) == ([one.wanted_by] if one.wanted_by else [])


@pytest.mark.parametrize("one", UNIT_FILES, ids=lambda one: one.name)
def test_each_timer_has_the_service_that_it_starts_in_the_same_part(one: shipped.Shipped) -> None:
    if one.name.endswith(".timer"):
        service = one.name.replace(".timer", ".service")
        assert Part(one.part) in {other.part for other in ALL if other.name == service}
    else:
        assert one.name.endswith((".service", ".socket"))


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    program = tmp_path / "volward"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    paths = [tmp_path / one.name for one in UNIT_FILES]
    for one, path in zip(UNIT_FILES, paths, strict=True):
        path.write_bytes(shipped.content(one, program=str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("place", "tool"),
    [(shipped.SYSUSERS, ["systemd-sysusers", "--dry-run"]), (shipped.TMPFILES, ["systemd-tmpfiles", "--create"])],
)
def test_the_snippets_are_what_their_tools_take(place: shipped.Place, tool: list[str], tmp_path: Path) -> None:
    (one,) = (one for one in ALL if one.place is place)
    (snippet := tmp_path / one.name).write_bytes(shipped.content(one))
    (root := tmp_path / "root").mkdir()
    done = subprocess.run([*tool, f"--root={root}", snippet], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("one", [one for one in ALL if one.name.endswith(".service")], ids=lambda one: one.name)
def test_no_service_leaves_a_core_dump_or_a_swapped_key(one: shipped.Shipped) -> None:
    text = shipped.content(one, program="/opt/volward/bin/volward").decode()
    assert {"LimitCORE=1", "MemorySwapMax=0"} <= set(text.splitlines())
    assert "ExecStart=/opt/volward/bin/volward " in text
    assert "/usr/local/bin" not in text


@pytest.mark.parametrize("one", [one for one in ALL if one.name.endswith(".timer")], ids=lambda one: one.name)
def test_a_host_that_was_off_is_seen_to_later_and_not_all_at_once(one: shipped.Shipped) -> None:
    text = shipped.content(one).decode()
    assert "Persistent=true" in text
    assert "RandomizedDelaySec=" in text


def test_a_failed_preflight_is_in_the_list_of_failed_units() -> None:
    """A unit with Restart= is `activating` between two tries, and `systemctl --failed` passes over it."""
    text = (SOURCES / "volward-preflight.service").read_text()
    assert not re.search("^(Restart|SuccessExitStatus|ExecStart=-|StandardOutput)", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "mode", "ours"), [("volward", 0o755, True), ("volward", 0o644, False), ("pytest", 0o755, False)]
)
def test_the_program_that_runs_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: int, ours: bool
) -> None:
    program = tmp_path / name
    program.write_text("#!/bin/sh\n")
    program.chmod(mode)
    monkeypatch.setattr(sys, "argv", [str(program), "apply"])
    expected = str(program) if ours else "/usr/local/bin/volward"
    assert f"ExecStart={expected} service\n" in shipped.content(OPENING).decode()


def test_a_unit_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "units").mkdir()
    (tmp_path / "units/volward.service").write_text("packaged\n")
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    assert shipped.content(OPENING, program="x") == b"packaged\n"


@pytest.mark.parametrize(
    ("program", "there", "packaged"),
    [
        ("/usr/bin/volward", True, True),
        ("/bin/volward", True, True),
        ("/usr/bin/volward", False, False),
        ("/usr/local/bin/volward", True, False),
        ("/opt/volward/bin/volward", True, False),
    ],
)
def test_a_debian_package(tmp_path: Path, program: str, there: bool, packaged: bool) -> None:
    if there:
        path = shipped.at(UNITS.packaged, tmp_path) / OPENING.name
        path.parent.mkdir(parents=True)
        path.touch()
    assert shipped.is_packaged(OPENING, program=program, root=tmp_path) is packaged
