"""Reading volward.toml and volward.d/*.toml into one table that remembers which file said what."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from volward.config.problem import Problem, near

MAIN_FILE = "volward.toml"
DROP_IN_DIRECTORY = "volward.d"
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_TOP_LEVEL = ("defaults", "volumes", "vault", "header_backup")


@dataclass
class Merged:
    """The tables of all files together; ``origin`` names the file of each volume and each other setting."""

    main: Path
    defaults: dict[str, object] = field(default_factory=dict)
    volumes: dict[str, object] = field(default_factory=dict)
    vault: dict[str, object] = field(default_factory=dict)
    header_backup: dict[str, object] = field(default_factory=dict)
    origin: dict[tuple[str, str], Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def file_of(self, table: str, key: str) -> Path:
        return self.origin.get((table, key), self.main)

    def put(self, table: str, key: str, content: object, path: Path) -> None:
        """Take one volume or setting; a second definition is a problem that names both files."""
        earlier = self.origin.get((table, key))
        if earlier is not None:
            what, advice = ("volume", ", or rename one") if table == "volumes" else ("setting", "")
            self.problems.append(
                Problem(
                    path,
                    f"{table}.{key}",
                    f"The {what} is already defined in {earlier}.",
                    f"Keep one of the two{advice}.",
                )
            )
            return
        self.origin[table, key] = path
        tables = {
            "volumes": self.volumes,
            "defaults": self.defaults,
            "vault": self.vault,
            "header_backup": self.header_backup,
        }
        tables[table][key] = content


def read(root: Path) -> Merged:
    """Read all files of ``root``, in the order of their names, each of them even if an earlier one is broken."""
    merged = Merged(root / MAIN_FILE)
    paths = list(_paths(root, merged))
    for path in paths:
        table = _table(path, merged)
        if table is not None:
            _merge(table, path, merged)
    if not paths and not merged.problems:
        merged.problems.append(
            Problem(
                merged.main,
                "",
                "There is no configuration.",
                f"`volward init --output {merged.main}` writes one for this host.",
            )
        )
    return merged


def _paths(root: Path, merged: Merged) -> Iterator[Path]:
    """Yield the files that are there; what cannot be looked at is a problem, not an absence."""
    directory = root / DROP_IN_DIRECTORY
    try:
        if merged.main.exists():
            yield merged.main
        if directory.exists():
            yield from sorted(path for path in directory.iterdir() if path.suffix == ".toml")
    except OSError as error:
        merged.problems.append(_unreadable(Path(error.filename or root), error))


def _unreadable(path: Path, error: OSError) -> Problem:
    advice = "Run the command with sudo." if isinstance(error, PermissionError) else ""
    return Problem(path, "", f"It cannot be read: {error.strerror}.", advice)


def _table(path: Path, merged: Merged) -> dict[str, object] | None:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        merged.problems.append(_unreadable(path, error))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        merged.problems.append(Problem(path, f"line {line}", "It is not written in UTF-8.", "Save the file as UTF-8."))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        merged.problems.append(_syntax(path, error))
    return None


def _syntax(path: Path, error: Exception) -> Problem:
    """Say where the file stops being TOML; the rest of it is not understood then."""
    said = str(error)
    position = _POSITION.search(said)
    place = ""
    if position:
        said = said[: position.start()]
        place = f"line {position[1]}, column {position[2]}" if position[1] else "end of the file"
    advice = "Texts stand in quotes, a table's name in [brackets], and each setting on a line of its own."
    if "twice" in said or "overwrite" in said:
        advice = "Each table and each key stands in the file once."
    return Problem(path, place, f"The file is not valid TOML: {said[:200]}.", advice)


def _merge(table: Mapping[str, object], path: Path, merged: Merged) -> None:
    for name, value in table.items():
        if name not in _TOP_LEVEL:
            merged.problems.append(_unknown_table(name, value, path))
        elif not isinstance(value, dict):
            advice = f"Write [{name}] on a line of its own."
            merged.problems.append(Problem(path, name, "must be a table.", advice))
        else:
            for key, content in value.items():
                merged.put(name, key, content, path)


def _unknown_table(name: str, value: object, path: Path) -> Problem:
    meant = near(name, _TOP_LEVEL)
    if meant:
        advice = f"Did you mean [{meant}]?"
    elif isinstance(value, dict) and {"device", "store", "mount_point"} & set(value):
        advice = f"If it is a volume, write [volumes.{name}]."
    else:
        advice = "A file has the tables [volumes.NAME], [defaults], [vault] and [header_backup]."
    return Problem(path, name, "is not a setting that volward knows.", advice)
