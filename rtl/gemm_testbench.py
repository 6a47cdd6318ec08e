"""Runs whole GeMMs on the matrix unit and on the matrix engine."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..formats import AndaTensor, GemmFlags, Int4Weights
from ..formats.gemm import check_operands
from .buffers import ADDRESS_BITS
from .dispatch import CODE_BITS, GROUPS_BITS, TILES_BITS
from .engine import MatrixEngine
from .interfaces import EXPONENT_BITS
from .mxu import MatrixUnit
from .operands import factor_stream, plane_masks, plane_rows_stream, weight_stream
from .packing import pack, unpack
from .simulate import SimulatorName, run_streams
from .streams import Pauses
from .summation import Tree


@dataclass(frozen=True)
class GemmRun:
    """What a circuit made of a GeMM.

    Attributes
    ----------
    outputs : float16 ``[tokens, out]``
    flags : `GemmFlags`
        The circuit's sticky flags.
    cycles : `int`
        Clock cycles until the last output has left.
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
    tree: Tree = "ripple",
    gated: bool = False,
) -> GemmRun:
    """Run a GeMM on a `MatrixUnit`, tile by tile: blocks of `rows` tokens, of each all blocks of `columns` outputs.

    Activations ``[tokens, channels]``, weights ``[channels, out]``; a segment is ``min(group sizes)`` channels, and the
    circuit has as many lanes. `pauses` may name ``planes``, ``weights``, ``factors`` and ``outputs``. Planes are skipped if
    the activations' format has masks, for `rows` tokens. `tree` and `gated` are the circuit's.
    """
    check_operands(activations, weights, "fp16")
    tokens, lanes = activations.shape[0], min(activations.format.group_size, weights.group_size)
    outputs = weights.codes.shape[1]
    affine = weights.offsets is not None
    midpoint = activations.format.reconstruct == "midpoint"
    skipping = activations.format.mask_rows > 0
    unit = MatrixUnit(
        rows=rows,
        columns=columns,
        lanes=lanes,
        affine=affine,
        midpoint=midpoint,
        skipping=skipping,
        tree=tree,
        gated=gated,
    )
    blocks, tiles = -(-tokens // rows), -(-outputs // columns)

    of_blocks = [
        plane_rows_stream(activations.take(slice(start, start + rows)), rows, lanes) for start in range(0, tokens, rows)
    ]
    inputs = {
        "planes": [word for planes in of_blocks for word in planes * tiles],
        "weights": weight_stream(weights, columns, lanes, unit.weight_bits) * blocks,
        "factors": factor_stream(weights, columns, lanes) * blocks,
    }
    flags = ["partial_saturated", "result_saturated"]
    run = run_streams(
        unit, inputs, {"outputs": blocks * tiles * columns}, flags=flags, pauses=pauses, simulator=simulator, vcd=vcd
    )
    values = unpack(run.transfers["outputs"].payloads, 16, rows).reshape(blocks, tiles * columns, rows)
    halves = values.swapaxes(1, 2).reshape(blocks * rows, -1)[:tokens, :outputs].astype(np.uint16)
    sticky = GemmFlags(*(bool(run.flags[name]) for name in flags))
    return GemmRun(np.ascontiguousarray(halves).view(np.float16), sticky, run.transfers["outputs"].cycles[-1] + 1)


def run_matrix_engine(
    activations: AndaTensor,
    weights: Int4Weights,
    *,
    rows: int = 16,
    columns: int = 16,
    pauses: Pauses | None = None,
    simulator: SimulatorName = "amaranth",
) -> GemmRun:
    """Run a GeMM on a `MatrixEngine`: fill its buffers, then one command for each block of `rows` tokens.

    Activations ``[tokens, channels]``, weights ``[channels, out]``; a segment is ``min(group sizes)`` channels, and the
    circuit has as many lanes. `pauses` may name ``groups``. The cycles do not count the filling of the buffers. Planes are
    skipped if the activations' format has masks, for `rows` tokens.
    """
    check_operands(activations, weights, "fp16")
    tokens, lanes = activations.shape[0], min(activations.format.group_size, weights.group_size)
    outputs, mantissa_bits = weights.codes.shape[1], activations.format.mantissa_bits
    affine = weights.offsets is not None
    padded = np.pad(weights.codes, ((0, 0), (0, -outputs % lanes)))
    blocks, tiles = -(-tokens // rows), padded.shape[1] // columns
    wide = _widened(weights, padded)
    skipping = activations.format.mask_rows > 0
    every_plane = dataclasses.replace(activations, format=dataclasses.replace(activations.format, mask_rows=0))
    plane_rows = plane_rows_stream(every_plane, rows, lanes)
    segments = len(plane_rows) // blocks // (mantissa_bits + 1)
    plane_bits = rows * lanes
    codes = weight_stream(wide, columns, lanes, CODE_BITS)
    factor_bits = 16 * columns * (1 + affine)
    sharing = max(1, weights.group_size // lanes)
    factors = [
        word & (1 << factor_bits) - 1
        for index, word in enumerate(factor_stream(wide, columns, lanes))
        if index % segments % sharing == 0
    ]
    exponents = [word >> plane_bits & (1 << rows * EXPONENT_BITS) - 1 for word in plane_rows[:: mantissa_bits + 1]]
    contents = {
        "write_planes": [word & (1 << plane_bits) - 1 for word in plane_rows],
        "write_exponents": exponents,
        "write_weights": [
            word >> lanes * columns * row & (1 << lanes * columns) - 1 for word in codes for row in range(4)
        ],
        "write_factors": factors,
    }
    if skipping:
        masks = plane_masks(activations, rows, lanes).reshape(len(exponents), -1)
        contents["write_masks"] = pack(np.pad(masks, ((0, 0), (0, 1))).astype(np.int64), 1)
    inputs = {
        name: [index | row << ADDRESS_BITS for index, row in enumerate(rows_)] for name, rows_ in contents.items()
    }
    addresses = np.zeros((blocks, 4), np.int64)
    addresses[:, 0] = np.arange(blocks) * segments * (mantissa_bits + 1)
    addresses[:, 1] = np.arange(blocks) * segments
    rest = segments | tiles << GROUPS_BITS | mantissa_bits << (GROUPS_BITS + TILES_BITS)
    rest |= (sharing | int(affine) << 6) << (GROUPS_BITS + TILES_BITS + 5)
    inputs["command"] = [word | rest << 4 * ADDRESS_BITS for word in pack(addresses, ADDRESS_BITS)]
    filling = max(len(payloads) for payloads in inputs.values())
    waits = {"command": [True] * filling + [False] * 1_000_000}
    engine = MatrixEngine(
        rows=rows,
        columns=columns,
        lanes=lanes,
        affine=affine,
        midpoint=activations.format.reconstruct == "midpoint",
        skipping=skipping,
        **{name: max(2, len(contents[port])) for name, port in _DEPTHS.items()},
    )
    flags = ["partial_saturated", "result_saturated"]
    moved = {"groups": blocks * padded.shape[1] // lanes * rows}
    run = run_streams(engine, inputs, moved, flags=flags, pauses={**waits, **(pauses or {})}, simulator=simulator)
    values = unpack(run.transfers["groups"].payloads, 16, lanes).reshape(blocks, -1, rows, lanes)
    halves = values.swapaxes(1, 2).reshape(blocks * rows, -1)[:tokens, :outputs].astype(np.uint16)
    sticky = GemmFlags(*(bool(run.flags[name]) for name in flags))
    cycles = run.transfers["groups"].cycles[-1] - run.transfers["command"].cycles[0] + 1
    return GemmRun(np.ascontiguousarray(halves).view(np.float16), sticky, cycles)


_DEPTHS = {
    "depth": "write_planes",
    "exponent_depth": "write_exponents",
    "weight_depth": "write_weights",
    "factor_depth": "write_factors",
}


def _widened(weights: Int4Weights, codes: NDArray[np.int8]) -> Int4Weights:
    """The weights with zero outputs appended."""
    padding = ((0, 0), (0, codes.shape[1] - weights.codes.shape[1]))
    offsets = None if weights.offsets is None else np.pad(weights.offsets, padding)
    return Int4Weights(codes, np.pad(weights.scales, padding), weights.group_size, offsets)
