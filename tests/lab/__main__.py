"""The lab by hand: python3 -m tests.lab tools | build | vault | deb | shell | run | status | figures | clean."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from tests.lab import availability, cache, deb, figures, image, install_tools, layer, machine, recipe
from tests.lab.errors import LabError, LabUnavailableError
from tests.lab.host import MIB, Host
from tests.lab.progress import say
from tests.lab.vault import binary

WELCOME = """\
A fresh Debian host with volward in it. Two blank disks are plugged in:
    {first}
    {second}
Nothing you do here lasts: the host is gone when you leave (Ctrl-D). `volward --help` is a start.
"""


def main() -> int:
    arguments = _parser().parse_args()
    try:
        status: int = arguments.action(arguments)
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except KeyboardInterrupt:
        say("")
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("tools", help="install what the lab needs on this machine").set_defaults(action=_tools)
    commands.add_parser("build", help="build whatever is missing").set_defaults(action=_build)
    commands.add_parser("vault", help="build the Vault server of the tests, if it is missing").set_defaults(
        action=_vault
    )
    commands.add_parser("deb", help="build the Debian package into dist/").set_defaults(action=_deb)
    commands.add_parser("shell", help="a shell in a fresh host with two blank disks").set_defaults(action=_shell)
    run = commands.add_parser("run", help="run one command in a fresh host with two blank disks")
    run.add_argument("command", nargs="+", metavar="-- COMMAND")
    run.set_defaults(action=_run)
    commands.add_parser("status", help="what is built, and what it takes up").set_defaults(action=_status)
    commands.add_parser("figures", help="how long the lab's steps take here").set_defaults(action=_figures)
    clean = commands.add_parser("clean", help="remove machines that were left behind, and old layers")
    clean.add_argument("--all", action="store_true", help="remove the whole cache: the next build starts anew")
    clean.set_defaults(action=_clean)
    return parser


def _tools(_: argparse.Namespace) -> int:
    return install_tools.main()


def _build(_: argparse.Namespace) -> int:
    availability.check()
    if layer.is_current():
        say("The lab is built, for this very checkout.")
        return 0
    say("Building the lab: a virtual Debian host. The first time takes three minutes.")
    started = time.monotonic()
    layer.ensure()
    say(f"The lab is ready ({time.monotonic() - started:.0f} s). A fresh host now starts in about a second.")
    return 0


def _vault(_: argparse.Namespace) -> int:
    install_tools.install(install_tools.missing_for_vault())
    say(f"Vault server: {binary.ensure()}.")
    return 0


def _deb(_: argparse.Namespace) -> int:
    install_tools.install(install_tools.missing_for_deb())
    package = deb.ensure()
    say(f"{package.lintian}")
    target = recipe.CHECKOUT / "dist" / package.path.name
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(package.path, target)
    print(target)
    return 0


def _fresh_host() -> Host:
    availability.check()
    return Host(*layer.ensure())


def _shell(_: argparse.Namespace) -> int:
    host = _fresh_host()
    try:
        first, second = (host.disk(f"SPARE-{number}", 512 * MIB).link for number in (1, 2))
        say(WELCOME.format(first=first, second=second))
        host.machine.ssh.interactive()
    finally:
        host.close()
    return 0


def _run(arguments: argparse.Namespace) -> int:
    host = _fresh_host()
    try:
        for number in (1, 2):
            host.disk(f"SPARE-{number}", 512 * MIB)
        result = host.run(*arguments.command, ok=None, timeout=3600)
    finally:
        host.close()
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    return result.status


def _status(_: argparse.Namespace) -> int:
    try:
        availability.check()
        say("This machine can run the lab.")
    except LabUnavailableError as reason:
        say(f"This machine cannot run the lab: {reason}")
    try:
        image.find()
        say("The image is built" + (", and volward in it is this checkout's." if layer.is_current() else "."))
    except LabUnavailableError as reason:
        say(str(reason))
    try:
        say(f"Vault server: {binary.find()}.")
    except LabUnavailableError as reason:
        say(str(reason))
    for kind in sorted(cache.root().glob("*")):
        entries = list(kind.iterdir()) if kind.is_dir() else []
        used = sum(file.stat().st_blocks * 512 for file in kind.rglob("*") if file.is_file())
        say(f"  {kind.name:10} {len(entries):4} entries {used // MIB:7} MiB")
    say(f"The cache is {cache.root()}")
    return 0


def _figures(_: argparse.Namespace) -> int:
    availability.check()
    figures.show(*layer.ensure())
    return 0


def _clean(arguments: argparse.Namespace) -> int:
    gone: list[Path] = machine.sweep()
    if arguments.all:
        if cache.root().exists() and any((cache.root() / "machines").glob("m-*")):
            raise LabError("machines are running, or were kept for inspection: end them first")
        shutil.rmtree(cache.root(), ignore_errors=True)
        say(f"Removed {cache.root()}")
        return 0
    for kind in ("agent", "booted", "image", "wheels", "debian", "deb", "deb-root", binary.KIND):
        gone += cache.prune(kind, keep=1)
    say(f"Removed {len(gone)} directories.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
