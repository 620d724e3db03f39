"""Text of this project (Markdown's code spans, options, names in capitals) as man(7) source, for groff and mandoc.

Only paragraphs, tagged paragraphs and headings are used: they look right everywhere, and mandoc -Tlint is content.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator

_WIDTH = 76  # of the source; mandoc -Tlint wants less than 80
_ESCAPES = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", "…": r"\&..."}
_IN_PROSE = {**_ESCAPES, "-": "-", "'": "'"}
# A code span, an option, or a reference to another page.
_MARKED = re.compile(
    r"`(?P<code>[^`]+)`|(?<![\w`-])(?P<option>--?[a-z][a-z-]*)|(?P<page>\b[a-z][\w.-]+)(?P<section>\([1-8]\))"
)
_GAP = "\x00"  # a space where a line may not be broken


def literal(text: str) -> str:
    """Return text that can be copied out of the page as it is: hyphens stay ASCII's."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def bold(text: str) -> str:
    return rf"\fB{literal(text)}\fR"


def italic(text: str) -> str:
    return rf"\fI{literal(text)}\fR"


def usage(text: str) -> str:
    """Return a usage line or an option's words: literal words bold, names to fill in (capitals) italic."""
    parts = re.split(r"([A-Z][A-Z_]*(?![a-z])|[^\w/.-]+)", text)
    return "".join(_usage_part(part) for part in parts if part)


def _usage_part(part: str) -> str:
    if re.fullmatch(r"[A-Z][A-Z_]*", part):
        return italic(part)
    return bold(part) if re.search(r"\w", part) else literal(part)


def prose(text: str, names: Iterable[str] = ()) -> str:
    """Return running text: code spans and options bold, the ``names`` of arguments italic."""
    marked, end = [], 0
    for match in _MARKED.finditer(text):
        marked.append(_plain(text[end : match.start()], names))
        if match["page"]:
            marked.append(bold(match["page"]) + match["section"])
        else:
            marked.append(bold(match["code"] or match["option"]).replace(" ", _GAP))
        end = match.end()
    return "".join([*marked, _plain(text[end:], names)])


def _plain(text: str, names: Iterable[str]) -> str:
    escaped = "".join(_IN_PROSE.get(character, character) for character in text)
    for name in names:
        escaped = re.sub(rf"\b{name}\b", lambda match: rf"\fI{match[0]}\fR", escaped)
    return escaped


def filled(marked: str) -> Iterator[str]:
    """Yield marked text in short source lines, none of which looks like a request."""
    lines = textwrap.wrap(" ".join(marked.split(" ")), _WIDTH, break_on_hyphens=False, break_long_words=False)
    for line in lines:
        yield (r"\&" if line[0] in ".'" else "") + line.replace(_GAP, " ")


def title(name: str, section: int, *, date: str, version: str, manual: str) -> str:
    """Return the first line of a page (man(7), TH)."""
    return f'.TH {literal(name.upper())} {section} {date} "volward {version}" "{manual}"'


def heading(text: str) -> str:
    return f".SH {text}"


def subheading(marked: str) -> str:
    """Return a heading below a heading; ``marked`` has its fonts already."""
    return f'.SS "{marked}"'.replace(r"\fR", r"\fP") if " " in marked else f".SS {marked}"


def paragraphs(text: str, names: Iterable[str] = (), *, first: bool = True) -> Iterator[str]:
    """Yield text whose paragraphs are separated by empty lines; the ``first`` one follows a heading."""
    for number, paragraph in enumerate(filter(None, re.split(r"\n\s*\n", text))):
        if number or not first:
            yield ".PP"
        yield from filled(prose(" ".join(paragraph.split()), names))


def tagged(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a list of terms, each with its text below it; both are marked already."""
    for term, text in entries:
        yield from (".TP", (r"\&" if term[0] in ".'" else "") + term)
        yield from filled(text) if text else (r"\&",)


def example(text: str) -> Iterator[str]:
    """Yield lines that are shown as they stand (man(7), EX)."""
    yield from (".PP", ".in +4n", ".EX")
    yield from ((r"\&" if line[:1] in (".", "'") else "") + literal(line) for line in text.rstrip().splitlines())
    yield from (".EE", ".in")
