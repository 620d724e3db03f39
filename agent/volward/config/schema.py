"""The JSON Schema (draft 2020-12) of a configuration file, for editors that complete and check TOML."""

from volward.config.store import KINDS
from volward.config.volume import Configuration

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, object]:
    """Return the schema of one file. Sizes are texts with their unit, key sizes are bits, sectors bytes."""
    schema = Configuration.model_json_schema(mode="validation")
    volume = schema["$defs"]["VolumeConfig"]["properties"]
    described = volume["store"].pop("description")
    # In a file, `store = "postgres"` stands for the table; pydantic only sees the table.
    volume["store"] = {
        "title": "Store",
        "description": described,
        "anyOf": [{"type": "string", "enum": list(KINDS)}, volume["store"]],
    }
    # pydantic says which names fit, and leaves other names open.
    schema["properties"]["volumes"]["additionalProperties"] = False
    title = "volward configuration: /etc/volward/volward.toml and /etc/volward/volward.d/*.toml"
    return {"$schema": DIALECT, **schema, "title": title}
