"""The manual pages say what the program says, in source that man(7) reads as it is meant."""

import datetime
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs.reference import manual, roff, settings

from volward import config
from volward.cli import main as cli
from volward.exit_status import ExitStatus

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return dict(manual.pages("2026-01-02"))


def plain(source: str) -> str:
    """Return what a reader sees of a page, without its layout."""
    text = re.sub(r"\\f[BIRP]|\\&(?!\.\.\.)", "", source).replace(r"\&...", "…")
    for escape, character in ((r"\-", "-"), (r"\(aq", "'"), (r"\(ti", "~"), (r"\(ha", "^"), (r"\e", "\\")):
        text = text.replace(escape, character)
    return text


def test_there_is_a_page_for_the_program_each_command_and_the_configuration(pages: dict[str, str]) -> None:
    commands = [f"volward-{name}.1" for section in cli.COMMANDS.values() for name in section]
    assert list(pages) == ["volward.1", *commands, "volward.toml.5"]


def test_each_page_has_the_sections_that_a_reader_looks_for(pages: dict[str, str]) -> None:
    for name, source in pages.items():
        headings = re.findall(r"^\.SH (.+)$", source, re.MULTILINE)
        assert headings[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"], name
        assert headings[-1] == "SEE ALSO", name
        if name.endswith(".1"):
            assert {"EXIT STATUS", "FILES"} <= set(headings), name
            assert {"OPTIONS", "COMMANDS"} & set(headings), name
        page, _, section = name.rpartition(".")
        assert rf'.TH {page.upper().replace("-", chr(92) + "-")} {section} 2026-01-02 "volward ' in source
        assert f"{page} - " in plain(source), "mandb(8) finds the page by this line"


def test_lines_are_short_and_none_is_a_request_by_accident(pages: dict[str, str]) -> None:
    known = {".TH", ".SH", ".SS", ".PP", ".TP", ".br", ".in", ".EX", ".EE", '.\\"'}
    for name, source in pages.items():
        text = re.sub(r"^\.EX\n.*?^\.EE\n", "", source, flags=re.MULTILINE | re.DOTALL)
        for line in text.splitlines():
            assert line, f"{name} has an empty line"
            assert len(line) < 120, f"{name}: {line}"
            assert line[0] not in ".'" or line.split()[0] in known, f"{name}: {line}"


def test_a_command_with_options_and_a_group(pages: dict[str, str]) -> None:
    rotate, key = plain(pages["volward-rotate.1"]), plain(pages["volward-key.1"])
    assert "volward rotate [OPTIONS] [VOLUMES]..." in rotate
    assert "\n--recovery-fd N\nWrite new recovery keys to this descriptor (an escrow).\n" in rotate
    assert "Show a short help and exit." in rotate
    assert '.SS "volward key export [OPTIONS] VOLUME"' in key
    assert "\n--fd N\n" in key
    assert "volward key serve" not in key, "it is hidden"
    assert r"\fIVOLUME\fR" in pages["volward-key.1"]
    assert "Default: 60.0." in plain(pages["volward-open.1"])


def test_exit_statuses_come_from_the_program(pages: dict[str, str]) -> None:
    for status in ExitStatus:
        assert f".TP\n\\fB{int(status)}\\fR\n" in pages["volward.1"]
    check = pages["volward-check.1"].partition(".SH EXIT STATUS")[2].partition(".SH")[0]
    assert "78 when it has problems" in plain(check)
    assert "Exit status:" not in pages["volward-check.1"]
    assert "0 when it was done." in pages["volward-close.1"]


def test_files_are_those_of_files_md_by_the_command_that_makes_them(pages: dict[str, str]) -> None:
    for file in manual.files():
        assert file.path in plain(pages["volward.1"]), file
    assert "/var/lib/volward/pins/NAME.json" in plain(pages["volward-repin.1"])
    assert "/var/lib/volward/pins/NAME.json" not in plain(pages["volward-status.1"])


def test_every_key_of_the_configuration_has_its_place(pages: dict[str, str]) -> None:
    page = pages["volward.toml.5"]
    for section in settings.sections():
        for one in section.settings:
            assert f"\n.TP\n{roff.bold(one.key)}{' *' if one.common else ''}\n" in page, (section.title, one.key)
    assert "Required." in page
    assert "Default: \\fBext4\\fR." in page


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "volward.toml").write_text(manual.TOML)
    assert list(config.load(tmp_path).volumes) == ["pgdata", "notes"]


def test_pages_are_written_with_the_date_of_the_build(tmp_path: Path) -> None:
    for epoch in ("86400", ""):
        subprocess.run(
            [sys.executable, "-m", "docs.reference.manual", str(tmp_path / "man")],
            cwd=CHECKOUT,
            env={"PYTHONPATH": "agent", "PATH": "/usr/bin:/bin", **({"SOURCE_DATE_EPOCH": epoch} if epoch else {})},
            check=True,
        )
        first = (tmp_path / "man/volward.1").read_text().splitlines()[1]
        assert ("1970-01-02" in first) == bool(epoch), first
        datetime.date.fromisoformat(first.split()[3])


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("plain text, up-to-date", "plain text, up-to-date"),
        ("run `volward open --all` now", r"run \fBvolward open \-\-all\fR now"),
        ("With --no-mount it's open", r"With \fB\-\-no\-mount\fR it's open"),
        ("see crypttab(5)", r"see \fBcrypttab\fR(5)"),
        (r"a\b", r"a\eb"),
        ("names VOLUME, not VOLUMES", r"names \fIVOLUME\fR, not VOLUMES"),
    ],
)
def test_prose(text: str, source: str) -> None:
    assert " ".join(roff.filled(roff.prose(text, ["VOLUME"]))) == source


def test_a_code_span_is_not_broken_and_a_dot_is_no_request() -> None:
    lines = list(roff.filled(roff.prose(f"{'word ' * 14}`a b` .profile {'word ' * 11}'quoted'")))
    assert any(line.endswith(r"\fBa b\fR") or line.startswith(r"\fBa b\fR") for line in lines)
    assert not any(line.startswith((".", "'")) for line in lines)
    assert list(roff.tagged([(".volward", "")])) == [".TP", r"\&.volward", r"\&"]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("-o, --output FILE", r"\fB\-o\fR, \fB\-\-output\fR \fIFILE\fR"),
        ("volward open [VOLUMES]...", r"\fBvolward\fR \fBopen\fR [\fIVOLUMES\fR]..."),
        ("--provider [tpm2|vault]", r"\fB\-\-provider\fR [\fBtpm2\fR|\fBvault\fR]"),
    ],
)
def test_usage(text: str, source: str) -> None:
    assert roff.usage(text) == source


def test_a_heading_and_an_example() -> None:
    assert roff.subheading("Day to day") == '.SS "Day to day"'
    assert roff.subheading("Keys") == ".SS Keys"
    assert list(roff.example(".a 'b'\n\n--c"))[3:-2] == [r"\&.a \(aqb\(aq", "", r"\-\-c"]
