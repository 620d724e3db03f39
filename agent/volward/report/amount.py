"""Amounts as a person reads them. Pure."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(size_bytes: int) -> str:
    """Return '312 MiB', '1.8 TiB': three digits at most, powers of 1024."""
    value = float(size_bytes)
    unit = 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    digits = 0 if unit == 0 or value >= 99.95 else 1
    return f"{value:.{digits}f} {_UNITS[unit]}".replace(".0 ", " ")


def count(number: int, noun: str) -> str:
    """Return '1 process', '3 processes'."""
    plural = f"{noun}es" if noun.endswith(("s", "sh", "ch", "x")) else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
