"""Run a GeMM on the accelerator's circuit, and compare its outputs with the format and its cycles with the timing model."""

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
from ...formats.checks import check_choice, check_integer
from ...formats.numeric.alignment import GROUP_SIZE, MAX_MANTISSA_BITS
from ...formats.options import Shortening
from ...workloads import MODULES, Trace
from ..inputs import as_trace
from ..options.circuits import AcceleratorOptions, CycleOptions
from ..options.question import question
from ..options.result import Result
from ..progress import stage

if TYPE_CHECKING:
    from ...rtl import AcceleratorRun

RANDOM_WEIGHT_GROUP = 128


@dataclass(frozen=True)
class AcceleratorCheck(Result):
    """Comparison of one run of the circuit with the format and with the timing model."""

    mismatches: int
    """Outputs, words of compressed outputs, and overflow flags that differ from those of `formats`."""
    cycles: int
    """Cycles of the circuit."""
    predicted_cycles: int
    """Cycles of the timing model `sim.cycle.accelerator`."""
    simulator: str
    compared: int
    """Outputs or words of compressed outputs that were compared."""
    compared_records: int
    """Completed groups, tiles and instructions, each with the cycle of its completion."""
    differing_records: int
    """Records that completed in another cycle than the timing model predicts."""
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
        """True if all outputs, cycles and records are equal."""
        return not self.mismatches and not self.differing_records and self.cycles == self.predicted_cycles

    def to_dict(self) -> dict[str, Any]:
        """The document that ``anda rtl run --json -`` prints; ``records`` are the compared records."""
        return {"records" if name == "compared_records" else name: value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class AcceleratorChecks(Result):
    """Result of `accelerator_cycles`: one comparison for each GeMM."""

    checks: list[AcceleratorCheck]

    @property
    def agrees(self) -> bool:
        """True if all comparisons agree."""
        return all(check.agrees for check in self.checks)

    def to_dict(self) -> list[dict[str, Any]]:
        """The document that ``anda rtl cycles --json -`` prints."""
        return [check.to_dict() for check in self.checks]


@question(AcceleratorOptions)
def run_accelerator(options: AcceleratorOptions) -> AcceleratorCheck:
    """Run a GeMM on the accelerator's circuit; compare its outputs with the format, its cycles with the timing model.

    Returns
    -------
    AcceleratorCheck
        Mismatches and cycles, in one row.

    Raises
    ------
    InputError
        A value is out of range, the trace is smaller than the GeMM, or the simulator is not installed.
    """
    return run_gemm(options)


@question(CycleOptions)
def accelerator_cycles(options: CycleOptions) -> AcceleratorChecks:
    """Run small GeMMs on the accelerator's circuit; compare its cycles with those of the timing model.

    Returns
    -------
    AcceleratorChecks
        One row for each GeMM of `CYCLES_TABLE`.

    Raises
    ------
    InputError
        The simulator is unknown or not installed.
    """
    checks: list[AcceleratorCheck] = []
    with stage("GeMMs on the accelerator's circuit", len(CYCLES_TABLE)) as advance:
        for gemm in CYCLES_TABLE:
            checks.append(run_gemm(replace(gemm, simulator=options.simulator)))
            advance(1)
    return AcceleratorChecks(checks)


def default_simulator() -> str:
    """``cxxrtl`` if pyosys and a C++ compiler are installed, otherwise Amaranth's simulator."""
    return "cxxrtl" if importlib.util.find_spec("pyosys") and shutil.which("g++") else "amaranth"


def operands(gemm: AcceleratorOptions) -> tuple[NDArray[np.float16], Int4Weights]:
    """Activations ``[tokens, channels]`` in FP16 and INT4 weights ``[channels, outputs]`` of a GeMM.

    Raises
    ------
    InputError
        The trace is missing or damaged, or is smaller than the GeMM.
    """
    _check(gemm)
    if gemm.trace is None:
        rng = np.random.default_rng(gemm.seed)
        x = rng.standard_normal((gemm.tokens, gemm.k)).astype(np.float16)
        return x, Int4Weights.quantize(rng.standard_normal((gemm.k, gemm.n)), RANDOM_WEIGHT_GROUP)
    trace = gemm.trace if isinstance(gemm.trace, Trace) else as_trace(_trace_path(Path(gemm.trace)))
    layer = trace.metadata["layers"][0] if gemm.layer is None else gemm.layer
    x = trace.activation(layer, gemm.module)
    weights = trace.first_weights(layer, gemm.module)
    held = (("tokens", gemm.tokens, x.shape[0]), ("k", gemm.k, x.shape[1]))
    for field, asked, most in (*held, ("n", gemm.n, weights.codes.shape[1])):
        check_integer(field, asked, 1, most)
    x = np.ascontiguousarray(x[: gemm.tokens, : gemm.k])
    return x, weights.corner(gemm.k, gemm.n)


def _check(gemm: AcceleratorOptions) -> None:
    for field, size in (("tokens", gemm.tokens), ("k", gemm.k), ("n", gemm.n)):
        check_integer(field, size, 1)
    for field, width in (("m", gemm.m), ("result_m", gemm.result_m)):
        if width is not None:
            check_integer(field, width, 1, MAX_MANTISSA_BITS)
    if gemm.trace is None and gemm.layer is not None:
        raise InputError("layer: random data has no layers; remove this option or name a trace")
    check_integer("seed", gemm.seed, 0)
    check_choice("module", gemm.module, MODULES)


def _trace_path(path: Path) -> Path:
    """The path itself, or the only trace file in a folder."""
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.safetensors"))
    return files[0] if len(files) == 1 else path


def run_gemm(gemm: AcceleratorOptions) -> AcceleratorCheck:
    """Run a GeMM on the accelerator; compare its outputs with `formats` and the cycle of each record with `sim`.

    Raises
    ------
    InputError
        A value is out of range, the trace is smaller than the GeMM, or the simulator is not installed.
    """
    from ...rtl import run_accelerator_schedule
    from ...rtl.simulation.simulate import SimulatorName
    from ...sim.cycle import accelerator as model

    chosen: SimulatorName = check_choice("simulator", gemm.simulator or default_simulator(), get_args(SimulatorName))
    check_choice("reconstruct", gemm.reconstruct, get_args(Shortening))
    x, weights = operands(gemm)
    machine = replace(
        _machine(gemm, min(GROUP_SIZE, weights.group_size), weights.offsets is not None),
        midpoint=gemm.reconstruct == "midpoint",
        nearest=gemm.reconstruct == "nearest",
    )
    activations = replace(machine.format(gemm.m), group_size=GROUP_SIZE).encode(x)
    plan, memory = compile_gemms(machine, activations, [weights], result_mantissa_bits=gemm.result_m)
    run = run_accelerator_schedule(plan, memory, latency_cycles=gemm.latency, simulator=chosen)
    predicted = model.simulate_schedule(plan, gemm.latency, program_planes(plan, [activations]))
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
        compared_records=len(differing),
        differing_records=sum(differing),
        m=gemm.m,
        tokens=gemm.tokens,
        k=gemm.k,
        n=gemm.n,
        rows=gemm.rows,
        columns=gemm.columns,
        lanes=machine.lanes,
        memory_latency_cycles=gemm.latency,
        reconstruct=gemm.reconstruct,
        skip_zero_planes=gemm.skip_zero_planes,
        partial_saturated=run.flags["partial_saturated"],
        result_saturated=run.flags["result_saturated"],
    )


def _compare(plan: Schedule, run: AcceleratorRun, activations: AndaTensor, weights: Int4Weights) -> tuple[int, int]:
    """Number of compared values or words, and number of mismatches in them and in the overflow flags."""
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


def _machine(gemm: AcceleratorOptions, lanes: int, affine: bool) -> AcceleratorConfig:
    """Accelerator with an array of the asked size and a memory port as wide as the widest row of data.

    To shorten the simulator's build, its buffers are at most a quarter of the full accelerator's, and it has no vector
    unit: a GeMM does not need more.
    """
    rows, columns, skipping = gemm.rows, gemm.columns, gemm.skip_zero_planes
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


_BASE = AcceleratorOptions(tokens=8)
CYCLES_TABLE = (
    _BASE,
    replace(_BASE, latency=100),
    replace(_BASE, m=1),
    replace(_BASE, m=16),
    replace(_BASE, tokens=5, k=100, n=70),
    replace(_BASE, n=192),
    replace(_BASE, result_m=6),
    replace(_BASE, rows=2, columns=8),
)
"""GeMMs of `accelerator_cycles`."""
