"""The records of service/live.py as JSON, and back. Pure.

What comes from the other end of a socket is looked at field by field: it may be of another version.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NoReturn

from volward.service.live import Failure, LiveStatus, LiveVolume, Pass, Reloaded


def as_json(record: LiveStatus | Reloaded) -> dict[str, object]:
    """Return the record as JSON has it. A field that is None is left out, as in varlink."""
    return _plain(dataclasses.asdict(record))


def status_from_json(found: Mapping[str, object]) -> LiveStatus:
    """Return the record. Fields that are not known here are left alone, so that a newer daemon is understood.

    Raises ValueError when it is no such record.
    """
    try:
        last_pass, volumes = found.get("last_pass"), _records(found.get("volumes", ()))
        return LiveStatus(
            revision=_whole(found["revision"]),
            version=_text(found["version"]),
            started_at=_moment(found["started_at"]),
            configured_at=_perhaps(found.get("configured_at")),
            problems=_texts(found.get("problems", ())),
            last_pass=None if last_pass is None else _pass(_record(last_pass)),
            volumes=tuple(map(_volume, volumes)),
        )
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from error


def reloaded_from_json(found: Mapping[str, object]) -> Reloaded:
    """Return the record. Raises ValueError when it is none."""
    good = found.get("good")
    if not isinstance(good, bool):
        _refuse("good is no yes or no")
    return Reloaded(good, _texts(found.get("problems", ())))


def _volume(found: Mapping[str, object]) -> LiveVolume:
    failure = found.get("failure")
    return LiveVolume(
        name=_text(found["name"]),
        state=_text(found["state"]),
        since=_moment(found["since"]),
        mount_point=_text(found.get("mount_point", "")),
        opened_by=_text(found.get("opened_by", "")),
        degraded=_texts(found.get("degraded", ())),
        waits_for=_text(found.get("waits_for", "")),
        last_try=_perhaps(found.get("last_try")),
        next_try=_perhaps(found.get("next_try")),
        failure=None if failure is None else _failure(_record(failure)),
        consumers_waiting=_texts(found.get("consumers_waiting", ())),
    )


def _failure(found: Mapping[str, object]) -> Failure:
    return Failure(_text(found["code"]), _text(found["what"]), _text(found["resolution"]))


def _pass(found: Mapping[str, object]) -> Pass:
    return Pass(_moment(found["begun_at"]), _perhaps(found.get("ended_at")), _texts(found.get("volumes", ())))


def _plain(record: Mapping[str, object]) -> dict[str, object]:
    """Return the fields without those that are None, at every depth."""
    return {key: _value(value) for key, value in record.items() if value is not None}


def _value(value: object) -> object:
    if isinstance(value, dict):
        return _plain(value)
    return [_value(one) for one in value] if isinstance(value, list | tuple) else value


def _record(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        _refuse("a record is none")
    return value


def _records(value: object) -> tuple[Mapping[str, object], ...]:
    return tuple(map(_record, _list(value)))


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        _refuse("a list is none")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        _refuse("a text is none")
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(_text, _list(value)))


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse("a whole number is none")
    return value


def _moment(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse("a time is none")
    return float(value)


def _perhaps(value: object) -> float | None:
    return None if value is None else _moment(value)


def _refuse(what: str) -> NoReturn:
    raise ValueError(what)
