"""What every command gets: where the configuration is, the volumes in it, and how to print.

The configuration is read when a command first asks for it, and pydantic imported with it; rich only when a
table is drawn on a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from volward.errors import UnknownVolumeError, VolwardError

if TYPE_CHECKING:
    from volward.config import Configuration
    from volward.model import VolumeSpec


@dataclass(frozen=True)
class Context:
    """The global options of one run; ``root`` is the configuration directory."""

    root: Path

    @cached_property
    def configuration(self) -> Configuration:
        """The configuration; raises ConfigurationError with all its problems."""
        from volward import config

        return config.load(self.root)

    @cached_property
    def specs(self) -> dict[str, VolumeSpec]:
        """The volumes by name, in the order of the configuration."""
        from volward import stores

        return stores.specs(self.configuration)

    @cached_property
    def kept_specs(self) -> dict[str, VolumeSpec]:
        """The same, as they were kept when this very configuration was last found valid; see volward.compiled."""
        from volward import compiled

        found = compiled.read(self.root)
        if found is None:
            made_from = self._digest()
            found = self.specs
            if made_from and made_from == self._digest():
                compiled.write(made_from, found)
        return found

    def _digest(self) -> str:
        from volward import compiled

        try:
            return compiled.digest(self.root)
        except OSError:
            return ""  # loading says what is wrong

    def spec(self, name: str) -> VolumeSpec:
        """Return one volume. Raises UnknownVolumeError, with the name that was probably meant."""
        return self._named(name, self.specs)

    def _named(self, name: str, specs: dict[str, VolumeSpec]) -> VolumeSpec:
        if name in specs:
            return specs[name]
        import difflib

        near = difflib.get_close_matches(name, specs, n=1)
        known = ", ".join(specs) or "none"
        raise UnknownVolumeError(
            f'There is no volume "{name}" in {self.root}.',
            resolution=f'Did you mean "{near[0]}"?' if near else f"The volumes are: {known}.",
        )

    def select(self, names: Iterable[str], *, kept: bool = False) -> tuple[VolumeSpec, ...]:
        """Return the named volumes, each once; all of them when no name is given.

        ``kept`` is for commands that run often and change nothing that the configuration is to forbid.
        """
        specs = self.kept_specs if kept else self.specs
        wanted = tuple(dict.fromkeys(names))
        return tuple(self._named(name, specs) for name in wanted) if wanted else tuple(specs.values())

    @property
    def is_terminal(self) -> bool:
        """Whether a person can be asked: standard input and output are both a terminal."""
        return sys.stdin.isatty() and sys.stdout.isatty()

    def print(self, text: str = "") -> None:
        """Write a result to standard output."""
        click.echo(text)

    def note(self, text: str) -> None:
        """Write a remark to standard error, so that it never mixes with a result."""
        click.echo(text, err=True)

    def failure(self, error: VolwardError, *, about: str) -> None:
        """Write the error of one volume to standard error, as the command line writes its own."""
        from volward.cli import failure

        self.note(failure.text(error, about=about))

    def json(self, value: object) -> None:
        """Write a result as JSON; paths become texts, tuples lists."""
        import json

        click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))

    def table(
        self, headings: Sequence[str], rows: Iterable[Sequence[str]], *, styles: Mapping[str, str] | None = None
    ) -> None:
        """Write a table: drawn by rich on a terminal, aligned columns of plain text otherwise.

        ``styles`` are rich's, by the text of a cell; colour never says what the text does not.
        """
        content = [[str(cell) for cell in row] for row in rows]
        if sys.stdout.isatty():
            _draw(headings, content, styles or {})
            return
        widths = [max(map(len, column)) for column in zip(headings, *content, strict=True)]
        for row in (headings, *content):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo("  ".join(cells).rstrip())


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def _draw(headings: Sequence[str], rows: Iterable[Sequence[str]], styles: Mapping[str, str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    Console().print(table)


pass_context = click.make_pass_decorator(Context)
