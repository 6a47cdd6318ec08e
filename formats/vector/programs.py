"""Programs of the vector unit: softmax, norms and activation functions as commands over rows.

Each step names the rows that feed the operand streams and the row that takes the results. The accelerator, or
`VectorProgram.run`, maps names to rows.

    >>> x = np.array([[1, 2, 3, 4]], np.float16)
    >>> softmax(4, lanes=4).run({"x": x}, lanes=4)
    array([[0.03204, 0.08716, 0.2369 , 0.644  ]], dtype=float16)

Sums are FP32, in the order stated in `anda_codesign.formats.vector.command`. Rows between steps are FP16, scalars FP32.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..checks import check_integer, check_positive
from ..errors import InputError
from .command import Addend, Factor, Modifier, VectorCommand, VectorOperation, VectorState, as_vectors

RESULT = "y"
"""Name of the result row of every program."""


@dataclass(frozen=True)
class VectorStep:
    """A command and the names of the rows of its streams; None for an unused stream."""

    command: VectorCommand
    left: str | None = None
    right: str | None = None
    result: str | None = None


@dataclass(frozen=True)
class VectorProgram:
    """Steps that compute the row ``y`` from given rows of ``channels`` values.

    Attributes
    ----------
    steps
        Steps in the order of execution.
    inputs
        Names of the input rows.
    channels
        Number of values of a row.
    """

    steps: tuple[VectorStep, ...]
    inputs: tuple[str, ...]
    channels: int

    @property
    def passes(self) -> int:
        """Number of steps over the whole row."""
        return sum(step.command.reads_left for step in self.steps)

    def cycles(self, lanes: int) -> int:
        """Cycles of the unit for one row, from the first command until the first command of the next program.

        Not counted: a step that reads the result of the step before must wait if the row is shorter than the latency
        of unit (`VECTOR_PIPELINE_CYCLES`) and memory.
        """
        return sum(step.command.cycles(lanes) for step in self.steps)

    def run(
        self, rows: Mapping[str, NDArray[np.float16]], *, lanes: int = 64, state: VectorState | None = None
    ) -> NDArray[np.float16]:
        """Run the program in software on rows ``[tokens, channels]``, token by token.

        A row that all tokens share, such as a gain, has shape ``[channels]``. `lanes` must be the one of the program.

        Raises
        ------
        InputError
            A row is missing or has the wrong length.
        """
        for name in self.inputs:
            if name not in rows or rows[name].shape[-1] != self.channels:
                found = "missing" if name not in rows else f"of {rows[name].shape[-1]} channels"
                raise InputError(f"rows: {name!r} is {found}; give rows of {self.channels} channels")
        state = VectorState() if state is None else state
        tokens = [
            self._run_row({name: row if row.ndim == 1 else row[token] for name, row in rows.items()}, lanes, state)
            for token in range(len(rows[self.inputs[0]]))
        ]
        return np.stack(tokens)

    def _run_row(self, rows: Mapping[str, NDArray[np.float16]], lanes: int, state: VectorState) -> NDArray[np.float16]:
        """Run the program for one token."""
        vectors = {name: as_vectors(row, lanes) for name, row in rows.items()}
        for step in self.steps:
            left = vectors[step.left] if step.left else None
            right = vectors[step.right] if step.right else None
            result = state.execute(step.command, left, right, lanes=lanes)
            if step.result:
                vectors[step.result] = result
        return vectors[RESULT].reshape(-1)[: self.channels]


class _Builder:
    """Collects steps, and gives the length of the row to those that pass over it."""

    def __init__(self, channels: int, lanes: int) -> None:
        check_integer("channels", channels, 1)
        self.channels = channels
        self.row = {"vectors": -(-channels // lanes), "active": channels % lanes}
        self.steps: list[VectorStep] = []

    def walk(self, command: VectorCommand, left: str, right: str | None = None, result: str | None = None) -> None:
        """Add a step over the whole row."""
        self.steps.append(VectorStep(replace(command, **self.row), left, right, result))

    def reduce(self, operation: VectorOperation, factor: Factor, left: str, scalar: int) -> None:
        """Add a reduction of the whole row."""
        self.walk(_reduction(operation, factor, scalar, **self.row), left)

    def scalar(self, command: VectorCommand) -> None:
        """Add a step on scalars."""
        self.steps.append(VectorStep(command))

    def load(self, register: int, value: float) -> None:
        """Add a step that loads a constant into a scalar register."""
        self.scalar(VectorCommand(operation=VectorOperation.LOAD, destination=register, immediate=value))

    def program(self, *inputs: str) -> VectorProgram:
        """Program of the steps so far."""
        return VectorProgram(tuple(self.steps), inputs, self.channels)


def _reduction(operation: VectorOperation, factor: Factor, scalar: int, *, vectors: int, active: int) -> VectorCommand:
    return VectorCommand(
        operation=operation,
        factor=factor,
        factor_scalar=scalar,
        destination=scalar,
        vectors=vectors,
        active=active,
    )


def _scaled(scalar: int) -> VectorCommand:
    """Command that multiplies by a scalar."""
    return VectorCommand(factor=Factor.SCALAR, factor_scalar=scalar)


_TIMES_RIGHT = VectorCommand(factor=Factor.RIGHT)
_PLUS_RIGHT = VectorCommand(addend=Addend.RIGHT)


def softmax(channels: int, *, lanes: int = 64, scale: float = 1.0) -> VectorProgram:
    """``exp(scale * x) / sum(exp(scale * x))`` of the row ``x``; the positive `scale` is rounded to FP16."""
    check_positive("scale", scale)
    build = _Builder(channels, lanes)
    build.reduce(VectorOperation.LARGEST, Factor.ONE, "x", 0)
    build.load(1, scale)
    build.scalar(VectorCommand(left_scalar=0, factor=Factor.SCALAR, factor_scalar=1, destination=0))
    exponential = VectorCommand(
        operation=VectorOperation.EXPONENTIAL,
        factor=Factor.SCALAR,
        factor_scalar=1,
        addend=Addend.SCALAR,
        addend_scalar=0,
        subtract=True,
    )
    build.walk(exponential, "x", result=RESULT)
    build.reduce(VectorOperation.DOT, Factor.ONE, RESULT, 2)
    build.scalar(
        VectorCommand(
            operation=VectorOperation.RECIPROCAL,
            left_scalar=2,
            factor=Factor.ZERO,
            addend=Addend.SCALAR,
            addend_scalar=2,
            destination=2,
        )
    )
    build.walk(_scaled(2), RESULT, result=RESULT)
    return build.program("x")


def largest(channels: int, *, lanes: int = 64) -> VectorProgram:
    """The largest value of the row ``x``, in scalar register 0; it writes no row."""
    build = _Builder(channels, lanes)
    build.reduce(VectorOperation.LARGEST, Factor.ONE, "x", 0)
    return build.program("x")


def _scale_by_root_mean_square(build: _Builder, row: str, epsilon: float) -> None:
    """Add steps for ``row / sqrt(mean(row**2) + epsilon)``, as ``row * sqrt(n) / sqrt(sum(row**2) + n * epsilon)``."""
    build.reduce(VectorOperation.DOT, Factor.LEFT, row, 0)
    build.load(1, build.channels * epsilon)
    build.scalar(
        VectorCommand(
            operation=VectorOperation.RECIPROCAL_ROOT,
            left_scalar=1,
            addend=Addend.SCALAR,
            addend_scalar=0,
            destination=0,
        )
    )
    build.load(1, math.sqrt(build.channels))
    build.scalar(VectorCommand(left_scalar=0, factor=Factor.SCALAR, factor_scalar=1, destination=0))
    build.walk(_scaled(0), row, result=RESULT)


def rms_norm(channels: int, *, lanes: int = 64, epsilon: float = 1e-5) -> VectorProgram:
    """``x / sqrt(mean(x**2) + epsilon) * gain`` of the rows ``x`` and ``gain``."""
    build = _Builder(channels, lanes)
    _scale_by_root_mean_square(build, "x", epsilon)
    build.walk(_TIMES_RIGHT, RESULT, "gain", RESULT)
    return build.program("x", "gain")


def layer_norm(channels: int, *, lanes: int = 64, epsilon: float = 1e-5) -> VectorProgram:
    """``(x - mean(x)) / sqrt(variance(x) + epsilon) * gain + bias`` of the rows ``x``, ``gain`` and ``bias``."""
    build = _Builder(channels, lanes)
    build.load(0, 1 / channels)
    build.reduce(VectorOperation.DOT, Factor.SCALAR, "x", 0)
    build.walk(VectorCommand(addend=Addend.SCALAR, addend_scalar=0, subtract=True), "x", result=RESULT)
    _scale_by_root_mean_square(build, RESULT, epsilon)
    build.walk(_TIMES_RIGHT, RESULT, "gain", RESULT)
    build.walk(_PLUS_RIGHT, RESULT, "bias", RESULT)
    return build.program("x", "gain", "bias")


def silu(channels: int, *, lanes: int = 64, gated: bool = False) -> VectorProgram:
    """``x / (1 + exp(-x))`` of the row ``x``; with `gated` also times the row ``gate``.

    Computed as ``exp(min(x, 0)) * (x / (1 + exp(-|x|)))``, so that no exponential overflows.
    """
    build = _Builder(channels, lanes)
    _times_sigmoid(build, "x", "x")
    return _gated(build, gated)


def gelu(channels: int, *, lanes: int = 64, gated: bool = False) -> VectorProgram:
    """GELU of the row ``x`` by its tanh form, ``x * sigmoid(x * (a + b * x**2))``; with `gated` also times the row ``gate``.

    ``a = 2 * sqrt(2 / pi)`` and ``b = 0.044715 * a``.
    """
    build = _Builder(channels, lanes)
    slope = 2 * math.sqrt(2 / math.pi)
    build.load(1, 0.044715 * slope)
    build.load(2, slope)
    build.walk(VectorCommand(factor=Factor.LEFT), "x", result="inner")
    build.walk(replace(_scaled(1), addend=Addend.SCALAR, addend_scalar=2), "inner", result="inner")
    build.walk(_TIMES_RIGHT, "inner", "x", "inner")
    _times_sigmoid(build, "inner", "x")
    return _gated(build, gated)


def soft_cap(channels: int, *, lanes: int = 64, cap: float = 50.0) -> VectorProgram:
    """``cap * tanh(x / cap)`` of the row ``x``, as ``2 * cap * sigmoid(2 * x / cap) - cap``."""
    check_positive("cap", cap)
    build = _Builder(channels, lanes)
    build.load(1, 2 / cap)
    build.walk(_scaled(1), "x", result="inner")
    _times_sigmoid(build, "inner", None)
    build.load(1, 2 * cap)
    build.load(2, cap)
    build.walk(replace(_scaled(1), addend=Addend.SCALAR, addend_scalar=2, subtract=True), RESULT, result=RESULT)
    return build.program("x")


def _times_sigmoid(build: _Builder, inner: str, row: str | None) -> None:
    """Add steps for ``row / (1 + exp(-inner))``, or the sigmoid alone; no exponential overflows."""
    build.load(0, 1.0)
    build.walk(
        VectorCommand(operation=VectorOperation.EXPONENTIAL, modifier=Modifier.NEGATIVE_MAGNITUDE), inner, result=RESULT
    )
    reciprocal = VectorCommand(operation=VectorOperation.RECIPROCAL, addend=Addend.SCALAR, addend_scalar=0)
    build.walk(reciprocal, RESULT, result=RESULT)
    if row is not None:
        build.walk(_TIMES_RIGHT, RESULT, row, RESULT)
    build.walk(
        VectorCommand(operation=VectorOperation.EXPONENTIAL, modifier=Modifier.NEGATIVE_PART), inner, result="power"
    )
    build.walk(_TIMES_RIGHT, RESULT, "power", RESULT)


def _gated(build: _Builder, gated: bool) -> VectorProgram:
    """The program so far; if `gated`, its result times the row ``gate``."""
    if not gated:
        return build.program("x")
    build.walk(_TIMES_RIGHT, RESULT, "gate", RESULT)
    return build.program("x", "gate")


def square_root(channels: int, *, lanes: int = 64) -> VectorProgram:
    """``sqrt(x)`` of the row ``x`` of non-negative values: x times its reciprocal root."""
    build = _Builder(channels, lanes)
    build.walk(VectorCommand(operation=VectorOperation.RECIPROCAL_ROOT), "x", result=RESULT)
    build.walk(_TIMES_RIGHT, RESULT, "x", RESULT)
    return build.program("x")


def relu(channels: int, *, lanes: int = 64, gated: bool = False) -> VectorProgram:
    """``max(x, 0)`` of the row ``x``; with `gated` also times the row ``gate``."""
    build = _Builder(channels, lanes)
    build.walk(VectorCommand(operation=VectorOperation.MAXIMUM), "x", result=RESULT)
    return _gated(build, gated)


def residual(channels: int, *, lanes: int = 64) -> VectorProgram:
    """``x + skip`` of the rows ``x`` and ``skip``."""
    build = _Builder(channels, lanes)
    build.walk(_PLUS_RIGHT, "x", "skip", RESULT)
    return build.program("x", "skip")


def rotation(channels: int, *, lanes: int = 64) -> VectorProgram:
    """Rotary embedding ``x * cosine + turned * sine`` of rows.

    ``turned`` is ``x`` with the two halves of each head swapped and one of them negated.
    """
    build = _Builder(channels, lanes)
    build.walk(_TIMES_RIGHT, "x", "cosine", RESULT)
    build.walk(_TIMES_RIGHT, "turned", "sine", "product")
    build.walk(_PLUS_RIGHT, RESULT, "product", RESULT)
    return build.program("x", "turned", "cosine", "sine")
