"""Runs in the virtual host: says of each volume what is on its disk and who has a key to it.

Standard input: {"volumes": [name], "keys": path of the escrow whose recovery keys are tried, or null}. Prints
{volume: {...}} with digests of keys, never the keys. A key opens a volume here when stock cryptsetup says so.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from volward import journal, stores
from volward.config import load
from volward.host import cryptsetup
from volward.keys.credential import CredentialSource
from volward.keys.providers import Providers
from volward.model import ProviderKind, VolumeSpec
from volward.secret import SecretBytes

DEADLINE_SECONDS = 60.0


def main() -> None:
    order = json.load(sys.stdin)
    specs = stores.specs(load(Path("/etc/volward")))
    escrow: dict[str, list[bytes]] = {}
    path = Path(order["keys"]) if order["keys"] else None
    for line in path.read_bytes().splitlines() if path and path.exists() else ():
        name, _, key = line.partition(b" ")
        escrow.setdefault(name.decode(), []).append(key)
    records = journal.every()
    with Providers() as providers, ThreadPoolExecutor(2) as pool:
        seen = pool.map(lambda name: _look(specs[name], escrow.get(name, []), records, providers), order["volumes"])
        print(json.dumps(dict(zip(order["volumes"], seen, strict=True))))


def _look(
    spec: VolumeSpec, escrow: list[bytes], records: Sequence[journal.Record], providers: Providers
) -> dict[str, Any]:
    credential = CredentialSource().path(CredentialSource().first_ref(spec.name))
    seen: dict[str, Any] = {
        "credential": hashlib.sha256(credential.read_bytes()).hexdigest() if credential.exists() else None,
        "header": _header(spec.device),
        "opened_by": [],
        "stored": {},  # by version: the keyslots that the key in the store opens
        "recovery_opens": [],
        "journal": [
            {"steps_begun": r.steps_begun, "steps_done": r.steps_done, "outcome": r.outcome, "verb": r.verb}
            for r in records
            if r.volume == spec.name
        ],
        "data": None,
        "leftovers": [str(p) for p in spec.device.parent.glob(f".{spec.device.name}.*")] if spec.is_file else [],
    }
    slots = [int(number) for number in seen["header"]["keyslots"]] if seen["header"] else []
    fast = [n for n in slots if n not in _argon2(seen["header"])]
    in_vault = ProviderKind.VAULT in spec.providers
    source = providers.source(ProviderKind.VAULT if in_vault else ProviderKind.CREDENTIAL, spec)
    for ref in reversed(source.refs(spec.name, deadline_seconds=DEADLINE_SECONDS) if slots else ()):
        with source.read(ref, deadline_seconds=DEADLINE_SECONDS) as key:
            seen["stored"][str(ref.version)] = [n for n in fast if _opens(spec.device, key, n)]
    seen["opened_by"] = seen["stored"].get("1", [])
    for text in escrow:
        with SecretBytes(text) as key:
            seen["recovery_opens"] += [n for n in _argon2(seen["header"]) if _opens(spec.device, key, n)]
    data = spec.mount_point / "canary" if spec.mount_point else None
    if data and data.exists():
        seen["data"] = data.read_text()
    return seen


def _argon2(found: dict[str, Any] | None) -> list[int]:
    return [int(number) for number, kdf in found["keyslots"].items() if kdf["type"] == "argon2id"] if found else []


def _opens(device: Path, key: SecretBytes, keyslot: int) -> bool:
    return cryptsetup.test_key(device, key, keyslot=keyslot)


def _header(device: Path) -> dict[str, Any] | None:
    """What stock cryptsetup says; the digest tells one luksFormat from the next, since each makes a new volume key."""
    words = ["cryptsetup", "luksDump", "--dump-json-metadata", str(device)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    dump = json.loads(done.stdout)
    uuid = subprocess.run(["cryptsetup", "luksUUID", str(device)], capture_output=True, text=True, check=True)
    return {
        "uuid": uuid.stdout.strip(),
        "digest": dump["digests"]["0"]["digest"],
        "keyslots": {number: one["kdf"] for number, one in dump["keyslots"].items()},
        "tokens": [_token(token) for token in dump["tokens"].values()],
    }


def _token(token: dict[str, Any]) -> dict[str, Any]:
    own = token.get("volward", {})
    return {
        "type": token["type"],
        "keyslots": token["keyslots"],
        "provider": own.get("provider"),
        "version": own.get("key_version"),
        "retired": own.get("retired"),
    }


if __name__ == "__main__":
    main()
