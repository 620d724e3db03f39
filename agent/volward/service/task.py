"""What daemon and worker tell each other: one JSON object a line, on the worker's standard input and output.

The worker begins with the volumes of the configuration (``Watched``, and ``Loaded`` at their end), or with why it has
none (``Problems``). Then it reads one ``Task``, and answers with how each volume of the pass ended (``Ended``). Without
a task (end of file) it leaves. Pure.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Task:
    """What one pass is for: volumes to open and to see to the consumers of, and volumes whose device is gone.

    Of volumes that somebody else opened, only the consumers are seen to.
    """

    open: tuple[str, ...] = ()
    release: tuple[str, ...] = ()  # their mapping stands on nothing: unmount and close it
    revive: tuple[str, ...] = ()  # opened by somebody: start who waited for them
    lost_usec: dict[str, int] = dataclasses.field(default_factory=dict)  # of `release`: when (CLOCK_MONOTONIC)
    renew: bool = False  # the tokens of logins that cannot be repeated
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
    leased_from: str = ""  # the server of a token that has to be renewed
    closed_by_hand: bool = False  # in this boot, and not opened since


@dataclass(frozen=True)
class Loaded:
    """All volumes of the configuration were told."""

    kind: ClassVar[str] = "loaded"


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


@dataclass(frozen=True)
class Again:
    """Who waits for an open volume could not be seen to: it is to be tried again."""

    kind: ClassVar[str] = "again"
    name: str


@dataclass(frozen=True)
class Lease:
    """How renewing the token for a server ended; without an error it lives for so long (None: it never ends)."""

    kind: ClassVar[str] = "lease"
    server: str
    seconds: float | None = None
    error: str = ""


Answer = Watched | Loaded | Problems | Ended | Again | Lease
_ANSWERS = {one.kind: one for one in (Watched, Loaded, Problems, Ended, Again, Lease)}


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
    return {name: _tuples(value) for name, value in fields.items()}


def _tuples(value: Any) -> Any:
    """JSON has lists where the records have tuples."""
    if isinstance(value, dict):
        return {name: _tuples(inner) for name, inner in value.items()}
    return tuple(value) if isinstance(value, list) else value
