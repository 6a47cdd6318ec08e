"""A GeMM on the accelerator's circuit: are its outputs those of the format, and its cycles those of the timing model?"""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from ...formats import AndaTensor, GemmFlags, InputError, Int4Weights, fp_int_gemm
from ...formats.accelerator import AcceleratorConfig, Schedule, compile_gemms, program_planes, read_outputs, read_tensor
from ...formats.anda.plane_mask import MASK_BITS
from ...formats.numeric.alignment import MAX_MANTISSA_BITS
from ...workloads import MODULES, Trace
from ..precision_search.search_space import Reconstruct

if TYPE_CHECKING:
    from ...rtl import AcceleratorRun

GROUP = 64
RANDOM_WEIGHT_GROUP = 128


@dataclass(frozen=True)
class GemmSlice:
    """Which GeMM to run.

    Attributes:
        mantissa_bits: M of the activations.
        tokens, channels, outputs: its size.
        trace: where activations and weights come from; None makes them up, from `seed`.
        layer: a layer of the trace; None is the first that it holds.
        module: of the model.
        result_mantissa_bits: M to which the outputs are compressed; None leaves them FP16.
    """

    mantissa_bits: int
    tokens: int
    channels: int
    outputs: int
    trace: Path | None = None
    layer: int | None = None
    module: str = "qkv"
    result_mantissa_bits: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class AcceleratorCheck:
    """What came of it."""

    mismatches: int
    """Outputs, or words of the compressed outputs, that are not those of `formats`; flags, too."""
    cycles: int
    predicted_cycles: int
    """What `sim.accelerator` says."""
    simulator: str
    compared: int
    records: int
    """Retire records: groups, tiles, instructions."""
    differing_records: int
    """Those whose cycle is not the predicted one."""
    m: int
    tokens: int
    k: int
    n: int
    rows: int
    columns: int
    lanes: int
    memory_latency_cycles: int
    reconstruct: str
    skip_zero_planes: bool
    partial_saturated: bool
    result_saturated: bool

    @property
    def agrees(self) -> bool:
        """Whether bits, cycles and records are all as they should be."""
        return not self.mismatches and not self.differing_records and self.cycles == self.predicted_cycles

    def record(self) -> dict[str, Any]:
        """As a plain dictionary."""
        return asdict(self)


def default_simulator() -> str:
    """cxxrtl where it and a compiler are installed, else Amaranth's own."""
    return "cxxrtl" if importlib.util.find_spec("pyosys") and shutil.which("g++") else "amaranth"


def operands(gemm: GemmSlice) -> tuple[NDArray[np.float16], Int4Weights]:
    """Activations ``[tokens, channels]`` and weights ``[channels, outputs]``.

    Raises:
        InputError: the trace is missing or damaged, or holds less.
    """
    _check(gemm)
    if gemm.trace is None:
        rng = np.random.default_rng(gemm.seed)
        x = rng.standard_normal((gemm.tokens, gemm.channels)).astype(np.float16)
        return x, Int4Weights.quantize(rng.standard_normal((gemm.channels, gemm.outputs)), RANDOM_WEIGHT_GROUP)
    trace = Trace.load(_trace_path(gemm.trace))
    layer = trace.metadata["layers"][0] if gemm.layer is None else gemm.layer
    x = trace.activation(layer, gemm.module)
    weights = trace.first_weights(layer, gemm.module)
    held = (("tokens", gemm.tokens, x.shape[0]), ("k", gemm.channels, x.shape[1]))
    for field, asked, most in (*held, ("n", gemm.outputs, weights.codes.shape[1])):
        if asked > most:
            raise InputError(f"{field}: {asked} of {most} that the trace holds; use 1 to {most}")
    x = np.ascontiguousarray(x[: gemm.tokens, : gemm.channels])
    return x, _corner(weights, gemm.channels, gemm.outputs)


def _check(gemm: GemmSlice) -> None:
    for field, size in (("tokens", gemm.tokens), ("k", gemm.channels), ("n", gemm.outputs)):
        if size < 1:
            raise InputError(f"{field}: is {size}; give at least 1")
    for field, width in (("m", gemm.mantissa_bits), ("result_m", gemm.result_mantissa_bits)):
        if width is not None and not 1 <= width <= MAX_MANTISSA_BITS:
            raise InputError(f"{field}: {width} is out of range; use 1 to {MAX_MANTISSA_BITS}")
    if gemm.trace is None and gemm.layer is not None:
        raise InputError("layer: random data has none; leave it out or give a trace")
    if gemm.seed < 0:
        raise InputError(f"seed: {gemm.seed} is negative; use 0 or more")
    if gemm.module not in MODULES:
        raise InputError(f"module: {gemm.module!r} is unknown; use {', '.join(MODULES)}")


def _trace_path(path: Path) -> Path:
    """The trace itself, or the only one in a folder."""
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.safetensors"))
    return files[0] if len(files) == 1 else path


def _corner(weights: Int4Weights, channels: int, outputs: int) -> Int4Weights:
    """The first channels and outputs of a weight matrix."""
    groups = -(-channels // weights.group_size)
    offsets = None if weights.offsets is None else np.ascontiguousarray(weights.offsets[:groups, :outputs])
    return Int4Weights(
        np.ascontiguousarray(weights.codes[:channels, :outputs]),
        np.ascontiguousarray(weights.scales[:groups, :outputs]),
        weights.group_size,
        offsets,
    )


def run_gemm(
    gemm: GemmSlice,
    *,
    rows: int = 4,
    columns: int = 4,
    latency_cycles: int = 16,
    simulator: str | None = None,
    reconstruct: Reconstruct = "truncate",
    skip_zero_planes: bool = False,
) -> AcceleratorCheck:
    """Run a GeMM on the accelerator and compare with `formats` bit for bit, with `sim` record for record.

    Args:
        gemm: which one.
        rows: of the array.
        columns: of the array.
        latency_cycles: of the memory.
        simulator: of the circuit; None takes `default_simulator`.
        reconstruct: of activations and compressed outputs.
        skip_zero_planes: the array passes over planes that are zero in a whole block of tokens.

    Raises:
        InputError: the GeMM, the array or the simulator cannot be had.
    """
    simulator = simulator or default_simulator()
    from ...rtl import run_schedule
    from ...rtl.simulation.simulate import SimulatorName
    from ...sim.cycle import accelerator as model

    chosen: SimulatorName | None = next((name for name in get_args(SimulatorName) if name == simulator), None)
    if chosen is None:
        raise InputError(f"simulator: there is no {simulator!r}; choose one of {', '.join(get_args(SimulatorName))}")
    if reconstruct not in get_args(Reconstruct):
        choices = ", ".join(get_args(Reconstruct))
        raise InputError(f"reconstruct: there is no {reconstruct!r}; choose one of {choices}")
    x, weights = operands(gemm)
    machine = replace(
        _machine(rows, columns, min(GROUP, weights.group_size), weights.offsets is not None, skip_zero_planes),
        midpoint=reconstruct == "midpoint",
        nearest=reconstruct == "nearest",
    )
    activations = replace(machine.format(gemm.mantissa_bits), group_size=GROUP).encode(x)
    plan, memory = compile_gemms(machine, activations, [weights], result_mantissa_bits=gemm.result_mantissa_bits)
    run = run_schedule(plan, memory, latency_cycles=latency_cycles, simulator=chosen)
    predicted = model.run_schedule(plan, latency_cycles, program_planes(plan, [activations]))
    compared, mismatches = _compare(plan, run, activations, weights)
    differing = [
        cycle != expected_cycle
        for kind, cycles in run.retired.items()
        for cycle, expected_cycle in zip(cycles, predicted.retired[kind], strict=True)
    ]
    return AcceleratorCheck(
        mismatches=mismatches,
        cycles=run.cycles,
        predicted_cycles=predicted.cycles,
        simulator=chosen,
        compared=compared,
        records=len(differing),
        differing_records=sum(differing),
        m=gemm.mantissa_bits,
        tokens=gemm.tokens,
        k=gemm.channels,
        n=gemm.outputs,
        rows=rows,
        columns=columns,
        lanes=machine.lanes,
        memory_latency_cycles=latency_cycles,
        reconstruct=reconstruct,
        skip_zero_planes=skip_zero_planes,
        partial_saturated=run.flags["partial_saturated"],
        result_saturated=run.flags["result_saturated"],
    )


def _compare(plan: Schedule, run: AcceleratorRun, activations: AndaTensor, weights: Int4Weights) -> tuple[int, int]:
    """Values or words compared, and how many of them, and of the flags, differ."""
    flags = GemmFlags()
    expected = fp_int_gemm(activations, weights, flags=flags)
    if plan.result_mantissa_bits is None:
        pairs = [(read_outputs(plan, run.memory).view(np.uint16), expected.view(np.uint16))]
    else:
        left = read_tensor(plan, run.memory)
        right = plan.machine.format(plan.result_mantissa_bits).encode(expected)
        pairs = [(getattr(left, name), getattr(right, name)) for name in ("signs", "planes", "exponents")]
    mismatches = sum(int(np.count_nonzero(ours != theirs)) for ours, theirs in pairs)
    mismatches += run.flags["partial_saturated"] != flags.partial_saturated
    mismatches += run.flags["result_saturated"] != flags.result_saturated
    return sum(theirs.size for _, theirs in pairs), mismatches


def _machine(rows: int, columns: int, lanes: int, affine: bool, skipping: bool) -> AcceleratorConfig:
    """A machine of that array, with a memory port as wide as the widest row that it has to carry.

    Its buffers are a quarter of the accelerator's, or less, and it has no vector unit: simulators take longer to build
    what a GeMM does not use.
    """
    widest = max(
        rows * lanes, lanes * columns, 16 * lanes, 16 * columns * (1 + affine), 5 * rows + MASK_BITS * skipping
    )
    return AcceleratorConfig(
        rows=rows,
        columns=columns,
        lanes=lanes,
        affine=affine,
        memory_bits=-(-widest // 8) * 8,
        plane_depth=2048,
        exponent_depth=512,
        weight_depth=1024,
        factor_depth=512,
        result_depth=512,
        instruction_depth=1024,
        vector_unit=False,
        skipping=skipping,
    )


CYCLES_TABLE = (
    (GemmSlice(7, 8, 256, 64), 4, 4, 16),
    (GemmSlice(7, 8, 256, 64), 4, 4, 100),
    (GemmSlice(1, 8, 256, 64), 4, 4, 16),
    (GemmSlice(16, 8, 256, 64), 4, 4, 16),
    (GemmSlice(7, 5, 100, 70), 4, 4, 16),
    (GemmSlice(7, 8, 256, 192), 4, 4, 16),
    (GemmSlice(7, 8, 256, 64, result_mantissa_bits=6), 4, 4, 16),
    (GemmSlice(7, 8, 256, 64), 2, 8, 16),
)
"""GeMMs, rows and columns of the array, cycles of the memory's latency."""


def cycles_table(simulator: str | None = None) -> list[AcceleratorCheck]:
    """The GeMMs of `CYCLES_TABLE`, each in the circuit and in the model."""
    return [
        run_gemm(gemm, rows=rows, columns=columns, latency_cycles=latency_cycles, simulator=simulator)
        for gemm, rows, columns, latency_cycles in CYCLES_TABLE
    ]
