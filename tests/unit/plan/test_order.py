"""Which volume has to be open before which."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import FILE_SPEC, SPEC

from volward.model import ProviderKind, VaultKeep, VaultPlace, VolumeSpec
from volward.model.vault import VaultLogin, VaultLoginMethod, VaultServer
from volward.plan.order import Need, circle, of_configuration, sentence

ADDRESS = "https://127.0.0.1:8200"
SERVER = VaultServer(ADDRESS, VaultLogin(VaultLoginMethod.APPROLE))
HERE = frozenset({ADDRESS})
VAULT, CREDENTIAL, PROMPT = ProviderKind.VAULT, ProviderKind.CREDENTIAL, ProviderKind.PROMPT


def volume(name: str, *keys: ProviderKind, consumers: tuple[str, ...] = (), file: str = "") -> VolumeSpec:
    base = replace(FILE_SPEC, device=Path(file)) if file else SPEC
    place = VaultPlace(SERVER, VaultKeep.KV) if VAULT in keys else None
    return replace(
        base, name=name, mount_point=Path("/srv") / name, providers=keys, consumers=consumers, vault=place
    )  # fmt: skip


OWN = volume("own", VAULT, PROMPT, consumers=("vault.service",))


@pytest.mark.parametrize(
    ("specs", "servers", "members"),
    [
        ([OWN], HERE, "own"),
        ([OWN], frozenset(), ""),
        ([replace(OWN, providers=(VAULT, CREDENTIAL))], HERE, ""),
        ([replace(OWN, consumers=())], HERE, ""),
        ([volume("own", CREDENTIAL, consumers=("openbao.service",)), volume("data", VAULT)], HERE, ""),
        (
            [
                volume("own", CREDENTIAL, consumers=("vault.service",), file="/srv/data/vault.img"),
                volume("data", VAULT),
            ],
            HERE,
            "own data",
        ),
        ([volume("a", CREDENTIAL, file="/srv/b/a.img"), volume("b", CREDENTIAL, file="/srv/a/b.img")], HERE, "a b"),
        (
            [
                volume("a", CREDENTIAL, file="/srv/b/c/a.img"),
                volume("b", CREDENTIAL, file="/srv/a/b.img"),
                replace(volume("c", CREDENTIAL), mount_point=Path("/srv/b/c")),
            ],
            HERE,
            "",
        ),
    ],
)
def test_a_circle_is_found_with_its_members(specs: list[VolumeSpec], servers: frozenset[str], members: str) -> None:
    found = circle(of_configuration(specs, servers))

    assert {need.volume for need in found} == set(members.split())
    assert [need.other for need in found] == [need.volume for need in (*found[1:], *found[:1])]


def test_it_is_said_in_a_sentence() -> None:
    one = Need("own", "own", "needs its key from Vault")
    assert sentence([one]) == "own needs its key from Vault: after a boot it never opens without a person"
    two = [Need("a", "b", "is a file on b"), Need("b", "a", "is a file on a")]
    assert sentence(two) == (
        "a is a file on b; b is a file on a: after a boot none of a, b opens without a person"
    )  # fmt: skip
