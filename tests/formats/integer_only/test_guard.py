"""The operators compute in integers alone: shown by running them on guarded arrays, and by reading their source."""

import ast
import inspect
import types

import numpy as np
import pytest
from anda_codesign.formats.integer_only import (
    DyadicTensor,
    add_residual,
    arithmetic,
    common_exponent,
    di_clipped_softmax,
    di_exp,
    di_matmul,
    di_norm,
    di_norm_channelwise,
    di_requantize,
    di_sigmoid,
    di_swiglu,
    exponential,
    integer_sqrt,
    matmul,
    norm,
    requantization,
    requantize,
    requantize_figure,
    softmax,
    swiglu,
)
from integers_only import FloatUsed, IntegersOnly

MODULES = [arithmetic, exponential, matmul, norm, requantization, softmax, swiglu]
FLOAT_ALLOWED = {"_blas_matmul", "dequantize"}
"""The fast route of the matrix product, held bit-equal to the integer one, and the way out for reports."""

rng = np.random.default_rng(0)


def guarded(array: object) -> IntegersOnly:
    return IntegersOnly.wrap(np.asarray(array, np.int64))


def row_tensor(rows: int, channels: int) -> DyadicTensor:
    codes = rng.integers(0, 256, (rows, channels))
    scale = rng.integers(128, 256, (rows, 1)), rng.integers(10, 14, (rows, 1)), rng.integers(-20, 300, (rows, 1))
    return DyadicTensor(*(guarded(part) for part in (codes, *scale)))


def residual_of_guarded() -> list[object]:
    residual = DyadicTensor(*(guarded(part) for part in ([[30, -4], [5, 6]], [[1], [1]], [[3], [4]], [[0], [0]])))
    total = add_residual(residual, row_tensor(2, 2), 16)
    return [total.codes, total.k]


CALLS = {
    "di_exp": lambda: di_exp(guarded([[0, -17, -40]]), guarded([[241]]), guarded([[12]]), 3),
    "di_requantize": lambda: di_requantize(guarded(rng.integers(-999, 999, (3, 8))), guarded(200), 12, 150, 10, 8),
    "requantize_figure": lambda: requantize_figure(guarded(rng.integers(-999, 999, (3, 8))), 200, 12, 150, 10, 8),
    "di_matmul": lambda: [di_matmul(row_tensor(4, 8), DyadicTensor(*map(guarded, W)), 8).codes],
    "common_exponent": lambda: common_exponent(guarded([200, 3]), guarded([4, 9]), 6),
    "add_residual": residual_of_guarded,
    "di_clipped_softmax": lambda: di_clipped_softmax(
        guarded(rng.integers(-999, 999, (3, 3))), guarded([[200]] * 3), guarded([[12]] * 3), mask=np.tri(3, dtype=bool)
    ),
    "di_sigmoid": lambda: di_sigmoid(guarded([[-200, 0, 90]]), 205, 12),
    "di_sigmoid shared_max": lambda: di_sigmoid(guarded([[-200, 0, 90]]), 205, 12, form="shared_max"),
    "di_swiglu": lambda: [di_swiglu(row_tensor(2, 3), row_tensor(2, 3), (guarded([100, 5, 4]), 7)).codes],
    "requantize": lambda: [requantize(row_tensor(2, 3), 4).codes],
    "di_norm": lambda: di_norm(guarded(rng.integers(-999, 999, (3, 8))), epsilon=(10, 20), k=guarded([[3], [4], [5]])),
    "di_norm centered": lambda: di_norm(guarded(rng.integers(-999, 999, (3, 8))), center=True),
    "di_norm_channelwise": lambda: di_norm_channelwise(guarded([[3, -4]]), guarded([200, 150]), guarded([3, 4])),
    "integer_sqrt": lambda: integer_sqrt(guarded([5, 2**62])),
}
W = (rng.integers(-127, 128, (8, 5)), rng.integers(1, 2**15, 5), 18, 0)


@pytest.mark.parametrize("name", CALLS)
def test_operators_run_under_the_guard(name: str):
    results = CALLS[name]()
    kinds = {type(result) for result in (results if isinstance(results, list | tuple) else [results])}
    assert IntegersOnly in kinds
    assert kinds <= {IntegersOnly, int}


def test_the_blas_engine_does_not_run_under_the_guard():
    """The guard would notice floats inside an operator: here it does."""
    with pytest.raises(FloatUsed):
        di_matmul(row_tensor(4, 8), DyadicTensor(*map(guarded, W)), 8, engine="blas")


def uses_of_floats(module: types.ModuleType) -> list[str]:
    """Float literals, true division, float names and math functions in a module's code, `FLOAT_ALLOWED` left out."""
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef) and node.name in FLOAT_ALLOWED:
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"line {node.lineno}: literal {node.value}")
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"line {node.lineno}: true division")
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if "float" in name.lower() and name not in {"FLOAT32_EXACT", "FLOAT64_EXACT"}:
            found.append(f"line {node.lineno}: {name}")
        if name in {"math", "mean", "sqrt", "log2", "exp", "divide", "linspace", "average", "std", "var", "round"}:
            found.append(f"line {node.lineno}: {name}")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(inspect.getsource(module)))
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_the_source_has_no_floats(module: types.ModuleType):
    assert uses_of_floats(module) == []


def test_the_source_check_sees_floats():
    from anda_codesign.formats.integer_only import smoothing

    assert any("float" in use.lower() for use in uses_of_floats(smoothing))
    assert any("true division" in use for use in uses_of_floats(smoothing))


@pytest.mark.parametrize(
    ("escape", "message"),
    [
        (lambda a: a / 2, "divide gave float64"),
        (lambda a: a * 0.5, "multiply takes float"),
        (lambda a: a + np.ones(3), "add takes float64"),
        (lambda a: np.add(np.ones(3, np.float32), a), "add takes float32"),
        (np.sqrt, "sqrt gave float64"),
        (lambda a: a.astype(np.float32), "a conversion gave float32"),
        (lambda a: a.view(np.float64), "view gave float64"),
        (lambda a: a.mean(), "add gave float64"),
        (np.mean, "mean gave float64"),
        (lambda a: np.where(a > 1, a, 0.5), "where takes float"),
        (lambda a: np.concatenate([a, np.zeros(2)]), "concatenate takes float64"),
        (lambda a: float(a[0:1].sum()), "float() of an integer array"),
        (lambda a: round(a[0:1].sum()), "round() of an integer array"),
        (lambda a: IntegersOnly.wrap(np.zeros(2)), "a conversion gave float64"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_the_guard_catches(escape: object, message: str):
    with pytest.raises(FloatUsed) as caught:
        escape(guarded([1, 2, 3]))  # pyright: ignore[reportCallIssue]
    assert str(caught.value) == message


def test_the_guard_lets_integers_pass():
    a = guarded([3, 1, 2])
    out = guarded([0, 0, 0])
    np.add(a, 1, out=out)
    assert out.tolist() == [4, 2, 3]
    assert isinstance(np.where(a > 1, a, 0), IntegersOnly)
    assert isinstance(np.split(a, 3)[0], IntegersOnly)
    assert isinstance(np.add.reduce(a), IntegersOnly)
    assert isinstance(a[0:1].sum() * 3, IntegersOnly)
    assert int(a.max()) == 3
