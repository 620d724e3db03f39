"""system install: what is written and enabled, what is an administrator's, and what a cut leaves."""

import json
from pathlib import Path

import pytest
from tests.unit.operations.system_root import PROGRAM, UNITS, Cut, RealLinks, SystemRoot

from volward import durable, lock, manifest
from volward.errors import BusyError, JournalError, OperatingSystemError, VerificationError
from volward.host import boot, shipped
from volward.host.shipped import ALL, BY_PATH, SYSUSERS, Part, Shipped
from volward.installation import Fate, FileChange, Installation
from volward.manifest import Entry, Manifest, digest
from volward.operations import system_additions, system_install
from volward.operations.system_install import carry_out, ensure

ON = ["volward-header-backup.timer", "volward-preflight.timer", "volward-rotate.timer", "volward.service"]
TIMER = "volward-rotate.timer"
OPENING = "volward.service"
MINE = "[Timer]\nOnCalendar=monthly\n"


def fates(plan: Installation) -> dict[str, str]:
    return {one.path.name: str(one.fate) for one in plan.files}


def links(plan: Installation) -> dict[str, str]:
    return {one.unit: str(one.fate) for one in plan.links}


# --- a host without any ---------------------------------------------------------------------------------------


def test_everything_is_written_enabled_and_listed(system: SystemRoot) -> None:
    system.install()
    assert system.names() == sorted(one.name for one in ALL)
    assert system.enabled() == ON, "the socket hands out keys, and waits to be asked for"
    assert [call for call in system.asked_of_systemctl if "list-units" not in call] == [
        "systemctl enable volward.service",
        "systemctl enable --now volward-rotate.timer volward-header-backup.timer volward-preflight.timer",
    ], "no service is started, and enabling reloads"
    kept = json.loads(system.manifest.read_text())
    assert kept["enabled"] == dict.fromkeys(ON, True)
    assert kept["files"][f"{UNITS}/{TIMER}"] == {
        "sha256": digest((system.units / TIMER).read_bytes()),
        "mode": "0644",
        "version": "0.1.0",
    }
    assert system.manifest.stat().st_mode & 0o777 == 0o644
    assert {path.stat().st_mode & 0o777 for path in system.units.iterdir() if path.is_file()} == {0o644}
    assert system.audited == [("system-install", "intent"), ("system-install", "done")]


def test_the_real_systemctl_makes_and_removes_the_very_same_links(system: SystemRoot) -> None:
    def all_of() -> dict[str, Path]:
        found = (path for path in system.units.glob("*.wants/*") if path.is_symlink())
        return {str(path.relative_to(system.units)): path.readlink() for path in found}

    system.install()
    played = all_of()
    system.uninstall()
    assert played != {}
    assert all_of() == {}
    system.links = RealLinks(system.root)
    system.install()
    assert all_of() == played
    system.uninstall()
    assert all_of() == {}


def test_a_second_time_there_is_nothing_to_do(system: SystemRoot) -> None:
    system.install()
    system.calls.clear()
    before = system.manifest.stat()
    plan = system.install()
    assert not plan.is_to_be_done
    assert (system.calls, system.manifest.stat()) == ([], before)
    assert set(fates(plan).values()) == {"current"}


def test_a_plan_changes_nothing(system: SystemRoot) -> None:
    plan = system.plan()
    assert set(fates(plan).values()) == {"create"}
    assert (system.names(), system.calls, system.manifest.exists()) == ([], [], False)


def test_one_part_alone(system: SystemRoot) -> None:
    ensured = ensure({Part.ROTATION}, root=system.root)
    assert system.names() == ["volward-rotate.service", TIMER]
    assert system.enabled() == [TIMER]
    assert ensured.reloaded
    assert not ensure({Part.ROTATION}, root=system.root).reloaded
    assert ensure((), root=system.root) == ensure({Part.ROTATION}, root=system.root)


def test_the_socket_is_enabled_for_who_asks_for_it(system: SystemRoot) -> None:
    system.install()
    ensure({Part.KEY_SOCKET}, insist={Part.KEY_SOCKET}, root=system.root)
    assert boot.KEY_SOCKET in system.enabled()
    assert system.calls[-1] == "systemctl enable --now volward-key.socket"
    assert not system.plan().is_to_be_done, "and stays so"


# --- a newer volward ------------------------------------------------------------------------------------------


def test_a_file_of_an_earlier_version_is_replaced(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    system.install()
    old = (system.units / TIMER).read_bytes()
    monkeypatch.setattr(shipped, "_text", lambda name: f"# newer\n{name}\n")
    system.calls.clear()
    plan = system.install()
    assert set(fates(plan).values()) == {"replace"}
    assert (system.units / TIMER).read_bytes() != old
    assert system.asked_of_systemctl == ["systemctl daemon-reload"], "what is enabled stays so"
    assert not system.plan().is_to_be_done


def test_a_unit_that_volward_has_no_more_goes(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    system.install()
    fewer = tuple(one for one in ALL if one.part is not Part.ROTATION)
    monkeypatch.setattr(system_additions, "ALL", fewer)
    monkeypatch.setattr(system_additions, "BY_PATH", {one.path: one for one in fewer})
    system.install()
    assert TIMER not in system.names()
    assert "volward-rotate.service" not in system.names()
    assert TIMER not in system.enabled()
    assert not system.plan().is_to_be_done
    assert set(manifest.read(root=system.root).files) == {one.path for one in fewer}


def test_one_part_leaves_such_a_unit_alone(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    system.install()
    monkeypatch.setattr(system_additions, "BY_PATH", {})
    assert not ensure({Part.OPENING}, root=system.root).reloaded


def test_a_template_that_runs_is_not_taken_away_by_an_upgrade(
    system: SystemRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.install()
    fewer = tuple(one for one in ALL if not one.is_template)
    monkeypatch.setattr(system_additions, "ALL", fewer)
    monkeypatch.setattr(system_additions, "BY_PATH", {one.path: one for one in fewer})
    system.states = {"volward-key@1.service": "active"}
    plan = system.install()
    assert "volward-key@.service" in system.names()
    assert "volward-key@1.service runs with it" in plan.left[0].reason


# --- an administrator was here --------------------------------------------------------------------------------


def test_a_changed_file_is_left_alone(system: SystemRoot) -> None:
    system.install()
    (system.units / TIMER).write_text(MINE)
    system.calls.clear()
    plan = system.install()
    assert (system.units / TIMER).read_text() == MINE
    assert not plan.is_to_be_done
    (left,) = plan.left
    assert "an administrator's" in left.reason
    assert f"--replace {TIMER}" in left.resolution
    assert f"systemctl edit {TIMER}" in left.resolution


def test_a_file_that_was_there_before_is_left_alone_and_not_enabled(system: SystemRoot) -> None:
    (system.units / TIMER).write_text(MINE)
    plan = system.install()
    assert (system.units / TIMER).read_text() == MINE
    assert TIMER not in system.enabled()
    assert Path(UNITS, TIMER) not in manifest.read(root=system.root).files
    assert [one.reason for one in plan.left][1] == "its file is an administrator's, and it is not enabled"
    assert plan.left[1].sentence.startswith(f"{TIMER} stays disabled: its file")
    assert "systemctl enable --now" in plan.left[1].resolution


def test_its_own_enabling_is_not_taken_for_volwards(system: SystemRoot) -> None:
    (system.units / TIMER).write_text("[Install]\nWantedBy=timers.target\n")
    boot.enable([TIMER])
    plan = system.install()
    assert links(plan)[TIMER] == "as it is"
    assert TIMER not in manifest.read(root=system.root).enabled


def test_a_mode_that_was_changed_is_a_change(system: SystemRoot) -> None:
    system.install()
    (system.units / TIMER).chmod(0o600)
    assert fates(system.install())[TIMER] == "leave"
    assert (system.units / TIMER).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("consent", [TIMER, f"{UNITS}/{TIMER}"])
def test_with_consent_it_is_replaced_and_kept_aside(system: SystemRoot, consent: str) -> None:
    system.install()
    for _ in range(2):
        (system.units / TIMER).write_text(MINE)
        system.install(replace=[consent])
        assert (system.units / TIMER).read_bytes() == shipped.content(BY_PATH[Path(UNITS, TIMER)])
    (kept,) = (system.root / "var/lib/volward/replaced").iterdir()
    assert kept.read_text() == MINE
    assert kept.name == f"{TIMER}.{digest(MINE.encode())[:12]}"
    assert not system.plan().is_to_be_done


def test_consent_for_a_file_that_is_current_changes_nothing(system: SystemRoot) -> None:
    system.install()
    assert not system.plan(replace=[TIMER]).is_to_be_done


def test_a_disabled_unit_stays_so_unless_the_configuration_wants_it(system: SystemRoot) -> None:
    system.install()
    boot.disable([OPENING, TIMER], root=system.root)
    plan = system.install()
    assert system.enabled() == [name for name in ON if name not in (OPENING, TIMER)]
    assert {one.reason for one in plan.left} == {"an administrator disabled it"}
    assert "`systemctl enable volward.service` enables it" in plan.left[0].resolution
    ensure({Part.OPENING, Part.ROTATION}, insist={Part.OPENING}, root=system.root)
    assert OPENING in system.enabled()
    assert TIMER not in system.enabled()


def test_a_file_that_was_removed_is_written_again_and_works_again(system: SystemRoot) -> None:
    system.install()
    (system.units / TIMER).unlink()
    plan = system.install()
    assert (fates(plan)[TIMER], links(plan)[TIMER]) == ("create", "enable")
    assert plan.left == (), "its link leads nowhere, but nobody disabled it"
    assert not system.plan().is_to_be_done


def test_a_masked_unit_is_left_alone(system: SystemRoot) -> None:
    (system.units / TIMER).symlink_to("/dev/null")
    plan = system.install(replace=[TIMER])
    assert (system.units / TIMER).readlink() == Path("/dev/null")
    (left,) = plan.left
    assert "masked" in left.reason
    assert f"systemctl unmask {TIMER}" in left.resolution
    assert TIMER not in system.enabled()


@pytest.mark.parametrize("what", ["link", "directory"])
def test_what_is_no_file_is_left_alone(system: SystemRoot, what: str) -> None:
    place = system.units / TIMER
    place.mkdir() if what == "directory" else place.symlink_to("/srv/mine")
    plan = system.install(replace=[TIMER])
    assert fates(plan)[TIMER] == "leave"
    assert f"rm {UNITS}/{TIMER}" in plan.left[0].resolution
    assert ("no regular file" if what == "directory" else "a symbolic link to /srv/mine") in plan.left[0].sentence


def test_a_file_that_is_changed_between_the_look_and_the_writing(system: SystemRoot) -> None:
    plan = system.plan()
    (system.units / TIMER).write_text(MINE)
    with pytest.raises(BusyError, match="in this very moment"):
        carry_out(plan, root=system.root)
    assert (system.units / TIMER).read_text() == MINE
    assert system.audited[-1] == ("system-install", "failed")
    system.install()
    assert (system.units / TIMER).read_text() == MINE, "the intention makes it no file of volward's"


# --- a host that lost its manifest --------------------------------------------------------------------------------


@pytest.fixture
def without_manifest(system: SystemRoot) -> SystemRoot:
    system.install()
    system.manifest.unlink()
    system.calls.clear()
    return system


def test_what_this_version_would_write_is_adopted_as_it_is(without_manifest: SystemRoot) -> None:
    system = without_manifest
    plan = system.install()
    assert set(fates(plan).values()) == {"adopt"}
    assert {one for name, one in links(plan).items() if name in ON} == {"adopt"}
    assert system.calls == [], "systemd has read it long ago"
    assert manifest.read(root=system.root).enabled == dict.fromkeys(ON, True)
    assert not ensure({Part.OPENING}, root=system.root).reloaded
    assert not system.plan().is_to_be_done


def test_one_byte_more_makes_it_an_administrators(without_manifest: SystemRoot) -> None:
    path = without_manifest.units / OPENING
    path.write_bytes(path.read_bytes() + b"\n")
    plan = without_manifest.install()
    assert (fates(plan)[OPENING], links(plan)[OPENING]) == ("leave", "as it is")
    kept = manifest.read(root=without_manifest.root)
    assert Path(UNITS, OPENING) not in kept.files
    assert OPENING not in kept.enabled


def test_a_file_that_calls_another_volward_is_an_administrators(
    without_manifest: SystemRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "_this_program", lambda: "/opt/volward/bin/volward")
    found = fates(without_manifest.install())
    assert {name for name, fate in found.items() if fate == "leave"} == {
        one.name for one in ALL if one.name.endswith(".service")
    }


# --- the Debian package -----------------------------------------------------------------------------------------


@pytest.fixture
def packaged(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> SystemRoot:
    system.package()
    monkeypatch.setattr(shipped, "_this_program", lambda: "/usr/bin/volward")
    return system


def test_units_of_a_package_are_only_enabled(packaged: SystemRoot) -> None:
    plan = packaged.install()
    assert set(fates(plan).values()) == {"packaged"}
    assert packaged.names() == []
    assert packaged.enabled() == ON
    assert manifest.read(root=packaged.root) == Manifest({}, dict.fromkeys(ON, True))
    assert not packaged.plan().is_to_be_done


def test_what_the_package_enabled_is_not_volwards(packaged: SystemRoot) -> None:
    boot.enable([TIMER])
    packaged.install()
    assert TIMER not in manifest.read(root=packaged.root).enabled


def test_copies_of_an_earlier_installation_make_room_for_the_package(
    packaged: SystemRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "_this_program", lambda: PROGRAM)
    packaged.install()
    assert packaged.names() != [], "a volward beside the package's has units of its own"
    (packaged.units / "volward-preflight.timer").write_text(MINE)
    monkeypatch.setattr(shipped, "_this_program", lambda: "/usr/bin/volward")
    packaged.calls.clear()
    plan = packaged.install()
    assert packaged.names() == ["volward-preflight.timer"]
    assert "takes the place of the Debian package's" in plan.left[0].reason
    assert "rm /etc" in plan.left[0].resolution
    assert packaged.enabled() == ON
    assert (packaged.units / f"timers.target.wants/{TIMER}").readlink() == Path("/usr/lib/systemd/system", TIMER)
    assert not packaged.plan().is_to_be_done


def test_a_copy_that_volward_did_not_write_stays(packaged: SystemRoot) -> None:
    """Byte for byte the package's, and in nobody's list: somebody put it there, perhaps to change it."""
    (packaged.units / TIMER).write_bytes((packaged.packaged / TIMER).read_bytes())
    (packaged.units / TIMER).chmod(0o644)
    plan = packaged.install()
    assert fates(plan)[TIMER] == "leave"
    assert packaged.names() == [TIMER]
    packaged.uninstall()
    assert packaged.names() == [TIMER]


def test_an_entry_without_a_file_is_forgotten_there(packaged: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged.install()
    entry = Entry("00", 0o644, "0.1.0")
    manifest.write(Manifest({Path(UNITS, TIMER): entry}, {}), root=packaged.root)
    plan = packaged.install()
    assert fates(plan)[TIMER] == "forget"
    assert manifest.read(root=packaged.root).is_empty, "the links are not known to be volward's any more"


# --- cut short --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writes", range(14))
def test_a_cut_at_any_write_is_finished_by_the_next_run(
    system: SystemRoot, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """The first writes the manifest, then come the eleven files, then the manifest again."""
    real = durable.replace
    done: list[Path] = []

    def cut(path: Path, content: bytes, *, mode: int = 0o600) -> None:
        if len(done) == writes:
            raise Cut
        done.append(path)
        real(path, content, mode=mode)

    monkeypatch.setattr(durable, "replace", cut)
    if writes < 13:
        with pytest.raises(Cut):
            system.install()
    else:
        system.install()
    monkeypatch.setattr(durable, "replace", real)
    system.install()
    assert system.names() == sorted(one.name for one in ALL)
    assert system.enabled() == ON
    assert not system.plan().is_to_be_done
    assert not any(entry.pending for entry in manifest.read(root=system.root).files.values())


@pytest.mark.parametrize("call", ["systemctl enable volward", "systemctl enable --now"])
def test_a_cut_while_units_are_enabled(system: SystemRoot, call: str) -> None:
    system.cut_at = call
    with pytest.raises(Cut):
        system.install()
    system.cut_at = ""
    plan = system.install()
    assert "finish" in fates(plan).values()
    assert "leave" not in links(plan).values(), "nobody disabled anything"
    assert system.enabled() == ON
    assert not system.plan().is_to_be_done


def test_a_cut_upgrade_knows_the_old_file_for_its_own(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    system.install()
    real = durable.replace

    def cut(path: Path, content: bytes, *, mode: int = 0o600) -> None:
        if path.name == TIMER:
            raise Cut
        real(path, content, mode=mode)

    monkeypatch.setattr(durable, "replace", cut)
    monkeypatch.setattr(shipped, "_text", lambda name: f"# newer\n{name}\n")
    with pytest.raises(Cut):
        system.install()
    monkeypatch.setattr(durable, "replace", real)
    monkeypatch.setattr(shipped, "_text", lambda name: f"# newer still\n{name}\n")
    plan = system.install()
    assert set(fates(plan).values()) == {"replace"}
    assert (system.units / TIMER).read_text() == f"# newer still\n{TIMER}\n"


def test_a_reload_that_a_cut_left_out_is_made_up_for(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    system.install()
    monkeypatch.setattr(shipped, "_text", lambda name: f"# newer\n{name}\n")
    system.cut_at = "systemctl daemon-reload"
    with pytest.raises(Cut):
        system.install()
    system.cut_at = ""
    system.calls.clear()
    assert set(fates(system.install()).values()) == {"finish"}
    assert system.asked_of_systemctl == ["systemctl daemon-reload"]


def test_links_are_on_the_disk_before_the_manifest_has_them(
    system: SystemRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemctl does not fsync, and /var may be another file system than /etc."""
    done: list[str] = []
    sync, write = durable.sync_directory, manifest.write

    def synced(directory: Path) -> None:
        done.append(f"{directory.name} with {len(list(directory.iterdir()))}")
        sync(directory)

    def written(to_write: Manifest, *, root: Path) -> None:
        done.append(f"enabled: {sorted(set(to_write.enabled.values()))}")
        write(to_write, root=root)

    monkeypatch.setattr(durable, "sync_directory", synced)
    monkeypatch.setattr(manifest, "write", written)
    system.install(parts={Part.ROTATION})
    assert done.index("timers.target.wants with 1") < done.index("enabled: [True]")
    assert done.index("enabled: [False]") < done.index("timers.target.wants with 1")


# --- two at once, and what goes wrong -----------------------------------------------------------------------------


def test_another_volward_was_quicker(system: SystemRoot) -> None:
    plan = system.plan()
    system.install(parts={Part.ROTATION})
    with pytest.raises(BusyError, match="Another volward"):
        carry_out(plan, root=system.root)


def test_apply_waits_for_another_volward_and_looks_again(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    held = lock.held

    def other(name: str, *, wait_seconds: float) -> object:
        monkeypatch.setattr(lock, "held", held)
        system.install(parts={Part.ROTATION})
        system.calls.clear()
        return held(name, wait_seconds=wait_seconds)

    monkeypatch.setattr(lock, "held", other)
    ensure({Part.ROTATION}, root=system.root)
    assert system.calls == []


def test_systemd_says_it_did_and_did_not(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "enable", lambda names, *, now: None)
    with pytest.raises(VerificationError, match=r"volward-rotate\.timer is not enabled"):
        system.install()
    assert not manifest.read(root=system.root).is_empty


def test_a_file_that_somebody_writes_behind_volwards_back(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    enable = boot.enable

    def and_spoil(names: list[str], *, now: bool) -> None:
        enable(names, now=now)
        (system.units / TIMER).write_text(MINE)

    monkeypatch.setattr(boot, "enable", and_spoil)
    with pytest.raises(VerificationError, match=f"{TIMER} is not as it was written"):
        system.install()


def test_an_unreadable_directory_is_an_error_that_says_so(system: SystemRoot) -> None:
    system.units.rmdir()
    system.units.write_text("no directory")
    with pytest.raises(OperatingSystemError, match="Looking at the installed units"):
        system.plan()


def test_a_damaged_manifest_stops_everything(system: SystemRoot) -> None:
    system.install()
    system.manifest.write_text("{")
    with pytest.raises(JournalError, match=r"system\.json"):
        system.plan()


# --- snippets for systemd-sysusers and systemd-tmpfiles -----------------------------------------------------------


def test_a_snippet_is_told_to_its_tool_when_it_is_written(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Shipped("volward.conf", Part.OPENING, place=SYSUSERS)
    monkeypatch.setattr(system_additions, "ALL", (one,))
    for module in (system_additions, system_install):
        monkeypatch.setattr(module, "BY_PATH", {one.path: one})
    monkeypatch.setattr(shipped, "_text", lambda name: "g volward -\n")
    system.install()
    path = system.root / "etc/sysusers.d/volward.conf"
    assert path.read_text() == "g volward -\n"
    assert system.calls == [f"systemd-sysusers {path}"], "systemd has no unit files to read"
    path.write_text("mine\n")
    (left,) = system.install().left
    assert left.resolution == (
        "`volward system install --replace volward.conf` has volward's again and keeps this one aside."
    )


def test_a_snippet_is_none_of_systemds_unit_files() -> None:
    change = FileChange(Path("/etc/sysusers.d/volward.conf"), Fate.CREATE)
    plan = Installation("install", Manifest(), (change,))
    assert plan.is_to_be_done
    assert not plan.reloads
