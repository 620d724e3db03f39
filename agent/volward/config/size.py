"""Sizes as people write them in the configuration: '1 GiB', '512 MiB', '1.5 TiB'. Pure."""

import re
from fractions import Fraction

from volward.config.problem import FieldError

_UNITS = {"KIB": 1024, "MIB": 1024**2, "GIB": 1024**3, "TIB": 1024**4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
BLOCK_BYTES = 4096
MAXIMUM_BYTES = 8 * 1024**5  # more than any file system that volward makes takes as one file


def parse(value: object) -> int:
    """Return the bytes of a size with its unit; a whole multiple of 4 KiB below 8 PiB.

    Raises FieldError for anything else, also for a bare number and for decimal units such as GB.
    """
    if isinstance(value, bool) or not isinstance(value, str):
        written = f' For example "{value} GiB".' if isinstance(value, int) else ' For example "1 GiB".'
        raise FieldError("must be a size with its unit, in quotes.", f"Write KiB, MiB, GiB or TiB.{written}")
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise FieldError(f'is "{value}", which is not a size.', 'Write a number and its unit: "1 GiB".')
    number, unit = found.groups()
    factor = _UNITS.get(unit.upper())
    if factor is None:
        wanted = f"{unit[0].upper()}iB" if unit and unit[0].upper() in "KMGT" else "GiB"
        said = f'has the unit "{unit}".' if unit else "has no unit."
        raise FieldError(said, f'Write KiB, MiB, GiB or TiB: "{number} {wanted}".')
    size = Fraction(number) * factor
    if size.denominator != 1 or size % BLOCK_BYTES or not 0 < size <= MAXIMUM_BYTES:
        raise FieldError(f'is "{value}".', "A size is a whole multiple of 4 KiB, and at most 8 PiB.")
    return int(size)


def written(size_bytes: int) -> str:
    """Write a size with the largest unit that keeps it whole: 1073741824 is '1 GiB'."""
    for unit, factor in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor} {unit}"
    return f"{size_bytes} bytes"
