"""The configuration below /etc/volward, as frozen pydantic models. Importing this package imports pydantic."""

from volward.config.loading import DEFAULT_ROOT, Examination, examine, load
from volward.config.problem import Problem
from volward.config.schema import json_schema
from volward.config.volume import Common, Configuration, VolumeConfig

__all__ = [
    "DEFAULT_ROOT",
    "Common",
    "Configuration",
    "Examination",
    "Problem",
    "VolumeConfig",
    "examine",
    "json_schema",
    "load",
]
