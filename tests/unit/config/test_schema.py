"""The published schema accepts what load() accepts, and describes every setting."""

import tomllib

import jsonschema
import pytest

from volward.config import json_schema

EXAMPLE = """
[defaults]
keys = ["credential", "tpm2"]
[volumes.pgdata]
device = "file:/var/lib/volward/images/pgdata.img"
size = "1.5 GiB"
store = { kind = "postgres", version = "17", cluster = "main" }
mount_point = "/srv/volward/pgdata"
file_system = "xfs"
mount_options = ["noatime"]
consumers = ["postgresql@17-main.service", "container:db"]
[volumes.pgdata.recovery]
memory = "128 MiB"
[volumes.cache]
device = "/dev/disk/by-id/virtio-R1"
store = "redis"
mount_point = "/srv/volward/cache"
"""


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_accepts_a_real_configuration(validator: jsonschema.Draft202012Validator) -> None:
    assert list(validator.iter_errors(tomllib.loads(EXAMPLE))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"redis"', '"rediss"'),
        ("device =", "devcie ="),
        ('"1.5 GiB"', "5"),
        ('["credential", "tpm2"]', "[]"),
        ("volumes.cache", "volumes.Cache"),
    ],
)
def test_refuses_what_load_refuses(validator: jsonschema.Draft202012Validator, old: str, new: str) -> None:
    assert old in EXAMPLE
    assert list(validator.iter_errors(tomllib.loads(EXAMPLE.replace(old, new))))


def test_every_setting_of_a_volume_is_described() -> None:
    definitions = json_schema()["$defs"]
    assert isinstance(definitions, dict)
    for name, setting in definitions["VolumeConfig"]["properties"].items():
        described = setting.get("description") or definitions[setting["$ref"].rpartition("/")[2]]["description"]
        assert len(described) > 20, name
