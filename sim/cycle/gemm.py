"""A GeMM at level `cycle`: compiled to the program of Anda's circuit and run with exactly its cycles.

The circuit has a read and a write channel to memory, as wide as the buffers' ports, and its own schedule, which keeps a
chunk of tokens on chip and streams the weights.
"""

from ...formats import AndaFormat, InputError
from ...formats.accelerator import AcceleratorConfig, Layer, schedule
from ...formats.weights.int4 import BITS as INT4_BITS
from ..config.architecture import Architecture
from ..mapping.gemm_mapping import GemmMapping
from ..mapping.mapped_gemm import MappedGemm
from ..mapping.mapping_rule import MappingRule
from ..processes.timeline import Timeline
from .accelerator import simulate_schedule

MAX_ROWS = 1 << 14
"""Rows of a memory that an instruction can address."""

MEMORY_LATENCY_CYCLES = 16
"""Cycles from a request to its row."""


def accelerator_machine(architecture: Architecture) -> AcceleratorConfig:
    """Configuration of the circuit with an architecture's array and buffer capacities.

    Raises
    ------
    InputError
        The architecture is not Anda, or the circuit does not support its ports or weights.
    """
    name, array, lanes = architecture.name, architecture.array, architecture.group_size
    exponents = architecture.exponent_buffer
    is_anda = issubclass(architecture.activations.registered, AndaFormat)
    if architecture.processing_element.timing != "bit-serial" or exponents is None or not is_anda:
        raise InputError(f"level: cycle needs the circuit of Anda; use analytical or events with {name}")
    if array.dataflow != "output-stationary":
        raise InputError(
            f"array.dataflow: the circuit of level cycle holds outputs; use output-stationary, or level analytical or events for "
            f"{array.dataflow}"
        )
    if array.count > 1:
        raise InputError("array.count: the circuit of level cycle has one array; use 1, or level analytical or events")
    if architecture.scratchpad == "shared":
        raise InputError("scratchpad: the circuit of level cycle has separate buffers; use separate, or level events")
    weights = architecture.weights
    dense = not weights.sparse_fraction and not weights.decode_cycles
    if architecture.weight_digits != 1 or not dense or weights.bits != INT4_BITS:
        raise InputError(f"level: cycle needs INT4 weights; use analytical or events with {weights.name}")
    if architecture.partial_sums == "buffer":
        raise InputError("partial_sums: the circuit of level cycle keeps them in the array; use array, or level events")
    weight_row = lanes * array.columns
    if architecture.weight_buffer.port_bits != weight_row:
        raise InputError(
            f"weight_buffer.port: the circuit needs {weight_row} bit for {array.columns} columns of {lanes} lanes; "
            "use that, or another level"
        )
    return AcceleratorConfig(
        rows=array.rows,
        columns=array.columns,
        lanes=lanes,
        memory_bits=architecture.activation_buffer.port_bits,
        plane_depth=_depth(architecture.activation_buffer.capacity_bytes, array.rows * lanes),
        exponent_depth=_depth(exponents.capacity_bytes, array.rows * 5),
        weight_depth=_depth(architecture.weight_buffer.capacity_bytes, weight_row),
        instruction_depth=MAX_ROWS,
        midpoint=architecture.processing_element.midpoint,
    )


def run_cycle_level(mapped: MappedGemm, rule: MappingRule, timeline: Timeline | None = None) -> tuple[int, GemmMapping]:
    """Cycles of a GeMM, from the start of its program to its end, and its mapping: the chunk of tokens on chip.

    A timeline, if given, records the activity of the units.

    Raises
    ------
    InputError
        The circuit does not support the architecture (`accelerator_machine`), the GeMM does not fit its memories, or
        another mapping than the circuit's own is asked for.
    """
    machine = accelerator_machine(mapped.architecture)
    weights = mapped.architecture.weights
    layer = Layer(
        channels=mapped.in_channels,
        outputs=mapped.out_channels,
        mantissa_bits=mapped.mantissa_bits,
        groups_per_factor=-(-weights.group_size // machine.lanes),
    )
    plan = schedule(machine, mapped.tokens, [layer], mapped.result_mantissa_bits)
    tokens = min(plan.chunks[0].blocks * machine.rows, mapped.tokens)
    own = GemmMapping("activations", tokens, mapped.in_channels, min(machine.lanes, mapped.out_channels), 1, 2)
    _check_rule(rule, own)
    run = simulate_schedule(plan, MEMORY_LATENCY_CYCLES)
    if timeline is not None:
        from .program_timeline import draw_program

        draw_program(timeline, machine, plan.instructions, run)
    return run.cycles, own


def _check_rule(rule: MappingRule, own: GemmMapping) -> None:
    """Check that a rule asks for the circuit's own mapping, or for the best, which at this level is its own."""
    short = rule.kind == "activations" and rule.size == own.tokens
    if rule.kind == "best" or short or rule.mapping == own:
        return
    why = (
        "has no buffer for partial sums"
        if rule.mapping and rule.mapping.buffered_sums
        else "has one mapping of this GeMM"
    )
    raise InputError(f"mapping: the circuit of level cycle {why}; use {own} instead of {rule}, or level events")


def _depth(capacity_bytes: int, row_bits: int) -> int:
    return min(capacity_bytes * 8 // row_bits, MAX_ROWS)
