"""What `volward system` shows: a diff of each change, what is left alone and why, and a state for each unit."""

from pathlib import Path

import pytest

from volward.host.boot import Link
from volward.host.shipped import ALL, BY_PATH
from volward.installation import Fate, FileChange, Installation, LinkChange, LinkFate, Seen
from volward.manifest import Entry, Manifest
from volward.report import system

UNITS = Path("/etc/systemd/system")
TIMER, OPENING = "volward-rotate.timer", "volward.service"
BEFORE, AFTER = Seen(b"[Timer]\nOnCalendar=daily\n", 0o644), b"[Timer]\nOnCalendar=weekly\n"
WAY_OUT = "`systemctl edit` it."
LEFT = FileChange(UNITS / "volward-key.socket", Fate.LEAVE, BEFORE, AFTER, reason="it is yours", resolution=WAY_OUT)
PLAN = Installation(
    "install",
    Manifest({UNITS / TIMER: Entry("00", 0o644, "0.0.9")}),
    (
        FileChange(UNITS / OPENING, Fate.CREATE, None, b"[Unit]\n"),
        FileChange(UNITS / TIMER, Fate.REPLACE, BEFORE, AFTER),
        FileChange(UNITS / "old.timer", Fate.REMOVE, Seen(b"[Timer]\n", 0o644), reason="it hides another"),
        LEFT,
        FileChange(Path("/etc/sysusers.d/volward.conf"), Fate.CURRENT, BEFORE, BEFORE.content),
    ),
    (
        LinkChange(OPENING, LinkFate.ENABLE),
        LinkChange("old.timer", LinkFate.DISABLE, Link.ENABLED),
        LinkChange(TIMER, LinkFate.LEAVE, Link.DISABLED, "an administrator disabled it", "`systemctl enable` it."),
        LinkChange("volward-key.socket", LinkFate.AS_IT_IS, Link.MASKED),
    ),
    ("The volumes stay.",),
)
NOTHING = Installation("install", Manifest(), (FileChange(UNITS / TIMER, Fate.CURRENT, BEFORE, BEFORE.content),))


def test_each_change_has_its_diff() -> None:
    assert list(system.lines(PLAN)) == [
        f"create {UNITS / OPENING}",
        "  --- /dev/null",
        f"  +++ {UNITS / OPENING}",
        "  @@ -0,0 +1 @@",
        "  +[Unit]",
        f"replace {UNITS / TIMER}",
        f"  --- {UNITS / TIMER}",
        f"  +++ {UNITS / TIMER}",
        "  @@ -1,2 +1,2 @@",
        "   [Timer]",
        "  -OnCalendar=daily",
        "  +OnCalendar=weekly",
        f"remove {UNITS}/old.timer, because it hides another",
        f"  --- {UNITS}/old.timer",
        "  +++ /dev/null",
        "  @@ -1 +0,0 @@",
        "  -[Timer]",
        f"enable {OPENING}",
        "disable old.timer",
        f"{UNITS}/volward-key.socket is left alone: it is yours. {WAY_OUT}",
        f"{TIMER} stays disabled: an administrator disabled it. `systemctl enable` it.",
        "The volumes stay.",
    ]


def test_nothing_to_do_and_why() -> None:
    assert list(system.lines(NOTHING)) == ["nothing to do, because every file is current and every unit is enabled"]
    (said, _) = system.lines(Installation("install", Manifest(), (LEFT,)))
    assert said == (
        "nothing to do, because every file is current and every unit is enabled apart from what is left alone"
    )
    assert list(system.lines(Installation("uninstall", Manifest()))) == [
        "nothing to do, because nothing is installed that volward may remove"
    ]


def test_what_was_done_in_a_sentence() -> None:
    assert system.done(PLAN) == "install: 2 written, 1 removed, 1 enabled, 1 disabled"
    both = (LinkChange(TIMER, LinkFate.DISABLE), LinkChange(TIMER, LinkFate.ENABLE))
    assert system.done(Installation("install", Manifest(), (), both)) == "install: 1 enabled", "its link was made anew"
    adopted = FileChange(UNITS / TIMER, Fate.ADOPT, BEFORE, BEFORE.content)
    assert "taken up into the list" in system.done(Installation("install", Manifest(), (adopted,)))


@pytest.mark.parametrize("carried_out", [True, False])
def test_the_same_for_a_machine(carried_out: bool) -> None:
    told = system.as_json(PLAN, carried_out=carried_out)
    assert told["changes_pending"] is not carried_out
    files = {one["path"]: one for one in told["files"]}  # type: ignore[attr-defined]
    assert files[str(UNITS / TIMER)]["change"] == "replace"
    assert "-OnCalendar=daily\n+OnCalendar=weekly" in files[str(UNITS / TIMER)]["diff"]
    left = files[str(LEFT.path)]
    assert (left["change"], left["diff"], left["reason"], left["resolution"]) == (
        "leave", None, "it is yours", WAY_OUT,
    )  # fmt: skip
    units = {one["unit"]: (one["change"], one["now"]) for one in told["units"]}  # type: ignore[attr-defined]
    assert units[TIMER] == ("leave", "disabled")
    assert told["remarks"] == ["The volumes stay."]


def test_a_row_for_each_file() -> None:
    assert system.rows(PLAN, {OPENING: "active"}) == [
        (OPENING, "missing", "no", "active"),
        (TIMER, "older", "no", "inactive"),
        (str(UNITS / "old.timer"), "older", "yes", ""),
        ("volward-key.socket", "changed", "masked", "inactive"),
        ("/etc/sysusers.d/volward.conf", "current", "", ""),
    ]
    assert system.rows(NOTHING, {})[0][3] == "", "systemd did not answer"


def test_the_state_for_a_machine() -> None:
    told = system.status_as_json(PLAN, {OPENING: "active"})
    assert told["changes_pending"] is True
    files = {Path(one["path"]).name: one for one in told["files"]}  # type: ignore[attr-defined]
    assert files[TIMER] == {
        "path": str(UNITS / TIMER),
        "is": "older",
        "enabled": "disabled",
        "state": "inactive",
        "written_by_version": "0.0.9",
        "reason": "an administrator disabled it",
        "resolution": "`systemctl enable` it.",
    }
    assert files["volward.conf"]["enabled"] is None
    assert files["volward.conf"]["written_by_version"] is None


def test_templates_have_no_state() -> None:
    assert "volward-key@.service" not in system.unit_names()
    assert OPENING in system.unit_names()
    assert len(BY_PATH) == len(ALL)
