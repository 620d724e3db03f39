"""What daemon and worker tell each other: one JSON object a line, on the worker's standard input and output.

The worker reads one ``Task`` and answers with the volumes of the configuration (``Watched``), or with why it has none
(``Problems``), and then with how each volume of the pass ended (``Ended``). Pure.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Task:
    """What one pass is for: volumes to open and to see to the consumers of, and volumes whose device is gone.

    Without either the worker reads the configuration and leaves.
    """

    open: tuple[str, ...] = ()
    release: tuple[str, ...] = ()  # their mapping stands on nothing: unmount and close it
    lost_usec: dict[str, int] = dataclasses.field(default_factory=dict)  # when it was lost (CLOCK_MONOTONIC), by volume
    deadline_seconds: float = 30.0  # how long a provider that is unreachable is tried


@dataclass(frozen=True)
class Watched:
    """What the daemon has to know of a volume."""

    kind: ClassVar[str] = "volume"
    name: str
    device: str  # as the configuration names it: a link, or the path of a file
    mapping: str
    mount_point: str  # "" for swap
    is_file: bool = False
    scratch: bool = False
    consumers: tuple[str, ...] = ()
    opens: bool = True  # at boot, and whenever its device or its key appears


@dataclass(frozen=True)
class Problems:
    """Why there is no configuration; what the daemon knew before stays."""

    kind: ClassVar[str] = "problems"
    text: str


@dataclass(frozen=True)
class Ended:
    """How a pass ended for one volume; without a code it is open, or released."""

    kind: ClassVar[str] = "ended"
    name: str
    opened_by: str = ""
    degraded: tuple[str, ...] = ()
    started: tuple[str, ...] = ()  # consumers that waited for it
    code: str = ""
    error: str = ""
    resolution: str = ""
    needs_a_person: bool = False
    away: bool = False  # the device is not there


Answer = Watched | Problems | Ended
_ANSWERS = {one.kind: one for one in (Watched, Problems, Ended)}


def line(what: Task | Answer) -> bytes:
    """Return the line of a task or an answer."""
    kind = {"kind": what.kind} if not isinstance(what, Task) else {}
    return json.dumps({**kind, **dataclasses.asdict(what)}).encode() + b"\n"


def read_task(text: bytes) -> Task:
    """Return the task of a line. Raises ValueError."""
    try:
        return Task(**_frozen(_fields(text)))
    except TypeError as error:
        raise ValueError(f"no task of the daemon: {error}") from error


def read_answer(text: bytes) -> Answer:
    """Return the answer of a line. Raises ValueError for one that is none."""
    fields = _fields(text)
    try:
        return _ANSWERS[fields.pop("kind")](**_frozen(fields))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no answer of a worker: {error}") from error


def _fields(text: bytes) -> dict[str, Any]:
    fields = json.loads(text)
    if isinstance(fields, dict):
        return fields
    raise ValueError("not a JSON object")


def _frozen(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
