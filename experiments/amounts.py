"""Amounts for people, in units that fit their size: 9.16 J, 174 GiB, 434 ms."""

SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
JOULES = {"MJ": 1e18, "kJ": 1e15, "J": 1e12, "mJ": 1e9, "µJ": 1e6, "nJ": 1e3, "pJ": 1.0}
BYTES = {"TiB": 2.0**40, "GiB": 2.0**30, "MiB": 2.0**20, "KiB": 2.0**10, "B": 1.0}


def seconds(value: float) -> str:
    """A time.

    >>> seconds(0.4336), seconds(148.46)
    ('434 ms', '148 s')
    """
    return _fit(value, SECONDS)


def energy(picojoules: float) -> str:
    """An energy.

    >>> energy(9.1567e12)
    '9.16 J'
    """
    return _fit(picojoules, JOULES)


def size(count: float) -> str:
    """An amount of memory or traffic.

    >>> size(186_831_028_224)
    '174 GiB'
    """
    return _fit(count, BYTES)


def area(square_millimetres: float | None, unit: str = "") -> str:
    """An area in mm^2; a dash for an unknown one.

    >>> area(2.174), area(None)
    ('2.174', '-')
    """
    return "-" if square_millimetres is None else f"{square_millimetres:.3f}{unit}"


def _fit(value: float, units: dict[str, float]) -> str:
    """Three digits in the largest unit of which there is one, or in the smallest unit; a zero in the plain unit."""
    if not value:
        return f"0 {next(name for name, factor in units.items() if factor == 1)}"
    unit = next((name for name, factor in units.items() if round(value / factor, 2) >= 1), list(units)[-1])
    scaled = value / units[unit]
    digits = max(0, 2 - len(str(int(scaled))) + 1) if scaled >= 1 else 3
    return f"{scaled:,.{digits}f} {unit}"
