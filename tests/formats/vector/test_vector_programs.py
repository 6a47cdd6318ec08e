"""The vector unit's commands and programs: exact where they must be, and their error against float64."""

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.numeric.fp16 import ulp_errors
from anda_codesign.formats.vector.command import Addend, Factor, Modifier, VectorCommand, VectorOperation, VectorState
from anda_codesign.formats.vector.programs import (
    VectorProgram,
    gelu,
    layer_norm,
    relu,
    residual,
    rms_norm,
    rotation,
    silu,
    soft_cap,
    softmax,
    square_root,
)
from numpy.typing import NDArray

Halves = NDArray[np.float16]


def halves(seed: int, *shape: int, spread: float = 4.0) -> Halves:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 2.0 ** rng.uniform(-spread, spread, shape)).astype(np.float16)


def run(command: VectorCommand, left: Halves, right: Halves | None = None) -> Halves:
    return VectorState().execute(command, left, right, lanes=left.shape[1])


def test_products_and_sums_are_correctly_rounded() -> None:
    left, right = halves(0, 64, 64, spread=12), halves(1, 64, 64, spread=12)
    with np.errstate(over="ignore"):
        product, total = left * right, left + right
    limits = np.float16(-65504), np.float16(65504)
    command = VectorCommand(factor=Factor.RIGHT, vectors=64)
    np.testing.assert_array_equal(run(command, left, right), np.clip(product, *limits))
    command = VectorCommand(addend=Addend.RIGHT, vectors=64)
    np.testing.assert_array_equal(run(command, left, right), np.clip(total, *limits))
    command = VectorCommand(addend=Addend.RIGHT, subtract=True, vectors=64)
    np.testing.assert_array_equal(run(command, left, -right), np.clip(total, *limits))
    command = VectorCommand(operation=VectorOperation.MAXIMUM, addend=Addend.RIGHT, vectors=64)
    np.testing.assert_array_equal(run(command, left, right), np.maximum(left, right))


def test_modifiers_and_zeros() -> None:
    x = np.array([[2, -3, 0.0, -0.0]], np.float16)
    assert run(VectorCommand(modifier=Modifier.NEGATIVE_MAGNITUDE), x).tolist() == [[-2, -3, 0, 0]]
    assert run(VectorCommand(modifier=Modifier.NEGATIVE_PART), x).tolist() == [[0, -3, 0, 0]]
    assert run(VectorCommand(factor=Factor.LEFT), x).tolist() == [[4, 9, 0, 0]]
    assert not np.signbit(run(VectorCommand(), x)[0, 3])
    largest = run(VectorCommand(operation=VectorOperation.MAXIMUM), -x)
    assert largest.tolist() == [[0, 3, 0, 0]] and not np.signbit(largest).any()


@pytest.mark.parametrize("active", [0, 1, 3])
def test_reductions_count_the_active_lanes(active: int) -> None:
    x = -np.abs(halves(2, 5, 4))
    counted = x.ravel() if not active else x.ravel()[: 16 + active]
    state = VectorState()
    sizes = {"vectors": 5, "active": active}
    state.execute(VectorCommand(operation=VectorOperation.LARGEST, destination=1, **sizes), x, lanes=4)
    state.execute(VectorCommand(operation=VectorOperation.DOT, destination=2, **sizes), x, lanes=4)
    assert state.scalars[1] == counted.max()
    np.testing.assert_allclose(state.scalars[2], counted.astype(np.float64).sum(), rtol=1e-6)


def test_a_sum_is_folded_as_stated() -> None:
    """Lane by lane down the vectors, then lane i with lane i + lanes / 2."""
    x = halves(3, 3, 4, spread=10)
    state = VectorState()
    state.execute(VectorCommand(operation=VectorOperation.DOT, destination=0, vectors=3), x, lanes=4)
    columns = [np.float32(0)] * 4
    for vector in x.astype(np.float32):
        columns = [a + b for a, b in zip(columns, vector, strict=True)]
    assert state.scalars[0] == (columns[0] + columns[2]) + (columns[1] + columns[3])


def exact_softmax(x: Halves, scale: float) -> NDArray[np.float64]:
    wide = x.astype(np.float64) * float(np.float16(scale))
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("channels", [1, 63, 64, 65, 1000, 4096])
@pytest.mark.parametrize("scale", [1.0, 0.125])
def test_softmax(channels: int, scale: float) -> None:
    x = (np.random.default_rng(channels).standard_normal((4, channels)) * 6).astype(np.float16)
    y = softmax(channels, scale=scale).run({"x": x})
    assert ulp_errors(y, exact_softmax(x, scale)).max() < 2
    assert abs(y.astype(np.float64).sum(axis=-1) - 1).max() < 2.0**-10


@pytest.mark.parametrize("channels", [64, 100, 576, 4096])
@pytest.mark.parametrize("size", [0.02, 1.0, 300.0])
def test_norms(channels: int, size: float) -> None:
    rng = np.random.default_rng(channels)
    x = (rng.standard_normal((4, channels)) * size + size).astype(np.float16)
    gain, bias = rng.uniform(0.5, 2, (2, channels)).astype(np.float16)
    wide = x.astype(np.float64)
    root = np.sqrt(np.square(wide).mean(axis=-1, keepdims=True) + 1e-5)
    y = rms_norm(channels).run({"x": x, "gain": gain})
    exact = wide / root * gain
    assert (np.abs(y / exact - 1) < 2.0**-9).all()

    centred = wide - wide.mean(axis=-1, keepdims=True)
    root = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-5)
    y = layer_norm(channels).run({"x": x, "gain": gain, "bias": bias})
    exact = centred / root * gain + bias
    assert np.abs(y - exact).max() < 2.0**-9 * np.abs(exact).max()


def test_silu_of_every_half() -> None:
    patterns = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16)
    x = patterns[np.isfinite(patterns)]
    y = silu(len(x)).run({"x": x[None]})[0]
    wide = x.astype(np.float64)
    exact = wide / (1 + np.exp(np.minimum(-wide, 700)))
    assert np.abs(y - exact)[np.abs(exact) < 2.0**-14].max() < 2.0**-20
    assert ulp_errors(y, exact)[np.abs(exact) >= 2.0**-14].max() < 6.2
    assert ulp_errors(y, exact)[x > -10].max() < 2.4
    gated = silu(len(x), gated=True).run({"x": x[None], "gate": np.full_like(x, 0.5)})[0]
    np.testing.assert_array_equal(gated, y * np.float16(0.5))


def test_gelu_of_every_half() -> None:
    """Within the error of an FP16 argument of the sigmoid of the exact tanh form; large values pass or vanish."""
    patterns = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16)
    x = patterns[np.isfinite(patterns)]
    y = gelu(len(x)).run({"x": x[None]})[0]
    wide = x.astype(np.float64)
    exact = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
    assert np.abs(y - exact).max() < 2.0**-9 * np.abs(exact).max()
    assert (np.abs(y - exact) <= 2.0**-8 * np.abs(exact) + 2.0**-10).all()
    assert (y[x > 8] == x[x > 8]).all()
    gated = gelu(len(x), gated=True).run({"x": x[None], "gate": np.full_like(x, 0.5)})[0]
    np.testing.assert_array_equal(gated, y * np.float16(0.5))


@pytest.mark.parametrize("cap", [30.0, 50.0])
def test_soft_cap(cap: float) -> None:
    x = (np.random.default_rng(0).standard_normal((2, 500)) * 40).astype(np.float16)
    y = soft_cap(500, cap=cap).run({"x": x})
    assert np.abs(y - cap * np.tanh(x.astype(np.float64) / cap)).max() < 2.0**-9 * cap


def test_square_root_of_every_half() -> None:
    x = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    y = square_root(len(x)).run({"x": x[None]})[0]
    assert ulp_errors(y, np.sqrt(x.astype(np.float64))).max() < 1.37
    assert y[0] == 0


def test_elementwise_programs() -> None:
    x, skip = halves(5, 2, 70), halves(6, 2, 70)
    np.testing.assert_array_equal(relu(70).run({"x": x}), np.maximum(x, 0))
    np.testing.assert_array_equal(residual(70).run({"x": x, "skip": skip}), x + skip)
    cosine, sine = np.cos(np.arange(70)).astype(np.float16), np.sin(np.arange(70)).astype(np.float16)
    turned = rotation(70).run({"x": x, "turned": skip, "cosine": cosine, "sine": sine})
    np.testing.assert_array_equal(turned, x * cosine + skip * sine)


@pytest.mark.parametrize(
    ("program", "passes", "cycles"),
    [
        (softmax(4096), 4, 4 * 64 + 2 * 8 + 2 * 5 + 1),
        (rms_norm(4096), 3, 3 * 64 + 8 + 2 * 5 + 2),
        (layer_norm(4096), 6, 6 * 64 + 2 * 8 + 2 * 5 + 3),
        (silu(4096), 5, 5 * 64 + 1),
        (silu(4096, gated=True), 6, 6 * 64 + 1),
        (gelu(4096), 8, 8 * 64 + 3),
        (gelu(4096, gated=True), 9, 9 * 64 + 3),
        (soft_cap(4096), 6, 6 * 64 + 4),
        (relu(4096), 1, 64),
        (relu(4096, gated=True), 2, 2 * 64),
        (square_root(4096), 2, 128),
        (residual(4096), 1, 64),
        (rotation(4096), 3, 3 * 64),
    ],
)
def test_passes_and_cycles(program: VectorProgram, passes: int, cycles: int) -> None:
    assert program.passes == passes
    assert program.cycles(64) == cycles


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorCommand(left_scalar=4), "left_scalar: 4"),
        (lambda: VectorCommand(vectors=0), "vectors: 0"),
        (lambda: VectorCommand(active=129), "active: 129"),
        (
            lambda: VectorCommand(operation=VectorOperation.DOT),
            "destination: is None, but DOT",
        ),
        (
            lambda: VectorCommand(destination=0, vectors=2),
            "vectors: 2 do not fit a scalar",
        ),
        (lambda: softmax(4, scale=0), "scale: 0"),
        (lambda: relu(0), "channels: 0"),
        (lambda: relu(3).run({}), "rows: 'x' is missing"),
        (
            lambda: relu(3).run({"x": np.zeros((1, 4), np.float16)}),
            "rows: 'x' is of 4 channels",
        ),
        (
            lambda: VectorState().execute(VectorCommand()),
            "left: is missing; give float16 [1, 64]",
        ),
        (
            lambda: VectorState().execute(VectorCommand(), np.zeros((1, 8), np.float16)),
            "left: is float16 [1, 8]; give float16 [1, 64]",
        ),
    ],
)
def test_bad_input(make: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        make()  # type: ignore[operator]
    assert str(error.value).startswith(message)
