"""The configuration's tables and keys, read out of its JSON Schema, for configuration.md and volward.toml(5)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from volward import config

_OF_A_VOLUME = {
    "cipher": "CipherConfig",
    "credential": "CredentialConfig",
    "tpm2": "Tpm2Config",
    "recovery": "RecoveryConfig",
    "vault": "VaultKeyConfig",
    "rotation": "RotationConfig",
}
_OF_THE_HOST = {"vault": "VaultConfig", "vault.login": "VaultLoginConfig", "header_backup": "HeaderBackupConfig"}


@dataclass(frozen=True)
class Setting:
    """One key. ``common``: [defaults] takes it as well; ``default`` is empty where there is none to show."""

    key: str
    default: str
    text: str
    required: bool
    common: bool


@dataclass(frozen=True)
class Section:
    """One table of the file, such as ``[volumes.NAME.cipher]``; ``common``: it may stand below [defaults] as well."""

    title: str
    description: str
    settings: tuple[Setting, ...]
    common: bool = False


def sections() -> Iterator[Section]:
    """Yield all tables, in the order in which a reader needs them."""
    definitions: Mapping[str, Any] = config.json_schema()["$defs"]  # type: ignore[assignment]
    volume = tuple(_settings(definitions["VolumeConfig"], set(definitions["Common"]["properties"])))
    yield Section("[volumes.NAME]", "", volume)
    for key, name in _OF_A_VOLUME.items():
        yield _section(f"[volumes.NAME.{key}]", definitions[name], common=True)
    for key, name in _OF_THE_HOST.items():
        yield _section(f"[{key}]", definitions[name])
    for name in sorted(definition for definition in definitions if definition.endswith("Store")):
        kind = definitions[name]["properties"]["kind"].get("const", name)
        yield _section(f'store = {{ kind = "{kind}", … }}', definitions[name])


def _section(title: str, definition: Mapping[str, Any], *, common: bool = False) -> Section:
    return Section(title, definition.get("description", ""), tuple(_settings(definition, set())), common)


def _settings(definition: Mapping[str, Any], common: set[str]) -> Iterator[Setting]:
    for key, entry in definition["properties"].items():
        if key == "kind" or isinstance(entry.get("default"), dict) or (set(entry) <= {"$ref", "examples"}):
            continue  # the tables have sections of their own
        default = entry.get("default")
        default = f'"{default:04o}"' if key == "mode" and isinstance(default, int) else default
        text = " ".join(str(entry.get("description", "")).split())
        yield Setting(key, _shown(default), text, key in definition.get("required", ()), key in common)


def _shown(default: object) -> str:
    if default in (None, ""):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)
