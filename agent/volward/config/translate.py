"""From what pydantic says to what a person reads: a dotted path, a sentence and a suggestion. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from volward.config.problem import FieldError, listed, near
from volward.config.store import KINDS
from volward.config.volume import Configuration

Words = tuple[str, str]  # what is wrong, and what to write instead
Location = Sequence[int | str]

_WRONG_TYPE = {
    "bool_type": ("must be true or false, without quotes.", ""),
    "int_type": ("must be a whole number, without quotes.", ""),
    "string_type": ("must be a text in quotes.", ""),
    "tuple_type": ("must be a list.", 'For example ["…"].'),
    "dict_type": ("must be a table.", ""),
    "model_type": ("must be a table.", ""),
    "model_attributes_type": (
        "must be a table, or for `store` the name of a store.",
        'For example store = "postgres".',
    ),
}
_MISSING = {
    "device": 'Add device = "/dev/disk/by-id/…", or "file:/path" with a size. `volward init` lists the disks.',
    "address": 'Add address = "https://vault.example.com:8200".',
    "login": "Add [vault.login] with its method; `volward vault policy` prints the commands for the server.",
    "store": f'Add store = "…": one of {listed(KINDS, "or")}.',
}
_LEFT_OUT = "Leave it out to get the default."


def problems_of(error: ValidationError, start: Location) -> list[tuple[str, Words]]:
    """Return (dotted path, (what, suggestion)) for each error; ``start`` is where the validated table stands."""
    details = error.errors(include_url=False)
    broken_lists = {detail["loc"][:-1] for detail in details}
    return [
        _one(dict(detail), start)
        for detail in details
        # Wrong entries are dropped before pydantic counts, so it calls their list too short as well.
        if not (detail["type"] == "too_short" and detail["loc"] in broken_lists)
    ]


def _one(detail: dict[str, Any], start: Location) -> tuple[str, Words]:
    location = (*start, *detail["loc"])
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, FieldError):
        words: Words = (cause.what, cause.suggestion)
    elif kind in _WRONG_TYPE:
        what, suggestion = _WRONG_TYPE[kind]
        words = (what, suggestion or _LEFT_OUT)
    elif kind == "missing":
        words = ("is missing.", _MISSING.get(str(location[-1]), ""))
    elif kind == "extra_forbidden":
        words = _unknown_key(location)
    elif kind in ("enum", "literal_error", "union_tag_invalid", "union_tag_not_found"):
        words = _unknown_value(kind, value, context, location)
    elif kind in ("greater_than_equal", "less_than_equal"):
        bound = context.get("ge", context.get("le"))
        words = (f"is {value}; it must be {'at least' if 'ge' in context else 'at most'} {bound}.", _LEFT_OUT)
    elif kind == "too_short":
        words = ("is empty.", "Name at least one, or leave it out to get the default.")
    elif kind == "string_pattern_mismatch":
        words = (f'is "{value}", which has not the form that is expected here.', _LEFT_OUT)
    else:
        words = (f"is not right: {detail['msg']}.", "")
    return dotted(location), words


def _unknown_value(kind: str, value: object, context: Mapping[str, Any], location: Location) -> Words:
    if kind.startswith("union_tag"):
        value = value.get("kind", "") if isinstance(value, Mapping) else value
        known: Sequence[str] = KINDS
    else:
        known = _split(str(context["expected"]))
    if location[-2:-1] == ("keys",):
        known = [word for word in known if word != "recovery"]
    meant = near(str(value), known) or next((word for word in known if word.startswith(f"{value}-")), "")
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return (
        f"is {shown}, which is not one of {listed(known)}.",
        f'Did you mean "{meant}"?' if meant else "",
    )


def _split(expected: str) -> list[str]:
    """Take pydantic's "'a', 'b' or 512" apart; a cipher's name may hold a comma, but never a space."""
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]


def _unknown_key(location: Location) -> Words:
    known = tuple(known_keys(location[:-1]))
    meant = near(str(location[-1]), known)
    if meant:
        return "is not a setting that volward knows.", f"Did you mean `{meant}`?"
    elsewhere = _where(str(location[-1]))
    if elsewhere:
        return "is not a setting of this table.", f"It belongs into {elsewhere}."
    return "is not a setting that volward knows.", f"Known here: {listed(known)}." if known else ""


def _where(key: str) -> str:
    """Name the table of a volume that has this key, such as 'pcrs' in [volumes.NAME.tpm2]."""
    tables = [
        f"[volumes.NAME.{name}]"
        for name in ("cipher", "tpm2", "credential", "recovery", "vault", "rotation")
        if key in known_keys(("volumes", "NAME", name))
    ]
    tables += [f"[{'.'.join(table)}]" for table in (("vault",), ("vault", "login")) if key in known_keys(table)]
    in_store = [kind for kind in KINDS if key in known_keys(("volumes", "NAME", "store", kind))]
    if in_store:
        tables.append(f'`store = {{ kind = "{in_store[0]}", {key} = … }}`')
    return listed(tables, "or")


def known_keys(location: Location) -> tuple[str, ...]:
    """Return the keys of the table at ``location`` (with pydantic's tag behind `store`)."""
    table: Any = Configuration
    for step in location:
        if isinstance(table, type) and issubclass(table, BaseModel):
            field = table.model_fields.get(str(step))
            if field is None:
                return ()
            table = _without_none(field.annotation)
        else:
            table = _inside(table, step)
    return tuple(table.model_fields) if isinstance(table, type) and issubclass(table, BaseModel) else ()


def _without_none(annotation: Any) -> Any:
    """Take a table that may be left out (`VaultConfig | None`) for the table."""
    kinds = [part for part in get_args(annotation) if part is not type(None)]
    is_one_table = len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], BaseModel)
    return kinds[0] if is_one_table else annotation


def _inside(table: Any, step: int | str) -> Any:
    """Step into dict[name, Table] by any name, and into a union of stores by its kind."""
    arguments = get_args(table)
    models = [part for part in arguments if isinstance(part, type) and issubclass(part, BaseModel)]
    for model in models:
        kind = model.model_fields.get("kind")
        if kind is not None and kind.default == step:
            return model
    return models[-1] if models else None


def dotted(location: Location) -> str:
    """Write a location as TOML would: 'volumes.pgdata.consumers[1]'; pydantic's store tag is left out."""
    path = ""
    for index, step in enumerate(location):
        if isinstance(step, int):
            path += f"[{step}]"
        elif not (index >= 1 and location[index - 1] == "store" and step in KINDS):
            path += f".{step}" if path else step
    return path
