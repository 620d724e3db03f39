"""Lines of /etc/crypttab: every field that crypttab(5) wants, and a remark in place of a line that could not work."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import SPEC

from volward.model import ProviderKind, StoreKind, VolumeSpec
from volward.report import crypttab

UUID = "5d0c2a1e-0d0e-4b43-9b6e-111111111111"
VAULT, TPM2, CREDENTIAL = ProviderKind.VAULT, ProviderKind.TPM2, ProviderKind.CREDENTIAL
SOCKET = "/run/volward/key.sock"


def line(spec: VolumeSpec) -> str:
    (found,) = crypttab.lines([spec], {spec.name: UUID})
    return found


@pytest.mark.parametrize(
    ("providers", "key_file", "options"),
    [
        ((CREDENTIAL,), SOCKET, "luks,nofail"),
        ((CREDENTIAL, TPM2), SOCKET, "luks,nofail"),
        ((VAULT, TPM2), SOCKET, "luks,nofail,_netdev"),
        ((TPM2,), "none", "luks,nofail,tpm2-device=auto"),
        ((ProviderKind.PROMPT,), "none", "luks,nofail"),
    ],
)
def test_who_gives_the_key(providers: tuple[ProviderKind, ...], key_file: str, options: str) -> None:
    spec = replace(SPEC, providers=providers)
    assert line(spec).split() == [spec.mapping_name, f"UUID={UUID}", key_file, options]


def test_discard_and_a_file() -> None:
    spec = replace(SPEC, providers=(CREDENTIAL,), discard=True, is_file=True, device=Path("/var/lib/volward/a.img"))
    assert line(spec).split() == [spec.mapping_name, "/var/lib/volward/a.img", SOCKET, "luks,nofail,discard"]


def test_what_gets_no_line() -> None:
    scratch = replace(SPEC, name="tmp", store=StoreKind.SCRATCH)
    found = list(crypttab.lines([scratch, SPEC], {}))
    assert len(found) == 2
    assert all(one.startswith("# ") for one in found)
    assert f"`volward apply {SPEC.name}`" in found[1]
