"""system uninstall: what volward wrote goes, what is an administrator's, a volume's or in use stays and is told.

The daemon is stopped, which closes nothing.
"""

from pathlib import Path

import pytest
from tests.unit.operations.system_root import UNITS, Cut, SystemRoot

from volward import manifest
from volward.errors import BusyError, VerificationError
from volward.host import boot, shipped, systemd
from volward.host.shipped import ALL, Part
from volward.installation import Installation
from volward.operations.system_install import carry_out, ensure
from volward.operations.system_removals import plan_uninstall

TIMER = "volward-rotate.timer"
OPENING = "volward.service"
KEYS = ["volward-key.socket", "volward-key@.service"]
ON = ["volward-header-backup.timer", "volward-preflight.timer", TIMER, OPENING]
MINE = "[Timer]\nOnCalendar=monthly\n"


@pytest.fixture
def installed(system: SystemRoot) -> SystemRoot:
    system.install()
    system.calls.clear()
    system.audited.clear()
    return system


def fates(plan: Installation) -> dict[str, str]:
    return {one.path.name: str(one.fate) for one in plan.files}


def changes(system: SystemRoot) -> list[str]:
    return [call for call in system.calls if "list-units" not in call]


def test_everything_goes_and_the_daemon_is_stopped(installed: SystemRoot) -> None:
    installed.states = {OPENING: "active", "volward-rotate.service": "activating"}
    plan = installed.uninstall()
    assert (installed.names(), installed.enabled(), installed.manifest.exists()) == ([], [], False)
    assert changes(installed) == [f"systemctl disable --now {' '.join(ON)}", "systemctl daemon-reload"]
    assert set(plan.remarks) == {
        f"{OPENING} is stopped, which closes nothing: what is open stays open.",
        "volward-rotate.service is active and is not stopped: it ends by itself.",
    }
    assert installed.audited == [("system-uninstall", "intent"), ("system-uninstall", "done")]


def test_a_second_time_there_is_nothing_to_do(installed: SystemRoot) -> None:
    installed.uninstall()
    installed.calls.clear()
    plan = installed.uninstall()
    assert (plan.is_to_be_done, plan.files, plan.links, plan.remarks) == (False, (), (), ())
    assert changes(installed) == []


def test_a_plan_changes_nothing(installed: SystemRoot) -> None:
    before = installed.names(), installed.enabled(), installed.manifest.read_bytes()
    assert set(fates(plan_uninstall(root=installed.root)).values()) == {"remove"}
    assert (installed.names(), installed.enabled(), installed.manifest.read_bytes()) == before


def test_a_changed_file_stays_and_is_the_administrators_from_now_on(installed: SystemRoot) -> None:
    (installed.units / TIMER).write_text(MINE)
    plan = installed.uninstall()
    assert installed.names() == [TIMER]
    assert (installed.units / TIMER).read_text() == MINE
    assert installed.enabled() == [], "volward enabled it"
    (left,) = plan.left
    assert f"`rm {UNITS}/{TIMER}`" in left.resolution
    assert not installed.manifest.exists()
    assert fates(installed.plan())[TIMER] == "leave"


def test_a_file_that_is_gone_already(installed: SystemRoot) -> None:
    (installed.units / TIMER).unlink()
    plan = installed.uninstall()
    assert fates(plan)[TIMER] == "forget"
    assert installed.enabled() == [], "a link that leads nowhere goes too"
    assert not installed.manifest.exists()


def test_what_an_administrator_disabled_is_only_forgotten(installed: SystemRoot) -> None:
    boot.disable(ON, root=installed.root)
    installed.calls.clear()
    installed.uninstall()
    assert "systemctl daemon-reload" in installed.calls
    assert not any("disable" in call for call in installed.calls)
    assert not installed.manifest.exists()


def test_a_daemon_that_runs_although_it_is_disabled_is_stopped(installed: SystemRoot) -> None:
    boot.disable([OPENING], root=installed.root)
    installed.calls.clear()
    installed.states = {OPENING: "active"}
    plan = installed.uninstall(opened_at_boot=["pg"])
    assert f"systemctl disable --now {' '.join(ON)}" in installed.calls
    assert OPENING not in installed.names()
    assert any("closes nothing" in remark for remark in plan.remarks)


def test_an_upgrade_stops_no_daemon(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Debian package takes the place of a copy: its link is made anew, and the service goes on."""
    system.install()
    system.package()
    monkeypatch.setattr(shipped, "_this_program", lambda: "/usr/bin/volward")
    system.states = {OPENING: "active"}
    system.calls.clear()
    system.install()
    assert f"systemctl disable {OPENING}" in system.calls
    assert f"systemctl enable {OPENING}" in system.calls


def test_a_unit_that_an_administrator_enabled_before_volward_stays_so(system: SystemRoot) -> None:
    (system.units / TIMER).write_text("[Install]\nWantedBy=timers.target\n")
    boot.enable([TIMER])
    system.install()
    system.uninstall()
    assert (system.names(), system.enabled()) == ([TIMER], [TIMER])


def test_volumes_stay_and_are_named(installed: SystemRoot) -> None:
    written = {
        "srv-pg.mount": "# Written by volward for volume pg; `volward apply` writes it anew.\n",
        "dev-mapper-volward.device.d/50-volward.conf": "# Written by volward for volume pg: what …\n",
        "volward-mapping-pg.service": "# Written by volward for volume pg; `volward apply` writes it anew.\n",
        "postgresql@.service.d/50-volward-pg.conf": "# Written by volward: postgresql@ keeps its data …\n",
        "mine.mount": "[Mount]\n",
    }
    for name, text in written.items():
        (installed.units / name).parent.mkdir(exist_ok=True)
        (installed.units / name).write_text(text)
    plan = installed.uninstall()
    assert all((installed.units / name).read_text() == text for name, text in written.items())
    said, boots = plan.remarks
    for name in list(written)[:4]:
        assert f"{UNITS}/{name}" in said
    assert "mine.mount" not in said
    assert boots.startswith("WARNING: the next boot opens no volume, and nothing watches them any more.")


def test_it_stays_silent_about_the_boot_that_never_opened_them(system: SystemRoot) -> None:
    system.install(parts={Part.ROTATION})
    (system.units / "srv-pg.mount").write_text("# Written by volward for volume pg\n")
    (remark,) = system.uninstall(opened_at_boot=["pg"]).remarks
    assert "srv-pg.mount" in remark


def test_volumes_that_the_boot_is_to_open_are_named(installed: SystemRoot) -> None:
    (remark,) = installed.uninstall(opened_at_boot=["pg", "cache"]).remarks
    assert remark == (
        "WARNING: the next boot opens no volume, although the configuration has it open pg, cache, and nothing watches "
        "them any more. `volward open --all` opens them by hand after each boot; `volward system install` takes this "
        "back."
    )


def test_a_host_without_volumes_is_not_warned(installed: SystemRoot) -> None:
    assert installed.uninstall().remarks == ()


# --- in use -----------------------------------------------------------------------------------------------------


def test_the_socket_stays_while_crypttab_names_it(installed: SystemRoot) -> None:
    ensure({Part.KEY_SOCKET}, insist={Part.KEY_SOCKET}, root=installed.root)
    crypttab = installed.root / "etc/crypttab"
    crypttab.write_text("volward-pg UUID=1 /run/volward/key.sock luks,nofail\n")
    plan = installed.uninstall()
    assert (installed.names(), installed.enabled()) == (KEYS, ["volward-key.socket"])
    assert {str(one.path.name) for one in plan.left} == set(KEYS)  # type: ignore[union-attr]
    assert "Remove the lines with /run/volward/key.sock" in plan.left[0].resolution
    assert not plan_uninstall(root=installed.root).is_to_be_done

    crypttab.write_text("# volward-pg UUID=1 /run/volward/key.sock luks\nother UUID=2 none luks\n")
    installed.uninstall()
    assert (installed.names(), installed.enabled(), installed.manifest.exists()) == ([], [], False)


def test_the_socket_of_a_package_stays_on_while_crypttab_names_it(
    system: SystemRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.package()
    monkeypatch.setattr(shipped, "_this_program", lambda: "/usr/bin/volward")
    ensure({Part.KEY_SOCKET, Part.ROTATION}, insist={Part.KEY_SOCKET}, root=system.root)
    crypttab = system.root / "etc/crypttab"
    crypttab.write_text("volward-pg UUID=1 /run/volward/key.sock luks,nofail\n")
    plan = system.uninstall()
    assert system.enabled() == ["volward-key.socket"]
    assert [str(one.fate) for one in plan.left] == ["leave"]
    assert plan.left[0].sentence.startswith("volward-key.socket stays enabled: /etc/crypttab has systemd ask there")
    crypttab.unlink()
    system.uninstall()
    assert (system.enabled(), system.manifest.exists()) == ([], False)


@pytest.mark.parametrize(("state", "stays"), [("active", True), ("activating", True), ("failed", False)])
def test_a_template_stays_while_an_instance_runs(installed: SystemRoot, state: str, stays: bool) -> None:
    installed.states = {"volward-key@4.service": state, "other@4.service": "active"}
    plan = installed.uninstall()
    assert installed.names() == (["volward-key@.service"] if stays else [])
    assert [one.reason for one in plan.left] == (["volward-key@4.service runs with it"] if stays else [])
    installed.states = {}
    installed.uninstall()
    assert (installed.names(), installed.manifest.exists()) == ([], False)


# --- other kinds of hosts -----------------------------------------------------------------------------------------


def test_a_host_that_lost_its_manifest(installed: SystemRoot) -> None:
    installed.manifest.unlink()
    (installed.units / "volward-preflight.timer").write_text(MINE)
    installed.uninstall()
    assert installed.names() == ["volward-preflight.timer"]
    assert installed.enabled() == ["volward-preflight.timer"], "that file may never have been volward's"


def test_of_a_package_only_the_links_go(system: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    system.package()
    monkeypatch.setattr(shipped, "_this_program", lambda: "/usr/bin/volward")
    boot.enable([TIMER])
    system.install()
    system.uninstall()
    assert sorted(path.name for path in system.packaged.iterdir()) == sorted(one.name for one in ALL if one.is_unit)
    assert system.enabled() == [TIMER], "the package, or a person, had enabled that one"


def test_an_administrators_mode_and_links_are_not_adopted(system: SystemRoot) -> None:
    for name, make in (
        (TIMER, lambda path: path.symlink_to("/srv/mine")),
        (OPENING, lambda path: (path.write_bytes(b"x"), path.chmod(0o600))),
    ):
        make(system.units / name)
    plan = system.uninstall()
    assert plan.files == ()


# --- cut short, and what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(ALL)))
def test_a_cut_between_two_files_is_finished_by_the_next_run(
    installed: SystemRoot, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    unlink = Path.unlink
    done: list[Path] = []

    def cut(path: Path, missing_ok: bool = False) -> None:
        if path.is_relative_to(installed.root / "etc") and len(done) == number:
            raise Cut
        done.append(path)
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", cut)
        with pytest.raises(Cut):
            installed.uninstall()
    assert len(installed.names()) == len(ALL) - number
    installed.uninstall()
    assert (installed.names(), installed.enabled(), installed.manifest.exists()) == ([], [], False)


def test_after_a_cut_it_can_be_installed_again(installed: SystemRoot) -> None:
    installed.cut_at = "systemctl daemon-reload"
    with pytest.raises(Cut):
        installed.uninstall()
    installed.cut_at = ""
    plan = installed.install()
    assert installed.enabled() == ON, "it was no administrator who disabled them"
    assert plan.left == ()
    assert not installed.plan().is_to_be_done


def test_a_file_that_is_changed_between_the_look_and_the_removal(installed: SystemRoot) -> None:
    plan = plan_uninstall(root=installed.root)
    (installed.units / TIMER).write_text(MINE)
    with pytest.raises(BusyError, match="in this very moment"):
        carry_out(plan, root=installed.root)
    assert (installed.units / TIMER).read_text() == MINE


def test_systemd_says_it_did_and_did_not(installed: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "disable", lambda names, *, now, root: None)
    with pytest.raises(VerificationError, match=r"volward-rotate\.timer is still enabled"):
        installed.uninstall()


def test_a_file_that_comes_back(installed: SystemRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "reload", lambda: (installed.units / TIMER).write_text(MINE))
    with pytest.raises(VerificationError, match=f"{TIMER} is still there"):
        installed.uninstall()
    assert manifest.read(root=installed.root).is_empty, "what is there now is not volward's"
