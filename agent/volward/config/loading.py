"""From /etc/volward to a Configuration: read, merge, validate, and list every problem at once."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from volward.config import advice, files, relations, rules, translate, values, vault_rules
from volward.config.problem import FieldError, Problem, as_error
from volward.config.relations import Claim
from volward.config.vault import VaultConfig
from volward.config.volume import Common, Configuration, HeaderBackupConfig, VolumeConfig

DEFAULT_ROOT = Path("/etc/volward")
# Settings that have no meaning for a scratch volume are not handed down to it from [defaults].
_NOT_FOR_SCRATCH = ("keys", "tpm2", "credential", "recovery", "vault", "rotation", "on_denied")
# Stands in for a required setting that is wrong, so that the other settings are examined all the same.
_STAND_IN: Mapping[str, object] = {"device": "/dev/disk/by-id/stand-in", "store": "directory"}


@dataclass(frozen=True)
class Examination:
    """What `volward check` shows: the configuration if it is right, and all problems and warnings."""

    configuration: Configuration | None
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def load(root: Path = DEFAULT_ROOT) -> Configuration:
    """Return the configuration below ``root``.

    Raises ConfigurationError that lists every problem with its file, dotted path and a suggestion.
    """
    examination = examine(root)
    if examination.configuration is None:
        raise as_error(examination.problems)
    return examination.configuration


def examine(root: Path = DEFAULT_ROOT, *, dev: Path = Path("/dev")) -> Examination:
    """Look at every file, every volume and every pair of volumes, and raise nothing."""
    merged = files.read(root)
    problems = list(merged.problems)
    defaults, usable = _defaults(merged, problems)
    server = _server(merged, problems)
    volumes: dict[str, VolumeConfig] = {}
    claims = []
    for name, written in merged.volumes.items():
        found = list(_name_problem(name))
        table = _with_defaults(written, usable)
        volume, wrong = _volume(name, table, found)
        if volume is not None:
            own = frozenset(written) if isinstance(written, Mapping) else frozenset()
            subject = rules.Subject(name, volume, own, dev, has_server=bool(merged.vault))
            found += [
                (f"volumes.{name}.{setting}", (what, suggestion))
                for setting, what, suggestion in rules.broken(subject, wrong=wrong)
            ]
            volumes[name] = volume
        claims.append(_claim(name, table, volume))
        problems += [
            Problem(_file(merged, name, path, written), path, what, suggestion) for path, (what, suggestion) in found
        ]
    problems += [
        Problem(merged.file_of("volumes", name), f"volumes.{name}.{setting}", what, suggestion)
        for name, setting, what, suggestion in relations.conflicts(claims)
    ]
    header_backup = _header_backup(merged, claims, problems)
    if problems:
        return Examination(None, tuple(problems), ())
    configuration = Configuration(defaults=defaults, vault=server, volumes=volumes, header_backup=header_backup)
    return Examination(configuration, (), advice.warnings(configuration))


def _defaults(merged: files.Merged, problems: list[Problem]) -> tuple[Common, dict[str, object]]:
    """Validate [defaults] by itself; what is wrong there is reported once and handed down to no volume."""
    try:
        return Common.model_validate(merged.defaults), merged.defaults
    except ValidationError as error:
        wrong = {str(detail["loc"][0]) for detail in error.errors()}
        for path, (what, suggestion) in translate.problems_of(error, ("defaults",)):
            key = path.removeprefix("defaults.").partition(".")[0].partition("[")[0]
            problems.append(Problem(merged.file_of("defaults", key), path, what, suggestion))
        return Common(), {key: value for key, value in merged.defaults.items() if key not in wrong}


def _server(merged: files.Merged, problems: list[Problem]) -> VaultConfig | None:
    """Validate [vault]; None when there is none, or when it is wrong."""
    if not merged.vault:
        return None
    found: list[tuple[str, translate.Words]] = []
    server = None
    try:
        server = VaultConfig.model_validate(merged.vault)
    except ValidationError as error:
        found = translate.problems_of(error, ("vault",))
    else:
        found = [(f"vault.{setting}", (what, advice)) for setting, what, advice in vault_rules.broken(server)]
    for path, (what, suggestion) in found:
        key = path.removeprefix("vault.").partition(".")[0].partition("[")[0]
        problems.append(Problem(merged.file_of("vault", key), path, what, suggestion))
    return server


def _header_backup(merged: files.Merged, claims: list[Claim], problems: list[Problem]) -> HeaderBackupConfig:
    """Validate [header_backup]; a directory on a volume would be away when its backup is needed."""

    def problem(path: str, what: str, suggestion: str) -> Problem:
        key = path.removeprefix("header_backup.").partition(".")[0]
        return Problem(merged.file_of("header_backup", key), path, what, suggestion)

    try:
        found = HeaderBackupConfig.model_validate(merged.header_backup)
    except ValidationError as error:
        wrong = translate.problems_of(error, ("header_backup",))
        problems += [problem(path, what, suggestion) for path, (what, suggestion) in wrong]
        return HeaderBackupConfig()
    for claim in claims:
        if claim.mount_point is not None and found.directory.is_relative_to(claim.mount_point):
            what = f"is {found.directory}, which is on volume {claim.volume}: away when a header has to be restored."
            problems.append(problem("header_backup.directory", what, "Choose a directory that is on no volume."))
    return found


def _with_defaults(written: object, defaults: Mapping[str, object]) -> object:
    """Lay a volume's table over the defaults; sub-tables are merged key by key, everything else replaces."""
    if not isinstance(written, Mapping):
        return written
    store = written.get("store")
    kind = store.get("kind") if isinstance(store, Mapping) else store
    table = {key: value for key, value in defaults.items() if kind != "scratch" or key not in _NOT_FOR_SCRATCH}
    for key, value in written.items():
        below = table.get(key)
        table[key] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return table


def _name_problem(name: str) -> Iterator[tuple[str, translate.Words]]:
    if values.VOLUME_NAME.fullmatch(name) is None:
        plain = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in name.lower()).strip("-")
        plain = plain.lstrip("0123456789-")[:48] or "data"
        yield (
            f"volumes.{name}",
            (
                "is not a name for a volume: at most 48 small letters, digits and dashes, a letter first.",
                f"For example [volumes.{plain}].",
            ),
        )


def _volume(
    name: str, table: object, found: list[tuple[str, translate.Words]]
) -> tuple[VolumeConfig | None, frozenset[str]]:
    """Validate a volume; if settings are wrong, return it without them, and which they are."""
    try:
        return VolumeConfig.model_validate(table), frozenset()
    except ValidationError as error:
        found += translate.problems_of(error, ("volumes", name))
        wrong = frozenset(str(detail["loc"][0]) for detail in error.errors() if detail["loc"])
    if not isinstance(table, Mapping):
        return None, wrong
    rest = {key: value for key, value in table.items() if key not in wrong}
    rest |= {key: value for key, value in _STAND_IN.items() if key in wrong}
    return VolumeConfig.model_validate(rest), wrong


def _claim(name: str, table: object, volume: VolumeConfig | None) -> Claim:
    """Say what a volume takes, also when other settings of it are wrong."""
    device = mount_point = None
    key_path = None if volume is None else vault_rules.key_path(name, volume)
    if isinstance(table, Mapping):
        with contextlib.suppress(FieldError):
            device = values.parse_device(table.get("device"))
        with contextlib.suppress(FieldError):
            mount_point = values.parse_mount_point(table.get("mount_point"))
    return Claim(name, device, mount_point, key_path)


def _file(merged: files.Merged, name: str, path: str, written: object) -> Path:
    """Return the file to mend: the volume's own, unless the setting came from [defaults] alone."""
    setting = path.removeprefix(f"volumes.{name}.").partition(".")[0].partition("[")[0]
    if isinstance(written, Mapping) and setting not in written and setting in merged.defaults:
        return merged.file_of("defaults", setting)
    return merged.file_of("volumes", name)
