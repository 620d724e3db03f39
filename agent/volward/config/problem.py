"""A problem in the configuration: where it is, what is wrong, and what to write instead. Pure."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from volward.errors import ConfigurationError


class FieldError(ValueError):
    """A value is wrong: ``what`` completes the sentence that begins with the key, ``suggestion`` mends it."""

    def __init__(self, what: str, suggestion: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.suggestion = suggestion


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. ``path`` is dotted (``volumes.pgdata.size``) and may be empty."""

    file: Path
    path: str
    what: str
    suggestion: str = ""

    def __str__(self) -> str:
        sentence = self.what
        if self.path:
            sentence = f"{self.path}{' ' if self.what[:1].islower() else ': '}{self.what}"
        lines = [str(self.file), sentence, *([self.suggestion] if self.suggestion else [])]
        return "\n".join(lines).replace("\n", "\n   ")


def near(word: str, known: Iterable[str]) -> str:
    """Return the known word that ``word`` was probably meant to be, or ''."""
    lowered = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else ""


def listed(words: Sequence[str], last: str = "and") -> str:
    """Join words as in a sentence: 'a, b and c'."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def as_error(problems: Sequence[Problem]) -> ConfigurationError:
    """Return the error that lists all problems, numbered."""
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    numbered = (f"{number}. {problem}" for number, problem in enumerate(problems, 1))
    return ConfigurationError(
        f"The configuration has {count}:\n" + "\n".join(numbered),
        resolution="Mend what is listed above, then run `volward check`. Nothing on the host was touched.",
    )
