"""A plan as text and as JSON."""

from collections.abc import Iterable

from volward.errors import VolwardError
from volward.model import Plan


def lines(plan: Plan) -> Iterable[str]:
    """Say what will be done and why; '!' marks what destroys what is there."""
    yield plan.volume
    if not plan.actions:
        yield f"  nothing to do, because {plan.nothing_because}"
    for action in plan.actions:
        yield f"  {'!' if action.destructive else '+'} {action.what}, because {action.reason}"
    for warning in plan.warnings:
        yield f"  warning: {warning}"


def as_json(plan: Plan) -> dict[str, object]:
    """Return the published form (docs/reference/plan.schema.json)."""
    return {
        "volume": plan.volume,
        "actions": [
            {
                "step": str(action.step),
                "what": action.what,
                "reason": action.reason,
                "destructive": action.destructive,
                "provider": str(action.provider) if action.provider else None,
            }
            for action in plan.actions
        ],
        "nothing_because": plan.nothing_because or None,
        "warnings": list(plan.warnings),
    }


def error_as_json(volume: str, error: VolwardError) -> dict[str, object]:
    """Return a refusal in the same form."""
    return {
        "volume": volume,
        "error": {"code": error.code, "what": error.what, "resolution": error.resolution},
    }
