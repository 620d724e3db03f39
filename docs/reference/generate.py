"""Writes commands.md, errors.md and configuration.md from the code itself; `--check` only compares (a unit test does).

python docs/reference/generate.py
"""

import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from volward import config
from volward.cli import main as cli
from volward.errors import every_error
from volward.exit_status import ExitStatus

HERE = Path(__file__).parent

_STATUS_MEANINGS = {
    ExitStatus.DONE: "done, or nothing to do",
    ExitStatus.COMMAND_LINE: "the command line is wrong",
    ExitStatus.CHANGES_PENDING: "`volward plan --detailed-exitcode`: there is something to do",
    ExitStatus.DAMAGED_HEADER: "a LUKS2 header is damaged or wrong",
    ExitStatus.NOT_FOUND: "a device or key was not found",
    ExitStatus.PROVIDER_UNAVAILABLE: "no key provider could be reached; may pass",
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
    lines += [f"| {int(status)} | {_STATUS_MEANINGS[status]} |" for status in sorted(ExitStatus)]
    lines += ["", "`volward explain CODE` prints these texts.", ""]
    for code, kind in every_error().items():
        lines += [f"## {code} (status {int(kind.exit_status)})", "", inspect.cleandoc(kind.__doc__ or ""), ""]
    return "\n".join(lines).rstrip() + "\n"


def configuration() -> str:
    """Return the reference of the configuration's keys."""
    schema = config.json_schema()
    definitions: Mapping[str, Any] = schema["$defs"]
    lines = [
        "# Configuration",
        "",
        "`/etc/volward/volward.toml`, then `/etc/volward/volward.d/*.toml` in the order of their names. Unknown keys",
        "are errors. `volward check` lists every problem at once; `volward config schema` prints its JSON Schema.",
        "",
        "`[defaults]` takes every key of a volume that is marked with *; a volume's own value wins.",
        "",
        "## `[volumes.NAME]`",
        "",
        "| Key | Default | What it is |",
        "|---|---|---|",
    ]
    common = set(definitions["Common"]["properties"])
    lines += list(_rows(definitions["VolumeConfig"], common))
    for title, name in (
        ("cipher", "CipherConfig"),
        ("credential", "CredentialConfig"),
        ("tpm2", "Tpm2Config"),
        ("recovery", "RecoveryConfig"),
        ("vault", "VaultKeyConfig"),
        ("rotation", "RotationConfig"),
    ):
        lines += ["", f"## `[volumes.NAME.{title}]` *", "", definitions[name].get("description", ""), ""]
        lines += ["| Key | Default | What it is |", "|---|---|---|", *_rows(definitions[name], set())]
    for title, name in (("vault", "VaultConfig"), ("vault.login", "VaultLoginConfig")):
        lines += ["", f"## `[{title}]`", "", definitions[name].get("description", ""), ""]
        lines += ["| Key | Default | What it is |", "|---|---|---|", *_rows(definitions[name], set())]
    lines += ["", "## `[header_backup]`", "", definitions["HeaderBackupConfig"].get("description", ""), ""]
    lines += ["| Key | Default | What it is |", "|---|---|---|", *_rows(definitions["HeaderBackupConfig"], set())]
    for name in sorted(definition for definition in definitions if definition.endswith("Store")):
        kind = definitions[name]["properties"]["kind"].get("const", name)
        lines += ["", f'## `store = {{ kind = "{kind}", … }}`', "", definitions[name].get("description", ""), ""]
        lines += ["| Key | Default | What it is |", "|---|---|---|", *_rows(definitions[name], set())]
    return "\n".join(lines).rstrip() + "\n"


def _rows(definition: Mapping[str, Any], marked: set[str]) -> Iterator[str]:
    for key, entry in definition["properties"].items():
        if key == "kind" or isinstance(entry.get("default"), dict) or (set(entry) <= {"$ref", "examples"}):
            continue  # the tables have sections of their own
        default = entry.get("default")
        default = f'"{default:04o}"' if key == "mode" and isinstance(default, int) else default
        shown = "required" if key in definition.get("required", ()) else _shown(default)
        text = " ".join(str(entry.get("description", "")).split())
        yield f"| `{key}`{' *' if key in marked else ''} | {shown} | {text} |"


def _shown(default: object) -> str:
    if default in (None, "") or isinstance(default, dict):
        return ""
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"


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
