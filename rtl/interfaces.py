"""Payload layouts of the streams between the circuits.

Every circuit talks in streams (`amaranth.lib.stream`): a payload moves in each cycle in which `valid` and `ready` are
both high. A producer that has raised `valid` holds it and the payload until the payload has moved.
"""

from typing import Any, Protocol

from amaranth.hdl import Shape, ShapeLike, Value, signed, unsigned
from amaranth.lib import data

from ..formats.anda.plane_mask import MASK_BITS
from ..formats.numeric.alignment import MAX_MANTISSA_BITS as MAX_MANTISSA_BITS

MAX_LANES = 128
EXPONENT_BITS = 5
CODE_BITS = 4

SKIPPED_BITS = 4
"""Bits of the number of zero planes between two that are sent."""

PARTIAL_EXPONENT = signed(6)
"""Shared exponent minus M, -15 to 29: a dot product's least significant bit weighs 2**(exponent - 14)."""


class Stream(Protocol):
    """A stream port, for the type checker; the object is an `amaranth.lib.stream.Interface`."""

    payload: Any
    valid: Value
    ready: Value


FP16 = data.StructLayout({"fraction": 10, "exponent": EXPONENT_BITS, "sign": 1})
"""An FP16 number, as IEEE 754 lays it out: `fraction` in bits 0 to 9, `exponent` in bits 10 to 14, `sign` in bit 15."""


def plane_layout(lanes: int, skipping: bool = False) -> data.StructLayout:
    """One bit-plane of a group. A group is its sign plane, then M mantissa planes, the most significant first.

    With `skipping`, planes without a one need not be sent, except for the first (`formats.anda.plane_mask`).

    Members
    -------
    plane : `unsigned(lanes)`
        Bit i belongs to element i.
    exponent : `unsigned(5)`
        The group's shared exponent, 1 to 30. Only read with the sign plane.
    last : `unsigned(1)`
        Set with the last mantissa plane of the group, and only then: the stream itself says what M is.
    skipped : `unsigned(4)`
        Planes after this mantissa plane that are not sent; with `last`, down to the M-th. Only with `skipping`.
    """
    fields = {"plane": unsigned(lanes), "exponent": unsigned(EXPONENT_BITS), "last": unsigned(1)}
    return data.StructLayout(fields | _skipped(skipping))


def _skipped(skipping: bool) -> dict[str, Shape]:
    return {"skipped": unsigned(SKIPPED_BITS)} if skipping else {}


def plane_rows_layout(rows: int, lanes: int, skipping: bool = False, *, masked: bool = False) -> data.StructLayout:
    """The same bit-plane of the groups of `rows` tokens: a row of the activation buffer.

    Members
    -------
    planes : `ArrayLayout(unsigned(lanes), rows)`
    exponents : `ArrayLayout(unsigned(5), rows)`
    last : `unsigned(1)`
    skipped : `unsigned(4)`
        See `plane_layout`. All rows share M, and a plane is skipped if no row has a one in it.
    mask : `unsigned(15)`
        The group's plane mask, with the last plane. Only if `masked`.
    """
    fields = {
        "planes": data.ArrayLayout(unsigned(lanes), rows),
        "exponents": data.ArrayLayout(unsigned(EXPONENT_BITS), rows),
        "last": unsigned(1),
    }
    mask = {"mask": unsigned(MASK_BITS)} if masked else {}
    return data.StructLayout(fields | _skipped(skipping) | mask)


def partial_sum_bits(lanes: int, weight_bits: int, max_mantissa_bits: int) -> int:
    """Bits of a signed integer that holds every dot product of `lanes` mantissas and weights.

    The extreme is lanes * (2**M - 1) * 2**(weight_bits - 1): 26 bits at 64 lanes, INT4 and M = 16.
    """
    extreme = lanes * (2**max_mantissa_bits - 1) * 2 ** (weight_bits - 1)
    return extreme.bit_length() + 1


def per_unit(layout: ShapeLike, units: int) -> ShapeLike:
    """`layout` for one unit, an array of it for several."""
    return layout if units == 1 else data.ArrayLayout(layout, units)


def partial_sum_layout(bits: int, units: int = 1) -> data.StructLayout:
    """A group's integer dot product P; its value is ``partial_sum * 2**(exponent - 14)``.

    Members
    -------
    partial_sum : `signed(bits)`
        Sum over the lanes of (-1)**sign * mantissa * weight. With several `units`, an array of their sums.
    exponent : `signed(6)`
        The shared exponent minus M, so that the converter needs neither of them.
    """
    return data.StructLayout({"partial_sum": per_unit(signed(bits), units), "exponent": PARTIAL_EXPONENT})
