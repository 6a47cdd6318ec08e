"""Cycles of the array in all three dataflows against those that SCALE-Sim prints, an independent systolic simulator."""

from collections.abc import Callable

from anda_codesign.sim import load_architecture
from anda_codesign.sim.analytical.gemm import array_cycles
from anda_codesign.sim.config.architecture import Architecture, BufferConfig
from anda_codesign.sim.config.array import Array
from anda_codesign.sim.mapping.gemm_mapping import GemmMapping
from anda_codesign.sim.mapping.mapped_gemm import map_gemm
from anda_codesign.workloads import Gemm, Precision
from cases import each

PRINTED = {
    (4, 4, 10, 8, 6): (83, 79, 95),
    (8, 8, 100, 64, 40): (5069, 4879, 6447),
    (16, 16, 37, 100, 50): (1559, 2323, 2015),
    (4, 8, 1, 33, 17): (128, 404, 278),
    (16, 2, 64, 16, 5): (383, 287, 1183),
    (32, 32, 128, 128, 128): (3039, 3551, 3551),
}
"""``Total Cycles`` of SCALE-Sim 3.0.0 (PyPI, run on 2026-11-30) for rows, columns, M, K and N: output, weight and input stationary.

It prints the number of the last cycle, one less than their count.
"""
FLOWS = ("output-stationary", "weight-stationary", "input-stationary")


def folds_of(flow: str, rows: int, columns: int, tokens: int, inputs: int, outputs: int) -> tuple[int, int]:
    """Folds, and the steps of each."""
    across = {
        "output-stationary": (tokens, outputs, inputs),
        "weight-stationary": (inputs, outputs, tokens),
        "input-stationary": (inputs, tokens, outputs),
    }
    down, right, steps = across[flow]
    return -(-down // rows) * -(-right // columns), steps


def scalar_machine(flow: str, rows: int, columns: int) -> Architecture:
    """Elements that take one step a cycle, and ports that never limit: SCALE-Sim's machine."""
    machine = load_architecture("fp-fp")
    element = machine.processing_element.model_copy(update={"lanes": 8, "timing": None, "cycles_per_group": "1"})
    buffer = BufferConfig.model_validate({"capacity": "64 MiB", "port": "65536 bit"})
    return machine.model_copy(
        update={
            "array": Array(rows=rows, columns=columns, dataflow=flow),  # pyright: ignore[reportArgumentType]
            "processing_element": element,
            "activation_buffer": buffer,
            "weight_buffer": buffer,
            "partial_sums": "buffer",
        }
    )


def own_cycles(flow: str, rows: int, columns: int, tokens: int, inputs: int, outputs: int) -> int:
    """Our cycles of the array for `inputs` groups, with everything on chip."""
    gemm = Gemm("u", tokens, 8 * inputs, outputs)
    shape = map_gemm(gemm, scalar_machine(flow, rows, columns), Precision.uniform(16))
    place = "array" if flow == "output-stationary" else "buffer"
    return array_cycles(shape, GemmMapping("activations", tokens, 8 * inputs, outputs, 2, 2, place))


@each("case", PRINTED)
def test_the_table_is_that_of_the_known_formulas(case: tuple[int, int, int, int, int]):
    """A fold takes its steps and the skew of rows and columns; filling it with an operand takes a cycle a row more."""
    rows, columns, *sizes = case
    for flow, printed in zip(FLOWS, PRINTED[case], strict=True):
        folds, steps = folds_of(flow, rows, columns, *sizes)  # pyright: ignore[reportCallIssue]
        fill = 0 if flow == "output-stationary" else rows
        assert printed + 1 == folds * (fill + steps + rows + columns - 2)


DIFFERENCES: dict[str, Callable[[int, int, int, int], int]] = {
    "weight-stationary": lambda folds, steps, rows, columns: folds * (columns - 1),
    "input-stationary": lambda folds, steps, rows, columns: folds * (columns - 1),
    "output-stationary": lambda folds, steps, rows, columns: (
        folds * (rows + columns - 2) - (folds - 1) * max(5 + columns - steps, 0)
    ),
}
"""Cycles that SCALE-Sim takes more, by folds, steps, rows and columns: ours sends operands over buses, without the skew of columns
(weight, input) or of both (output stationary), where a short reduction waits for the outputs before, one column a cycle."""


@each("case", PRINTED)
def test_our_cycles_differ_by_fill_and_drain_alone(case: tuple[int, int, int, int, int]):
    rows, columns, *sizes = case
    for flow, printed in zip(FLOWS, PRINTED[case], strict=True):
        folds, steps = folds_of(flow, rows, columns, *sizes)  # pyright: ignore[reportCallIssue]
        ours = own_cycles(flow, *case)
        assert printed + 1 - ours == DIFFERENCES[flow](folds, steps, rows, columns), flow
