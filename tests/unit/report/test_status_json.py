"""Status and plan as JSON are what the published schemas say, and the schemas leave nothing out."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.unit import builders
from tests.unit.report.volumes import CUT, WHOLE, volume

from volward.errors import NotBlankError
from volward.model import Action, Mapping, MappingState, Plan, Presence, ProviderKind, Step
from volward.openings import Opening
from volward.report import condition, status_json
from volward.report import plan as plan_text
from volward.report.state import State
from volward.report.volume import SeenVolume

REFERENCE = Path(__file__).parents[3] / "docs/reference"
FAILED = Opening(1.0, code="VW0407", error="No provider.", resolution="Use the recovery key.")
GONE = replace(builders.AT_BOOT, device=None, device_presence=Presence.ABSENT, device_error="Gone.", header=None)
VOLUMES = {
    "whole": WHOLE,
    "closed": volume(builders.AT_BOOT, opening=FAILED),
    "gone": volume(GONE),
    "blank": volume(builders.BLANK),
    "zombie": volume(
        replace(builders.PERFECT, mapping=Mapping("volward-pgdata", MappingState.ZOMBIE, Path("/dev/dm-0"), "253:0"))
    ),
    "swap": volume(replace(builders.CLAIMED, mapping=builders.OPEN, swap_active=True), spec=builders.SWAP),
    "unread": replace(WHOLE, pin_error="Damaged.", operations_error="Damaged.", table=None, table_error="No dmsetup."),
    "cut": replace(WHOLE, operations=(CUT,)),
}


def validator(name: str) -> jsonschema.Draft202012Validator:
    """The published schema, and in addition no field that it does not name."""
    schema = json.loads((REFERENCE / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for one in _objects(schema):
        one["additionalProperties"] = False
    return jsonschema.Draft202012Validator(schema)


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for one in schema:
            yield from _objects(one)


def document(*volumes: SeenVolume) -> Any:
    written = json.dumps(status_json.as_json([(one, condition.judge(one)) for one in volumes]))
    return json.loads(written)


@pytest.mark.parametrize("name", VOLUMES)
def test_status_is_as_published(name: str) -> None:
    validator("status.schema.json").validate(document(VOLUMES[name]))


def test_the_schema_refuses_what_is_not_status() -> None:
    wrong = document(WHOLE)
    wrong["volumes"][0]["state"] = "splendid"
    assert not validator("status.schema.json").is_valid(wrong)
    del (wrong := document(WHOLE))["volumes"][0]["pin"]
    assert not validator("status.schema.json").is_valid(wrong)


def test_the_states_of_schema_and_code_are_the_same() -> None:
    schema = json.loads((REFERENCE / "status.schema.json").read_text())
    assert schema["$defs"]["volume"]["properties"]["state"]["enum"] == [str(state) for state in State]
    assert schema["properties"]["schema_version"]["const"] == status_json.SCHEMA_VERSION


def test_unknown_is_null_and_says_so_beside_it() -> None:
    [unread] = document(VOLUMES["unread"])["volumes"]
    assert unread["pin"]["presence"] == "unknown"
    assert unread["mapping"]["table"] is None
    [gone] = document(VOLUMES["gone"])["volumes"]
    assert gone["device"] == {
        "configured": "/dev/disk/by-id/virtio-PG1",
        "is_file": False,
        "presence": "absent",
        "error": "Gone.",
        "found": None,
    }
    assert gone["pin"]["discrepancies"] is None


def test_keyslots_say_who_opens_them() -> None:
    [whole] = document(WHOLE)["volumes"]
    slots = whole["header"]["luks2"]["keyslots"]
    assert [slot["opened_by"] for slot in slots] == [["credential"], ["recovery"]]
    assert whole["header"]["luks2"]["recovery_confirmed"] is True


def test_plans_are_as_published() -> None:
    action = Action(Step.CREATE_KEY, "create the key", "it is needed", provider=ProviderKind.CREDENTIAL)
    refusal = NotBlankError("It carries ext4.", resolution="Look.")
    plans = [
        plan_text.as_json(Plan("pgdata", (action, Action(Step.FORMAT, "format", "blank", destructive=True)))),
        plan_text.as_json(Plan("redis", (), nothing_because="it is open", warnings=("No recovery key.",))),
        plan_text.error_as_json("qdrant", refusal),
    ]
    validator("plan.schema.json").validate(json.loads(json.dumps(plans)))
