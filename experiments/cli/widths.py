"""Mantissa widths as people write them: ``4,7,11`` and ``4-13``."""


def mantissa_widths(text: str) -> list[int]:
    """The mantissa widths of a list such as ``4,7,11``.

    Raises:
        InputError: it is none, or a width is not 1 to 16.
    """
    from ...formats import InputError

    try:
        widths = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"m: {text!r} is not a list of mantissa widths; write them as 4,7,11") from None
    if bad := [width for width in widths if not 1 <= width <= 16]:
        raise InputError(f"m: {bad[0]} is out of range; use 1 to 16")
    return widths


def mantissa_range(field: str, text: str, example: str) -> range:
    """The mantissa widths of a range such as ``4-13``, both ends among them, or of one width.

    Raises:
        InputError: it is none, is empty, or a width is not 1 to 16.
    """
    from ...formats import InputError

    low, dash, high = text.partition("-")
    ends = (low, high if dash else low)
    if not all(end.isdecimal() for end in ends) or not 1 <= int(ends[0]) <= int(ends[1]) <= 16:
        raise InputError(f"{field}: {text!r} is not a range of mantissa bits; write it as {example}")
    return range(int(ends[0]), int(ends[1]) + 1)
