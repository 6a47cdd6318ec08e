"""Testbenches of the matrix unit and the matrix engine: run whole GeMMs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....formats import AndaTensor, GemmFlags, Int4Weights
from ....formats.accelerator import AcceleratorConfig
from ....formats.accelerator.layout import activation_rows, factor_rows, weight_rows
from ....formats.gemm.operands import check_operands
from ...array.buffers import ADDRESS_BITS
from ...array.dispatch import TILES
from ...array.engine import MatrixEngine, MatrixEngineParameters
from ...array.mxu import MatrixUnit, MatrixUnitParameters
from ..operands import factor_stream, plane_rows_stream, weight_stream
from ..packing import pack, unpack
from ..simulate import SimulatorName, run_streams
from ..streams import Pauses, StreamRun


@dataclass(frozen=True)
class MatrixRun:
    """Result of a GeMM on a matrix unit or a matrix engine.

    Attributes
    ----------
    outputs : float16 ``[tokens, out]``
        Outputs of the circuit.
    flags : `GemmFlags`
        Sticky flags of the circuit.
    cycles : `int`
        Clock cycles until the last output is sent.
    """

    outputs: NDArray[np.float16]
    flags: GemmFlags
    cycles: int


def run_matrix_unit(
    activations: AndaTensor,
    weights: Int4Weights,
    *,
    rows: int = 16,
    columns: int = 16,
    pauses: Pauses | None = None,
    simulator: SimulatorName = "amaranth",
    vcd: Path | None = None,
    **options: Any,
) -> MatrixRun:
    """Run a GeMM on a `MatrixUnit`: for each block of `rows` tokens, all tiles of `columns` outputs.

    Parameters
    ----------
    activations : `AndaTensor`
        Activations ``[tokens, channels]``. Zero planes are skipped if their format has plane masks, which must cover
        `rows` tokens.
    weights : `Int4Weights`
        Weights ``[channels, out]``. The circuit has ``min(group sizes)`` lanes, and a segment is as many channels.
    rows, columns : `int`
        Size of the array.
    pauses : mapping of port to sequence of `bool`
        Pauses of ``planes``, ``weights``, ``factors`` and ``outputs``; see `run_streams`.
    simulator : `str`
        ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``.
    vcd : path
        Waveform file to write.
    **options
        Other options of the circuit: `tree`, `operand_isolation`, `signs`, `units`.
    """
    check_operands(activations, weights, "fp16")
    tokens, lanes = activations.shape[0], min(activations.format.group_size, weights.group_size)
    outputs = weights.codes.shape[1]
    affine = weights.offsets is not None
    midpoint = activations.format.reconstruct == "midpoint"
    skipping = activations.format.mask_rows > 0
    unit = MatrixUnit(
        MatrixUnitParameters(
            rows=rows,
            columns=columns,
            lanes=lanes,
            affine=affine,
            midpoint=midpoint,
            skipping=skipping,
            **options,
        )
    )
    blocks, tiles = -(-tokens // rows), -(-outputs // columns)

    of_blocks = [
        plane_rows_stream(activations.take(slice(start, start + rows)), rows, lanes) for start in range(0, tokens, rows)
    ]
    inputs = {
        "planes": [word for planes in of_blocks for word in planes * tiles],
        "weights": weight_stream(weights, columns, lanes, unit.parameters.unit.weight_bits) * blocks,
        "factors": factor_stream(weights, columns, lanes) * blocks,
    }
    flags = ["partial_saturated", "result_saturated"]
    run = run_streams(
        unit, inputs, {"outputs": blocks * tiles * columns}, flags=flags, pauses=pauses, simulator=simulator, vcd=vcd
    )
    values = unpack(run.transfers["outputs"].payloads, 16, rows).reshape(blocks, tiles * columns, rows)
    halves = _halves(values.swapaxes(1, 2).reshape(blocks * rows, -1)[:tokens, :outputs])
    return MatrixRun(halves, _sticky(run), run.transfers["outputs"].cycles[-1] + 1)


def run_matrix_engine(
    activations: AndaTensor,
    weights: Int4Weights,
    *,
    rows: int = 16,
    columns: int = 16,
    pauses: Pauses | None = None,
    simulator: SimulatorName = "amaranth",
    **options: Any,
) -> MatrixRun:
    """Run a GeMM on a `MatrixEngine`: fill its buffers, then send one command for each block of `rows` tokens.

    The cycles of the result do not include the filling of the buffers.

    Parameters
    ----------
    activations : `AndaTensor`
        Activations ``[tokens, channels]``. Zero planes are skipped if their format has plane masks, which must cover
        `rows` tokens.
    weights : `Int4Weights`
        Weights ``[channels, out]``. The circuit has ``min(group sizes)`` lanes, and a segment is as many channels.
    rows, columns : `int`
        Size of the array.
    pauses : mapping of port to sequence of `bool`
        Pauses of ``groups``; see `run_streams`.
    simulator : `str`
        ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``.
    **options
        Other options of the circuit: `signs`, `units`.
    """
    check_operands(activations, weights, "fp16")
    machine = replace(_engine_machine(activations, weights, rows, columns), **options)
    blocks, groups = -(-activations.shape[0] // rows), -(-weights.codes.shape[1] // machine.lanes)
    inputs = _buffer_contents(machine, activations, weights)
    depths = {depth: max(2, len(inputs[port])) for depth, port in _DEPTHS.items()}
    filling = max(len(payloads) for payloads in inputs.values())
    inputs["command"] = _engine_commands(machine, activations, weights)
    waits = {"command": [True] * filling + [False] * 1_000_000}
    engine = MatrixEngine(MatrixEngineParameters.from_config(machine, **depths))
    flags = ["partial_saturated", "result_saturated"]
    moved = {"groups": blocks * groups * rows}
    run = run_streams(engine, inputs, moved, flags=flags, pauses={**waits, **(pauses or {})}, simulator=simulator)
    values = unpack(run.transfers["groups"].payloads, 16, machine.lanes).reshape(blocks, groups, rows, machine.lanes)
    cycles = run.transfers["groups"].cycles[-1] - run.transfers["command"].cycles[0] + 1
    outputs = values.swapaxes(1, 2).reshape(blocks * rows, -1)[: activations.shape[0], : weights.codes.shape[1]]
    return MatrixRun(_halves(outputs), _sticky(run), cycles)


_DEPTHS = {
    "depth": "write_planes",
    "exponent_depth": "write_exponents",
    "weight_depth": "write_weights",
    "factor_depth": "write_factors",
}


def _engine_machine(activations: AndaTensor, weights: Int4Weights, rows: int, columns: int) -> AcceleratorConfig:
    """Configuration of an accelerator whose buffers have the rows of this engine."""
    return AcceleratorConfig(
        rows=rows,
        columns=columns,
        lanes=min(activations.format.group_size, weights.group_size),
        affine=weights.offsets is not None,
        memory_bits=1 << 14,
        midpoint=activations.format.reconstruct == "midpoint",
        skipping=activations.format.mask_rows > 0,
    )


def _segments_per_factor(machine: AcceleratorConfig, weights: Int4Weights) -> int:
    return max(1, weights.group_size // machine.lanes)


def _buffer_contents(machine: AcceleratorConfig, activations: AndaTensor, weights: Int4Weights) -> dict[str, list[int]]:
    """Rows of the engine's buffers with their addresses, from address 0, for each write port."""
    planes, exponents = activation_rows(activations, machine)
    contents = {
        "write_planes": planes,
        "write_exponents": exponents,
        "write_weights": weight_rows(weights, machine),
        "write_factors": factor_rows(weights, machine, _segments_per_factor(machine, weights)),
    }
    return {
        name: [index | row << ADDRESS_BITS for index, row in enumerate(pack(rows.reshape(-1, rows.shape[-1]), 1))]
        for name, rows in contents.items()
    }


def _engine_commands(machine: AcceleratorConfig, activations: AndaTensor, weights: Int4Weights) -> list[int]:
    """Commands of the engine, one for each block of tokens, over all tiles of the outputs."""
    tokens, channels = activations.shape
    groups = -(-channels // machine.lanes)
    mantissa_bits = activations.format.mantissa_bits
    every = {
        "groups": groups,
        "tiles": -(-weights.codes.shape[1] // machine.lanes) * machine.tiles,
        "mantissa_bits": mantissa_bits,
        "groups_per_factor": _segments_per_factor(machine, weights),
        "unsigned_codes": int(machine.affine),
    }
    firsts = range(0, -(-tokens // machine.rows) * groups, groups)
    commands = [{"planes": first * (mantissa_bits + 1), "exponents": first, **every} for first in firsts]
    layout: Any = TILES
    return [layout.const(command).as_bits() for command in commands]


def _halves(patterns: NDArray[np.int64]) -> NDArray[np.float16]:
    return np.ascontiguousarray(patterns.astype(np.uint16)).view(np.float16)


def _sticky(run: StreamRun) -> GemmFlags:
    return GemmFlags(bool(run.flags["partial_saturated"]), bool(run.flags["result_saturated"]))
