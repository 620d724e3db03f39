"""`volward`: the table of commands, the global options, and the boundary where errors become exit statuses.

A command's module is imported when the command runs. `volward --help` imports click and this file alone;
tests/bench holds it to 1.5 times a bare click program. Owns no host commands.
"""

import contextlib
import importlib
import os
import re
import resource
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from volward import __version__
from volward.errors import VolwardError
from volward.exit_status import ExitStatus

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

DEFAULT_ROOT = Path("/etc/volward")
_BROKEN_PIPE_STATUS = 141  # what a shell shows for a program ended by SIGPIPE

# Section -> command -> (module:attribute, one line for `volward --help`).
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Set up": {
        "init": ("volward.cli.init:init", "Write a configuration that fits this host."),
        "check": ("volward.cli.check:check", "Check the configuration and list every problem."),
        "plan": ("volward.cli.plan:plan", "Show what would be done, and why."),
        "apply": ("volward.cli.apply:apply", "Bring the volumes to what the configuration says."),
    },
    "Day to day": {
        "status": ("volward.cli.status:status", "Show the volumes and everything below them."),
        "open": ("volward.cli.open:open_", "Open and mount volumes."),
        "preflight": ("volward.cli.preflight:preflight", "Prove that the next boot needs no person."),
        "holders": ("volward.cli.holders:holders", "Name what uses volumes."),
        "reload": ("volward.cli.reload:reload", "Have the daemon read the configuration again."),
        "close": ("volward.cli.close:close", "Unmount and close volumes; name what still uses them."),
    },
    "Keys": {
        "rotate": ("volward.cli.rotate:rotate", "Give volumes a new key; retire the old one."),
        "key": ("volward.cli.key:key", "Export and test the keys of volumes."),
        "recovery": ("volward.cli.recovery:recovery", "Make, confirm and test recovery keys."),
        "vault": ("volward.cli.vault:vault", "Print what a Vault server has to allow this host."),
        "header": ("volward.cli.header:header", "Back up, verify, restore and repair the headers of volumes."),
    },
    "When something is wrong": {
        "explain": ("volward.cli.explain:explain", "Explain an error code."),
        "journal": ("volward.cli.journal:journal", "Show operations and how far they came."),
        "resume": ("volward.cli.resume:resume", "Finish an operation that was cut short."),
        "abort": ("volward.cli.resume:abort", "Give up an operation that was cut short."),
        "repin": ("volward.cli.repin:repin", "Accept that a volume's device was changed."),
    },
    "More": {
        "config": ("volward.cli.config:config", "Print the JSON Schema of the configuration."),
        "export": ("volward.cli.export:export", "Write volumes down for other tools (crypttab)."),
        "system": ("volward.cli.system:system", "Install, remove and show volward's own units."),
    },
}

# What units start, and nobody types.
HIDDEN = {"service": "volward.cli.service:service"}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines, and imports a command when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        shown = next((section[cmd_name][0] for section in COMMANDS.values() if cmd_name in section), None)
        target = shown or HIDDEN.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """Complete the commands from the table; click would import each of them for its help line."""
        from click.shell_completion import CompletionItem

        lines = {name: line for section in COMMANDS.values() for name, (_, line) in section.items()}
        found = [CompletionItem(name, help=line) for name, line in lines.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and name not in HIDDEN and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, known, n=1)
            advice = f"Did you mean `volward {near[0]}`?" if near else "`volward --help` lists the commands."
            ctx.fail(f"There is no command `{name}`. {advice}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(len(name) for section in COMMANDS.values() for name in section)
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in section.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_ROOT,
    show_default=True,
    metavar="DIR",
    help="Where volward.toml and volward.d/ are.",
)
@click.version_option(__version__, prog_name="volward")
@click.pass_context
def volward(ctx: click.Context, root: Path) -> None:
    """Keep the data directories of databases on LUKS2 volumes.

    volward formats only what is proven blank, and never lets a volume depend on a single key.
    """
    from volward.cli.context import Context

    ctx.obj = Context(root)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; every error leaves with its own status."""
    _forbid_core_dumps()
    _leave_in_order()
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        result = volward.main(
            args=None if arguments is None else list(arguments), prog_name="volward", standalone_mode=False
        )
        sys.stdout.flush()
    except VolwardError as error:
        from volward.cli import failure

        _say(failure.text(error))
        return int(error.exit_status)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("volward: interrupted. What was done so far is kept; the same command goes on from there.")
        return int(ExitStatus.INTERRUPTED)
    except (BrokenPipeError, SystemExit) as left:  # SystemExit is click's way to leave when the pipe broke
        if isinstance(left, SystemExit) and left.code == 0:  # and after it has answered the shell's completion
            return 0
        _forget_output()
        return _BROKEN_PIPE_STATUS
    except Exception as error:  # noqa: BLE001 (the boundary: a bug keeps its traceback and gets a status)
        _say(_bug(error))
        return int(ExitStatus.BUG)
    return result if isinstance(result, int) else 0


def _bug(error: Exception) -> str:
    """Return the traceback (files, lines, source; never the values of variables) and a sentence."""
    import traceback

    lines = traceback.TracebackException.from_exception(error, capture_locals=False).format()
    return (
        "".join(_redacted(lines)) + f"volward: this is a bug in volward ({type(error).__name__}); it stopped at once.\n"
        "  `volward status` shows what is there now. Please report the lines above.\n"
        "  (VW0900, `volward explain VW0900`)"
    )


# A message may quote what a library was given. Keys are random, so as text they are long runs of these.
_SECRET_LOOKING = re.compile(
    r"[A-Za-z0-9+=_]{24,}|(?:\\x[0-9a-f]{2}|\\[0-7abfnrtv]){4,}|(?:[0-9A-Z]{5}-){3,}[0-9A-Z]{5}"
)


def _redacted(lines: Iterable[str]) -> Iterable[str]:
    """Hide in the messages what could be a key; the frames (file, line, source) stay as they are."""
    for line in lines:
        yield line if line.startswith("  File ") else _SECRET_LOOKING.sub("***", line)


def _say(text: str) -> None:
    """Write to standard error; a reader that went away is no reason to fail once more."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _forget_output() -> None:
    """Let the interpreter's last flush go nowhere; otherwise it complains about the broken pipe again."""
    null = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _leave_in_order() -> None:
    """Let SIGTERM and a closed terminal end volward as Ctrl-C does: keys are wiped, files and locks put away.

    Where a step must not be cut, cli/interruption.py takes over. A signal that is ignored (nohup(1)) stays so.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _forbid_core_dumps() -> None:
    """Keep keys out of core files; a limit of 0 does not stop a piped core_pattern, 1 does (core(5))."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, hard))


if __name__ == "__main__":
    main()
