"""Random small machines and every legal mapping of a GeMM on them, found by trying all sizes."""

from collections.abc import Iterator
from typing import Any

from anda_codesign.formats import InputError
from anda_codesign.sim import architecture_names, load_architecture
from anda_codesign.sim.config.architecture import Architecture, BufferConfig
from anda_codesign.sim.config.array import Array
from anda_codesign.sim.mapping.gemm_mapping import FAMILIES, GemmMapping
from anda_codesign.sim.mapping.legality import check_mapping
from anda_codesign.sim.mapping.mapped_gemm import MappedGemm
from hypothesis import strategies as st


def small_machine(
    name: str,
    array: tuple[int, int],
    buffers: tuple[int, int],
    port: int,
    partial_sums: str = "buffer",
    **fields: Any,
) -> Architecture:
    """An architecture with elements of 8 lanes, an array of some rows and columns and other fields, and buffers of some bytes."""
    machine = load_architecture(name)
    activation, weight = (BufferConfig(capacity=f"{size} B", port=f"{port} bit") for size in buffers)
    return machine.model_copy(
        update={
            "array": Array(rows=array[0], columns=array[1], **fields),
            "processing_element": machine.processing_element.model_copy(update={"lanes": 8}),
            "activation_buffer": activation,
            "weight_buffer": weight,
            "weights": machine.weights.model_copy(update={"group_size": 8}),
            "partial_sums": partial_sums,
        }
    )


arrays = st.sampled_from([(1, 2), (2, 2), (2, 4), (4, 2)])
buffers = st.tuples(st.integers(60, 1500), st.integers(60, 1500))
machines = st.builds(
    small_machine,
    st.sampled_from(architecture_names()),
    arrays,
    buffers,
    st.sampled_from([32, 64, 256]),
    st.sampled_from(["buffer", "buffer", "array"]),
)
"""Any architecture with a small array, small buffers and, mostly, a place for partial sums."""


def stationary(flow: str) -> st.SearchStrategy[Architecture]:
    """As `machines`, with elements that hold weights or activations, in one array or several."""
    fields = {
        "partial_sums": st.just("buffer"),
        "dataflow": st.just(flow),
        "count": st.sampled_from([1, 1, 2, 3]),
        "split": st.sampled_from(["tokens", "output-channels"]),
    }
    return st.builds(
        small_machine, st.sampled_from(architecture_names()), arrays, buffers, st.sampled_from([32, 64, 256]), **fields
    )


def several(count: st.SearchStrategy[int]) -> st.SearchStrategy[Architecture]:
    """As `machines`, with several arrays that hold outputs."""
    split = st.sampled_from(["tokens", "output-channels"])
    return st.builds(
        small_machine,
        st.sampled_from(architecture_names()),
        arrays,
        buffers,
        st.sampled_from([32, 64, 256]),
        st.sampled_from(["buffer", "array"]),
        count=count,
        split=split,
    )


def tile(machine: Architecture) -> tuple[int, int, int]:
    """Tokens, groups and output channels that all arrays take at once."""
    array = machine.array
    more = (array.count, 1) if array.split == "tokens" else (1, array.count)
    one = {
        "output-stationary": (array.rows, 1, array.columns),
        "weight-stationary": (1, array.rows, array.columns),
        "input-stationary": (array.columns, array.rows, 1),
    }[array.dataflow]
    return one[0] * more[0], one[1], one[2] * more[1]


def sizes(length: int, step: int) -> list[int]:
    """Tile sizes along an axis: whole steps, or all of it."""
    return [*range(step, length, step), length]


def legal_mappings(mapped: MappedGemm) -> Iterator[GemmMapping]:
    """Every mapping that the check of mappings lets pass."""
    machine = mapped.architecture
    rows, groups, columns = tile(machine)
    for place, families in FAMILIES.items():
        for stays in families:
            for tokens in sizes(mapped.tokens, rows):
                for channels in sizes(mapped.out_channels, columns):
                    for parts in sizes(mapped.in_channels, groups * machine.group_size):
                        for copies in (1, 1), (1, 2), (2, 1), (2, 2):
                            mapping = GemmMapping(stays, tokens, parts, channels, *copies, place)  # type: ignore[arg-type]
                            try:
                                yield check_mapping(mapped, mapping)
                            except InputError:
                                continue
