"""Writes commands.md, errors.md and configuration.md from the code itself; `--check` only compares (a unit test does).

python -m docs.reference.generate
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from docs.reference import settings

from volward.cli import main as cli
from volward.errors import every_error
from volward.exit_status import ExitStatus

HERE = Path(__file__).parent

STATUS_MEANINGS = {
    ExitStatus.DONE: "done, or nothing to do",
    ExitStatus.COMMAND_LINE: "the command line is wrong",
    ExitStatus.CHANGES_PENDING: "`volward plan --detailed-exitcode`: there is something to do",
    ExitStatus.DAMAGED_HEADER: "a LUKS2 header is damaged or wrong",
    ExitStatus.NOT_FOUND: "a device or key was not found",
    ExitStatus.PROVIDER_UNAVAILABLE: "no key provider could be reached, or not the daemon; may pass",
    ExitStatus.BUG: "a bug in volward",
    ExitStatus.TOOL_FAILED: "a host tool failed, or a file system is full",
    ExitStatus.TOOL_MISSING: "a host tool is missing or too old, or the kernel has no device mapper",
    ExitStatus.WOULD_DESTROY: "refused: it would have destroyed data",
    ExitStatus.BUSY: "busy or locked; try again",
    ExitStatus.VERIFICATION_FAILED: "done, but a fresh look disagrees",
    ExitStatus.DENIED: "not privileged, a key was denied or rejected",
    ExitStatus.CONFIGURATION: "the configuration has problems",
    ExitStatus.INTERRUPTED: "interrupted; run it again to go on",
}


def commands() -> str:
    """Return the reference of the command line."""
    lines = [
        "# Commands",
        "",
        "`volward [--config DIR] COMMAND`, as root. `--config` names the directory of volward.toml and volward.d/",
        "(default: /etc/volward). What a command ends with is in [errors.md](errors.md). Running any command again is",
        "safe. All have `--help`.",
    ]
    root = click.Context(cli.volward, info_name="volward")
    for title, section in cli.COMMANDS.items():
        lines += ["", f"## {title}"]
        for name in section:
            lines += _command(cli.volward, name, root)
    return "\n".join(lines).rstrip() + "\n"


def _command(group: click.Group, name: str, parent: click.Context) -> Iterator[str]:
    command = group.get_command(parent, name)
    if command is None:
        raise KeyError(name)
    context = click.Context(command, parent, name)
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    yield from ("", f"### `{usage}`", "")
    # Without the mark that keeps click from filling a paragraph.
    yield inspect.cleandoc(command.help or "").replace("\b\n", "")
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _command(command, inner, context)
        return
    records = [record for option in command.get_params(context) if (record := option.get_help_record(context))]
    rows = [(words.replace("|", r"\|"), text) for words, text in records if text and "--help" not in words]
    if rows:
        yield from ("", "| Option | What it does |", "|---|---|")
        yield from (f"| `{words}` | {' '.join(text.split())} |" for words, text in rows)


def errors() -> str:
    """Return the reference of exit statuses and error codes."""
    lines = [
        "# Exit statuses and error codes",
        "",
        "Statuses are in the range of sysexits(3), by which systemd names them.",
        "",
    ]
    lines += ["| Status | Meaning |", "|---|---|"]
    lines += [f"| {int(status)} | {STATUS_MEANINGS[status]} |" for status in sorted(ExitStatus)]
    lines += ["", "`volward explain CODE` prints these texts.", ""]
    for code, kind in every_error().items():
        lines += [f"## {code} (status {int(kind.exit_status)})", "", inspect.cleandoc(kind.__doc__ or ""), ""]
    return "\n".join(lines).rstrip() + "\n"


def configuration() -> str:
    """Return the reference of the configuration's keys."""
    lines = [
        "# Configuration",
        "",
        "`/etc/volward/volward.toml`, then `/etc/volward/volward.d/*.toml` in the order of their names. Unknown keys",
        "are errors. `volward check` lists every problem at once; `volward config schema` prints its JSON Schema.",
        "",
        "`[defaults]` takes every key of a volume that is marked with *; a volume's own value wins.",
    ]
    for section in settings.sections():
        lines += ["", f"## `{section.title}`{' *' if section.common else ''}", ""]
        lines += [section.description, ""] if section.description else []
        lines += ["| Key | Default | What it is |", "|---|---|---|"]
        for one in section.settings:
            default = "required" if one.required else f"`{one.default}`" if one.default else ""
            lines.append(f"| `{one.key}`{' *' if one.common else ''} | {default} | {one.text} |")
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    wanted = {
        HERE / "commands.md": commands(),
        HERE / "errors.md": errors(),
        HERE / "configuration.md": configuration(),
    }
    if "--check" in sys.argv:
        stale = [path.name for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        print(f"stale: {', '.join(stale)}" if stale else "the reference is current")
        return 1 if stale else 0
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
