"""What more memory, more bandwidth and fewer bits may never do, at every level where it holds (docs/simulator.md)."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from multiprocessing import get_context

import pytest
from anda_codesign.sim import (
    ModelResult,
    architecture_names,
    load_architecture,
    load_technology,
    simulate,
    simulate_model,
)
from anda_codesign.sim.architecture import Architecture, Buffer
from anda_codesign.workloads import Gemm, ModelShape, Precision
from hypothesis import given, settings
from hypothesis import strategies as st

MEMORIES = ["flat", "hbm2"]
bits = st.integers(1, 16)
precisions = st.builds(Precision, bits, bits, bits, bits)
gemms = st.builds(
    Gemm,
    module=st.sampled_from(["qkv", "o", "u", "d"]),
    tokens=st.integers(1, 200),
    in_channels=st.integers(1, 1200),
    out_channels=st.integers(1, 400),
    repeat=st.integers(1, 3),
)
kibibytes = st.sampled_from([6, 16, 40, 100, 1024])
SHAPE = ModelShape(
    name="small", family="llama", hidden=240, ffn=500, layers=3, heads=6, kv_heads=2, vocabulary=100, gated=True,
    max_length=512,
)  # fmt: skip


def with_buffers(name: str, activation_kib: int, weight_kib: int) -> Architecture:
    return load_architecture(name).model_copy(
        update={
            "activation_buffer": Buffer(capacity=f"{activation_kib} KiB", port="1024 bit"),
            "weight_buffer": Buffer(capacity=f"{weight_kib} KiB", port="1024 bit"),
        }
    )


@pytest.mark.parametrize("memory", MEMORIES)
@settings(max_examples=15, deadline=None)
@given(gemms, st.sampled_from(["anda", "fp-fp"]), precisions, kibibytes, kibibytes)
def test_more_sram_never_costs_bytes_in_events(
    memory: str, gemm: Gemm, name: str, precision: Precision, activation_kib: int, weight_kib: int
):
    small, large = (
        simulate([gemm], with_buffers(name, s * activation_kib, s * weight_kib), precision, "events", memory=memory)
        for s in (1, 2)
    )
    assert large.dram_bytes <= small.dram_bytes
    assert large.energy_pj.total <= small.energy_pj.total


@settings(max_examples=25, deadline=None)
@given(gemms, precisions, st.sampled_from(["qkv", "o", "u", "d"]), st.floats(0.5, 300), kibibytes, kibibytes)
def test_fewer_mantissa_bits_never_cost_more_in_events(
    gemm: Gemm, precision: Precision, module: str, gigabytes: float, activation_kib: int, weight_kib: int
):
    """Bytes and energy always; cycles with the tile that the longer mantissas have, where something stays on chip."""
    fewer = precision._replace(**{module: max(1, getattr(precision, module) - 1)})
    machine, technology = with_buffers("anda", activation_kib, weight_kib), load_technology().with_bandwidth(gigabytes)
    more, less = (simulate([gemm], machine, p, "events", technology) for p in (precision, fewer))
    assert less.dram_bytes <= more.dram_bytes
    assert less.sram_bytes <= more.sram_bytes
    assert less.energy_pj.total <= more.energy_pj.total
    tiling = more.runs[0].tiling
    if tiling.resident != "nothing":
        size = tiling.tokens if tiling.resident == "activations" else tiling.channels
        same = simulate([gemm], machine, fewer, "events", technology, tiling=f"{tiling.resident}:{size}")
        assert same.cycles <= more.cycles


@settings(max_examples=15, deadline=None)
@given(gemms, precisions, st.sampled_from(["qkv", "o", "u", "d"]))
def test_fewer_mantissa_bits_never_cost_bytes_on_hbm(gemm: Gemm, precision: Precision, module: str):
    fewer = precision._replace(**{module: max(1, getattr(precision, module) - 1)})
    more, less = (simulate([gemm], "anda", p, "events", memory="hbm2") for p in (precision, fewer))
    assert less.dram_bytes <= more.dram_bytes
    assert less.energy_pj.total <= more.energy_pj.total


@settings(max_examples=15, deadline=None)
@given(gemms, st.sampled_from(architecture_names()), precisions)
def test_both_memories_move_the_bytes_of_the_formulas(gemm: Gemm, name: str, precision: Precision):
    closed = simulate([gemm], name, precision)
    for memory in MEMORIES:
        events = simulate([gemm], name, precision, "events", memory=memory)
        report = events.runs[0].report
        assert report is not None
        assert report.dram.bits == closed.runs[0].traffic.dram_bits
        assert events.dram_bytes == closed.dram_bytes
        assert events.energy_pj.dram == closed.energy_pj.dram


@pytest.mark.parametrize("level", ["closed", "events"])
@settings(max_examples=12, deadline=None)
@given(precisions, st.integers(1, 60), st.integers(0, 200), st.integers(1, 3), st.floats(0.5, 300))
def test_whole_models(level: str, precision: Precision, tokens: int, context: int, batch: int, gigabytes: float):
    """More bandwidth never costs time, a narrower cache never bytes, and parts sum to totals."""

    def run(factor: float, kv_cache: str = "fp16") -> ModelResult:
        technology = load_technology().with_bandwidth(factor * gigabytes)
        return simulate_model(
            SHAPE, "anda", precision, "prefill", tokens, context, batch, kv_cache, level=level, technology=technology
        )  # type: ignore[arg-type]

    slow, fast = run(1), run(3)
    assert fast.cycles <= slow.cycles
    assert fast.dram_bytes == slow.dram_bytes
    caches = [run(1, f"anda:{m}") for m in (11, 7, 4)]
    for wide, narrow in pairwise(caches):
        assert narrow.dram_bytes <= wide.dram_bytes
        assert narrow.energy_pj.total <= wide.energy_pj.total
    assert slow.cycles == sum(row.cycles for row in slow.rows)
    assert slow.energy_pj.total == pytest.approx(sum(row.energy_pj.total for row in slow.rows))


def test_one_worker_and_two_give_the_same():
    work = [[Gemm("u", tokens, 700, 300)] for tokens in (5, 40, 100, 17)]
    run = partial(simulate, architecture="anda", precision=Precision.uniform(6), level="events", memory="hbm2")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(run, work)) == [run(gemms) for gemms in work]
