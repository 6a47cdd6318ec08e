"""Commands of the vector unit, and a bit-exact software model of their execution.

A lane computes ``function(left * factor + addend)``. The product of two FP16 numbers is exact in FP32. The sum is rounded
to FP32, to nearest even; an exact zero sum is +0. The function is one of `anda_codesign.formats.vector.functions`. The
result is rounded to FP16, saturating at +-65504. So a product or a sum alone is the correctly rounded FP16 value.

A reduction has one FP32 accumulator per lane: lane i adds the products of channels i, i + lanes, …, in this order. At
the end the accumulators are folded: lane i adds lane ``i + lanes / 2``, then ``i + lanes / 4``, and so on, down to lane
0. Every addition rounds to FP32.

Four scalar registers hold FP32 values. A scalar is rounded to FP16 as a left operand or factor, but not as an addend.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..checks import check_integer
from ..errors import InputError
from ..latency.vector import VECTOR_LOAD_CYCLES, VECTOR_SCALAR_CYCLES, vector_reduction_cycles
from ..numeric.fp16 import MAX_FP16, round_to_fp16
from .functions import VectorFunction, evaluate

SCALARS = 4
"""Number of scalar registers."""

COMMAND_FIELDS = (
    ("operation", 3),
    ("modifier", 2),
    ("factor", 3),
    ("addend", 2),
    ("subtract", 1),
    ("left_is_scalar", 1),
    ("left_scalar", 2),
    ("factor_scalar", 2),
    ("addend_scalar", 2),
    ("to_scalar", 1),
    ("destination", 2),
    ("active", 8),
    ("vectors", 16),
    ("immediate", 32),
)
"""Fields of a packed command with their widths in bits, lowest bits first."""


class VectorOperation(IntEnum):
    """Operation on ``left * factor + addend``."""

    MULTIPLY_ADD = 0
    """Round the sum to FP16."""
    MAXIMUM = 1
    """Take the larger of product and addend, not their sum."""
    EXPONENTIAL = 2
    RECIPROCAL = 3
    RECIPROCAL_ROOT = 4
    DOT = 5
    """Sum the products of all lanes and vectors into a scalar."""
    LARGEST = 6
    """Find the largest product of all lanes and vectors, as a scalar."""
    LOAD = 7
    """Load the immediate into a scalar register."""


class Modifier(IntEnum):
    """Modification of the left operand before the product."""

    PLAIN = 0
    NEGATIVE_MAGNITUDE = 1
    """-|x|"""
    NEGATIVE_PART = 2
    """x if its sign is negative, otherwise +0."""


class Factor(IntEnum):
    """Source of the factor of the left operand."""

    ONE = 0
    ZERO = 1
    LEFT = 2
    RIGHT = 3
    SCALAR = 4


class Addend(IntEnum):
    """Source of the addend."""

    ZERO = 0
    RIGHT = 1
    SCALAR = 2


REDUCTIONS = (VectorOperation.DOT, VectorOperation.LARGEST)

_FUNCTIONS = {
    VectorOperation.EXPONENTIAL: VectorFunction.EXPONENTIAL,
    VectorOperation.RECIPROCAL: VectorFunction.RECIPROCAL,
    VectorOperation.RECIPROCAL_ROOT: VectorFunction.RECIPROCAL_ROOT,
}


@dataclass(frozen=True, kw_only=True)
class VectorCommand:
    """One pass of the vector unit over its operand streams.

    Parameters
    ----------
    operation, modifier, factor, addend
        Computation of a lane. A reduction ignores the addend.
    subtract
        Negate the addend.
    left_scalar
        Scalar register that replaces the left stream in every lane.
    factor_scalar, addend_scalar
        Scalar registers for ``Factor.SCALAR`` and ``Addend.SCALAR``.
    destination
        Scalar register for the result: of a reduction, of `LOAD`, or of lane 0 of a single vector before it is rounded
        to FP16. None sends the results as vectors.
    vectors
        Number of vectors, 1 to 65,535.
    active
        Number of valid lanes of the last vector, 0 for all. The other lanes give +0 and are not reduced.
    immediate
        Value of `LOAD`, rounded to FP32.

    Raises
    ------
    InputError
        A parameter is out of range, or the destination does not fit the operation.
    """

    operation: VectorOperation = VectorOperation.MULTIPLY_ADD
    modifier: Modifier = Modifier.PLAIN
    factor: Factor = Factor.ONE
    addend: Addend = Addend.ZERO
    subtract: bool = False
    left_scalar: int | None = None
    factor_scalar: int = 0
    addend_scalar: int = 0
    destination: int | None = None
    vectors: int = 1
    active: int = 0
    immediate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("left_scalar", "factor_scalar", "addend_scalar", "destination"):
            check_integer(name, getattr(self, name) or 0, 0, SCALARS - 1)
        check_integer("vectors", self.vectors, 1, 65535)
        check_integer("active", self.active, 0, 128)
        if self.destination is None and self.operation in (*REDUCTIONS, VectorOperation.LOAD):
            raise InputError(f"destination: is None, but {self.operation.name} has a scalar result; give a register")
        if self.destination is not None and self.operation not in REDUCTIONS and self.vectors != 1:
            raise InputError(f"vectors: {self.vectors} do not fit a scalar; choose 1, or destination=None")

    @property
    def reads_left(self) -> bool:
        """True if the command takes vectors from the left stream."""
        return self.left_scalar is None and self.operation != VectorOperation.LOAD

    @property
    def reads_right(self) -> bool:
        """True if the command takes vectors from the right stream."""
        addend = self.addend == Addend.RIGHT and self.operation not in REDUCTIONS
        return (self.factor == Factor.RIGHT or addend) and self.operation != VectorOperation.LOAD

    def cycles(self, lanes: int) -> int:
        """Cycles until a vector unit with ``lanes`` lanes takes the next command."""
        if self.operation == VectorOperation.LOAD:
            return VECTOR_LOAD_CYCLES
        if self.operation in REDUCTIONS:
            return self.vectors + vector_reduction_cycles(lanes)
        return self.vectors if self.destination is None else VECTOR_SCALAR_CYCLES

    def pack(self) -> int:
        """Pack the command into an integer, with `COMMAND_FIELDS` from the lowest bit up."""
        values: dict[str, int] = {
            "operation": self.operation,
            "modifier": self.modifier,
            "factor": self.factor,
            "addend": self.addend,
            "subtract": self.subtract,
            "left_is_scalar": self.left_scalar is not None,
            "left_scalar": self.left_scalar or 0,
            "factor_scalar": self.factor_scalar,
            "addend_scalar": self.addend_scalar,
            "to_scalar": self.destination is not None,
            "destination": self.destination or 0,
            "active": self.active,
            "vectors": self.vectors,
            "immediate": int(np.float32(self.immediate).view(np.uint32)),
        }
        packed, position = 0, 0
        for name, bits in COMMAND_FIELDS:
            packed |= int(values[name]) << position
            position += bits
        return packed


class VectorState:
    """Scalar registers, and a sticky flag that is set if a result saturated in FP16."""

    def __init__(self) -> None:
        self.scalars = np.zeros(SCALARS, np.float32)
        self.saturated = False

    def execute(
        self,
        command: VectorCommand,
        left: NDArray[np.float16] | None = None,
        right: NDArray[np.float16] | None = None,
        *,
        lanes: int = 64,
    ) -> NDArray[np.float16]:
        """Execute a command on finite FP16 vectors ``[vectors, lanes]``; returns its result vectors, none for a scalar.

        Raises
        ------
        InputError
            An operand that the command reads is missing or has another shape.
        """
        none = np.zeros((0, lanes), np.float16)
        if command.operation == VectorOperation.LOAD:
            self._set(command, np.float32(command.immediate))
            return none
        shape = (command.vectors, lanes)
        left = self._operand("left", left, shape) if command.reads_left else self._broadcast(command.left_scalar, shape)
        right = self._operand("right", right, shape) if command.reads_right else np.zeros(shape, np.float16)
        product = self._product(command, left, right)
        if command.operation in REDUCTIONS:
            self._set(command, _reduce(command, product))
            return none
        combined = self._combine(command, product, right)
        values = evaluate(_FUNCTIONS.get(command.operation, VectorFunction.IDENTITY), combined)
        if command.destination is not None:
            self._set(command, values[0, 0])
            return none
        if command.active:
            values[-1, command.active :] = 0
        results, saturated = round_to_fp16(values)
        self.saturated |= saturated
        return results

    def _product(
        self, command: VectorCommand, left: NDArray[np.float16], right: NDArray[np.float16]
    ) -> NDArray[np.float32]:
        """Exact products of left operands and factors."""
        if command.modifier == Modifier.NEGATIVE_MAGNITUDE:
            left = -np.abs(left)
        elif command.modifier == Modifier.NEGATIVE_PART:
            left = np.where(np.signbit(left), left, np.float16(0))
        match command.factor:
            case Factor.ONE:
                factor = np.ones_like(left)
            case Factor.ZERO:
                factor = np.zeros_like(left)
            case Factor.LEFT:
                factor = left
            case Factor.RIGHT:
                factor = right
            case Factor.SCALAR:
                factor = self._broadcast(command.factor_scalar, left.shape)
        return left.astype(np.float32) * factor.astype(np.float32)

    def _combine(
        self, command: VectorCommand, product: NDArray[np.float32], right: NDArray[np.float16]
    ) -> NDArray[np.float32]:
        """Sum of product and addend, or the larger one."""
        match command.addend:
            case Addend.ZERO:
                addend = np.zeros_like(product)
            case Addend.RIGHT:
                addend = right.astype(np.float32)
            case Addend.SCALAR:
                addend = np.full_like(product, self.scalars[command.addend_scalar])
        addend = -addend if command.subtract else addend
        return _larger(product, addend) if command.operation == VectorOperation.MAXIMUM else _add(product, addend)

    def _broadcast(self, scalar: int | None, shape: tuple[int, ...]) -> NDArray[np.float16]:
        """Scalar as FP16 in every lane; it saturates without setting the flag, which the result will set."""
        value = self.scalars[scalar or 0]
        return np.full(shape, np.clip(value, -MAX_FP16, MAX_FP16).astype(np.float16))

    def _operand(self, name: str, rows: NDArray[np.float16] | None, shape: tuple[int, int]) -> NDArray[np.float16]:
        if rows is None or rows.shape != shape or rows.dtype != np.float16:
            found = "missing" if rows is None else f"{rows.dtype} {list(rows.shape)}"
            raise InputError(f"{name}: is {found}; give float16 {list(shape)}")
        return rows

    def _set(self, command: VectorCommand, value: np.float32) -> None:
        self.scalars[command.destination or 0] = value


def _add(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum rounded to FP32; an exact zero is +0."""
    return left + right + np.float32(0)


def _larger(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Elementwise maximum; +0 is larger than -0."""
    return np.where(_ordered(left) >= _ordered(right), left, right)


def _ordered(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers in the same order as the values."""
    patterns = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
    return np.where(patterns < 0, -(patterns & 0x7FFFFFFF) - 1, patterns)


def _reduce(command: VectorCommand, products: NDArray[np.float32]) -> np.float32:
    """Sum or maximum of products ``[vectors, lanes]``, in the order of the circuit."""
    largest = command.operation == VectorOperation.LARGEST
    combine = _larger if largest else _add
    neutral = np.float32(-MAX_FP16 if largest else 0)
    if command.active:
        products[-1, command.active :] = neutral
    accumulators = np.full(products.shape[1], neutral)
    for vector in products:
        accumulators = combine(accumulators, vector)
    while len(accumulators) > 1:
        half = len(accumulators) // 2
        accumulators = combine(accumulators[:half], accumulators[half:])
    return accumulators[0]


def as_vectors(row: NDArray[np.float16], lanes: int) -> NDArray[np.float16]:
    """Cut a row of FP16 values into vectors ``[vectors, lanes]``, the last one padded with +0."""
    return np.pad(row, (0, -len(row) % lanes)).reshape(-1, lanes)
