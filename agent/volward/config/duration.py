"""Durations as people write them in the configuration: '90 days', '12 hours', '2 weeks'. Pure."""

import re

from volward.config.problem import FieldError

HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
_UNITS = {"hour": HOUR_SECONDS, "day": DAY_SECONDS, "week": 7 * DAY_SECONDS}
_DURATION = re.compile(r"(\d+)\s*([A-Za-z]*)", re.ASCII)
MAXIMUM_SECONDS = 3660 * DAY_SECONDS  # ten years


def parse(value: object) -> int:
    """Return the seconds of a duration with its unit: whole hours, days or weeks, ten years at most.

    Raises FieldError for anything else, also for a bare number.
    """
    if isinstance(value, bool) or not isinstance(value, str):
        written = f' For example "{value} days".' if isinstance(value, int) else ' For example "90 days".'
        raise FieldError("must be a duration with its unit, in quotes.", f"Write hours, days or weeks.{written}")
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise FieldError(f'is "{value}", which is not a duration.', 'Write a whole number and its unit: "90 days".')
    number, unit = found.groups()
    factor = _UNITS.get(unit.lower().removesuffix("s"))
    if factor is None:
        said = f'has the unit "{unit}".' if unit else "has no unit."
        raise FieldError(said, f'Write hours, days or weeks: "{number} days".')
    seconds = int(number) * factor
    if not 0 < seconds <= MAXIMUM_SECONDS:
        raise FieldError(f'is "{value}".', "Write at least an hour, and ten years at most.")
    return seconds


def written(seconds: int) -> str:
    """Write a duration in days, or in hours where days do not keep it whole: 7776000 is '90 days'."""
    unit, factor = ("day", DAY_SECONDS) if seconds % DAY_SECONDS == 0 else ("hour", HOUR_SECONDS)
    number = seconds // factor
    return f"{number} {unit if number == 1 else f'{unit}s'}"
