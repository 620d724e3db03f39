"""Writes the manual pages from the command line itself: volward(1), a page a command, and volward.toml(5).

python -m docs.reference.manual DIRECTORY

The Debian package does this when it is built; the pages are in no checkout. What a command says about itself comes
from its help, exit statuses from volward.exit_status, keys from the configuration's schema, files from files.md.
"""

import datetime
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from docs.reference import roff, settings
from docs.reference.generate import STATUS_MEANINGS

from volward import __version__
from volward.cli import main as cli

HERE = Path(__file__).parent
_COMMANDS_MANUAL, _FORMATS_MANUAL = "User Commands", "File Formats Manual"

DESCRIPTION = """\
volward keeps the data directories of PostgreSQL, Redis, Qdrant, or any other, on encrypted LUKS2 volumes. It formats, \
opens and mounts the volumes, keeps their unlocking keys in Vault or sealed with the host's TPM, rotates them, opens \
the volumes at boot without a person, and starts no database on a directory that is not the encrypted one.

A device is formatted only when it is proven blank, never because a name or a link says so. No single failure, power \
cut or half-done run leaves a volume that its owner cannot open. Running any command again is safe: what is done is \
not done again, and what was cut short is finished.

Most commands need root. What volward does is recorded in the journal: `journalctl SYSLOG_IDENTIFIER=volward`."""

EXIT_STATUS = """\
An error says what happened and what to do, with a code that `volward explain` knows."""

EXAMPLE = """\
volward init --output /etc/volward/volward.toml   # a proposal for this host
volward check                                     # is it right?
volward plan                                      # what would be done, and why
volward apply                                     # shows it again, asks, does it
volward status
"""

TOML = """\
[defaults]
keys = ["credential", "tpm2"]

[volumes.pgdata]
device = "/dev/disk/by-id/nvme-EXAMPLE_SERIAL"
store = "postgres"
mount_point = "/srv/volward/pgdata"
consumers = ["postgresql@17-main.service"]

[volumes.notes]
device = "file:/var/lib/volward/images/notes.img"
size = "1 GiB"
store = "directory"
mount_point = "/srv/volward/notes"
"""

# Pages of others, by command; "" is volward(1).
_ELSEWHERE = {
    "": ("cryptsetup(8)", "systemd.mount(5)"),
    "apply": ("systemd-creds(1)", "systemd-cryptenroll(1)"),
    "export": ("crypttab(5)", "systemd-cryptsetup(8)"),
    "header": ("cryptsetup-luksHeaderRestore(8)",),
    "key": ("cryptsetup-open(8)",),
    "rotate": ("cryptsetup-reencrypt(8)",),
}


@dataclass(frozen=True)
class File:
    """A row of files.md: where it is, what it is, and which commands make it."""

    path: str
    what: str
    made_by: str


def pages(date: str) -> Iterator[tuple[str, str]]:
    """Yield each page's file name and source. ``date`` stands in their footers."""
    root = click.Context(cli.volward, info_name="volward", **cli.volward.context_settings)
    yield "volward.1", _text(_volward(root), "volward", 1, date)
    for section in cli.COMMANDS.values():
        for name, (_, line) in section.items():
            command = cli.volward.get_command(root, name)
            if command is None:
                raise KeyError(name)
            page = f"volward-{name}"
            yield f"{page}.1", _text(_command(click.Context(command, root, name), line), page, 1, date)
    yield "volward.toml.5", _text(_configuration(), "volward.toml", 5, date)


def files() -> tuple[File, ...]:
    """Return the rows of files.md."""
    table = re.findall(r"^\| (/.+?) \| (.+?) \| (.+?) \|$", (HERE / "files.md").read_text(), re.MULTILINE)
    return tuple(File(*row) for row in table)


def _text(body: Iterable[str], name: str, section: int, date: str) -> str:
    manual = _COMMANDS_MANUAL if section == 1 else _FORMATS_MANUAL
    note = r".\" Written by docs/reference/manual.py; what it says comes from the program itself."
    first = roff.title(name, section, date=date, version=__version__, manual=manual)
    return "\n".join([note, first, *body]) + "\n"


def _name(page: str, line: str) -> Iterator[str]:
    yield roff.heading("NAME")
    # "file \- what it is": this form is what mandb(8) looks for.
    yield rf"{roff.literal(page)} \- {roff.literal(line[:1].lower() + line[1:].rstrip('.'))}"


def _volward(root: click.Context) -> Iterator[str]:
    yield from _name("volward", inspect.cleandoc(cli.volward.help or "").split("\n")[0])
    yield roff.heading("SYNOPSIS")
    yield roff.usage("volward [--config DIR] COMMAND [ARGUMENTS]")
    yield roff.heading("DESCRIPTION")
    yield from roff.paragraphs(DESCRIPTION)
    yield roff.heading("COMMANDS")
    yield "Each has a page of its own."
    for title, section in cli.COMMANDS.items():
        yield roff.subheading(title)
        yield from roff.tagged((_page(f"volward-{name}(1)"), roff.prose(line)) for name, (_, line) in section.items())
    yield from _options(root)
    yield roff.heading("EXIT STATUS")
    yield from roff.paragraphs(EXIT_STATUS)
    yield from roff.tagged(
        (roff.bold(str(int(one))), roff.prose(text)) for one, text in sorted(STATUS_MEANINGS.items())
    )
    yield from _files(files())
    yield roff.heading("EXAMPLES")
    yield "From nothing to encrypted volumes that open at each boot:"
    yield from roff.example(EXAMPLE)
    names = (name for section in cli.COMMANDS.values() for name in section)
    yield from _see_also(["volward.toml(5)", *(f"volward-{name}(1)" for name in names), *_ELSEWHERE[""]])


def _command(context: click.Context, line: str) -> Iterator[str]:
    """Yield the page of a command, or of a group with all its commands."""
    name = str(context.info_name)
    inner = [context] if not isinstance(context.command, click.Group) else list(_below(context))
    yield from _name(f"volward-{name}", line)
    yield roff.heading("SYNOPSIS")
    for number, one in enumerate(inner):
        yield from (".br",) if number else ()
        yield _usage(one)
    yield roff.heading("DESCRIPTION")
    description, status = _help(context)
    yield from roff.paragraphs(description, _arguments(context))
    if inner == [context]:
        yield from _options(context)
    else:
        yield roff.heading("COMMANDS")
        for one in inner:
            text, its_status = _help(one)
            status += [f"`{one.info_name}`: {said}" for said in its_status]
            yield roff.subheading(_usage(one))
            yield from roff.paragraphs(text, _arguments(one))
            yield from roff.tagged(_option_entries(one))
    yield roff.heading("EXIT STATUS")
    yield from roff.paragraphs("\n\n".join(status) or "0 when it was done.")
    yield from roff.paragraphs("volward(1) lists the others.", first=False)
    mine = re.compile(rf"`volward {name}\b|every ")
    yield from _files(file for file in files() if file.made_by == "you" or mine.search(file.made_by))
    beside = next(section for section in cli.COMMANDS.values() if name in section)
    others = [f"volward-{other}(1)" for other in beside if other != name]
    yield from _see_also(["volward(1)", "volward.toml(5)", *others, *_ELSEWHERE.get(name, ())])


def _below(context: click.Context) -> Iterator[click.Context]:
    group = context.command
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None and not command.hidden:
                yield click.Context(command, context, name)


def _help(context: click.Context) -> tuple[str, list[str]]:
    """Return what a command's help says, and apart from that what it says about its exit status."""
    text = inspect.cleandoc(context.command.help or "").replace("\b\n", "")
    parts = text.split("\n\n")
    status = [part.partition(":")[2].strip() for part in parts if part.startswith("Exit status:")]
    rest = [part for part in parts if not part.startswith("Exit status:")]
    return "\n\n".join(rest), status


def _arguments(context: click.Context) -> list[str]:
    arguments = (one for one in context.command.params if isinstance(one, click.Argument))
    # Older versions of click make the metavar without a context, so it is taken from where all of them put it.
    pieces = (piece for one in arguments for piece in one.get_usage_pieces(context))
    return [re.sub(r"[^A-Z_]", "", piece) for piece in pieces]


def _usage(context: click.Context) -> str:
    return roff.usage(" ".join((context.command_path, *context.command.collect_usage_pieces(context))))


def _options(context: click.Context) -> Iterator[str]:
    yield roff.heading("OPTIONS")
    yield from roff.tagged(_option_entries(context))


def _option_entries(context: click.Context) -> Iterator[tuple[str, str]]:
    for option in context.command.get_params(context):
        record = option.get_help_record(context) if isinstance(option, click.Option) else None
        if record:
            words, text = record
            if "--help" in words.split(", "):
                text = "Show a short help and exit."
            # click shows a default in brackets, and a range with it.
            yield roff.usage(words), roff.prose(re.sub(r"\s*\[default: ([^;\]]+)[^\]]*\]$", r" Default: \1.", text))


def _configuration() -> Iterator[str]:
    yield from _name("volward.toml", "Configuration of volward")
    yield roff.heading("SYNOPSIS")
    yield from (r"\fI/etc/volward/volward.toml\fR", ".br", r"\fI/etc/volward/volward.d/*.toml\fR")
    yield roff.heading("DESCRIPTION")
    yield from roff.paragraphs(
        "A TOML file that says which volumes the host has. Files in volward.d are read after it, in the order of "
        "their names; no volume and no setting may be in two of them. Unknown keys are errors. `volward check` lists "
        "every problem at once, and `volward config schema` prints the JSON Schema for editors.\n\n"
        "`[defaults]` takes every key of a volume that is marked with *; a volume's own value wins."
    )
    for section in settings.sections():
        yield roff.heading(roff.literal(section.title.replace('"', "") + (" *" if section.common else "")))
        yield from roff.paragraphs(section.description)
        yield from roff.tagged(_setting(one) for one in section.settings)
    yield roff.heading("EXAMPLES")
    yield "A disk for PostgreSQL, and a file on the root disk:"
    yield from roff.example(TOML)
    yield from _see_also(["volward(1)", "volward-check(1)", "volward-config(1)", "volward-init(1)"])


def _setting(one: settings.Setting) -> tuple[str, str]:
    # Sentences that the schema leaves open are closed before another follows.
    text = one.text if one.text.endswith((".", "…", "")) else f"{one.text}."
    more = " Required." if one.required else f" Default: `{one.default}`." if one.default else ""
    return roff.bold(one.key) + (" *" if one.common else ""), roff.prose((text + more).strip())


def _files(rows: Iterable[File]) -> Iterator[str]:
    entries = [(roff.italic(row.path), roff.prose(f"{row.what[:1].upper()}{row.what[1:]}.")) for row in rows]
    if entries:
        yield roff.heading("FILES")
        yield from roff.tagged(entries)


def _page(reference: str) -> str:
    name, _, section = reference.partition("(")
    return f"{roff.bold(name)}({section}"


def _see_also(references: Sequence[str]) -> Iterator[str]:
    yield roff.heading("SEE ALSO")
    yield from roff.filled(", ".join(map(_page, references)))


def main() -> int:
    """Write all pages; their date is SOURCE_DATE_EPOCH's where that is set, so that a build can be repeated."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    for name, text in pages(f"{now:%Y-%m-%d}"):
        (directory / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
