import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import load_architecture, load_technology, simulate
from anda_codesign.sim.analytical import gemm as analytical
from anda_codesign.sim.cost.energy import unit_costs
from anda_codesign.sim.cost.search import best_tiling, gemm_work
from anda_codesign.sim.mapping.mapped_gemm import MappedGemm, map_gemm
from anda_codesign.sim.mapping.tiling import resident_tiling, tilings
from anda_codesign.sim.mapping.tiling_rule import TilingRule
from anda_codesign.workloads import Gemm, Precision
from hypothesis import given
from hypothesis import strategies as st

UNIFORM = Precision.uniform(7)


def shape_of(gemm: Gemm, name: str = "anda"):
    machine = load_architecture(name)
    return map_gemm(gemm, machine, machine.precision(UNIFORM))


def tiling_of(shape: MappedGemm, text: str):
    rule = TilingRule.parse(text)
    return resident_tiling(shape, rule.kind, rule.size or 0)  # type: ignore[arg-type]


@given(
    st.integers(1, 3000),
    st.integers(1, 40000),
    st.integers(1, 5000),
    st.sampled_from(["anda", "fp-fp"]),
    st.floats(0.1, 1000),
)
def test_each_objective_is_met(tokens: int, in_channels: int, out_channels: int, name: str, gigabytes: float):
    shape = shape_of(Gemm("u", tokens, in_channels, out_channels), name)
    costs = unit_costs(shape.architecture, load_technology().with_bandwidth(gigabytes))

    def measures(tiling):  # type: ignore[no-untyped-def]
        moved = analytical.traffic(shape, tiling)
        latency = analytical.cycles(shape, moved.dram_bits, costs.dram_bits_per_cycle)
        picojoules = costs.energy(gemm_work(shape, moved), latency).total
        return {"energy": picojoules, "latency": latency, "edp": picojoules * latency}

    everything = [measures(tiling) for tiling in tilings(shape)]
    for objective in ("energy", "latency", "edp"):
        chosen = measures(best_tiling(shape, costs, objective))[objective]
        assert chosen == min(each[objective] for each in everything)


def test_a_tile_that_fits_only_once_is_replaced_without_waiting():
    """16 tokens of 20480 FP16 channels fit 1152 KiB once; as the last tile of the array uses them up, the next ones come."""
    gemm = Gemm("d", 64, 20480, 512)
    closed, events = (simulate([gemm], "fp-fp", UNIFORM, level) for level in ("analytical", "events"))
    assert closed.runs[0].tiling == events.runs[0].tiling
    assert closed.runs[0].tiling.in_place(closed.runs[0].mapped)
    loads = 3 * 16 * 20480 * 16 / 1024  # through the port of the buffer
    assert events.cycles - closed.cycles < loads / 10


def test_the_search_can_be_overridden():
    gemm = Gemm("d", 2048, 13824, 5120)
    for text in ("activations:32", "activations:16", "weights:64", "weights:16", "nothing"):
        result = simulate([gemm], "anda", UNIFORM, tiling=text)
        expected = tiling_of(shape_of(gemm), text)
        assert result.runs[0].tiling == expected
        assert result.dram_bytes >= simulate([gemm], "anda", UNIFORM).dram_bytes


def test_a_choice_reads_well():
    texts = [str(tiling_of(shape_of(Gemm("u", 64, 4096, 256)), t)) for t in ("activations:32", "weights:256")]
    assert texts == [
        "activations resident, 32 tokens x 16 output channels, double-buffered",
        "weights resident, 16 tokens x 256 output channels, single-buffered",
    ]


def test_bad_override():
    cases = {
        "tokens:16": ["'tokens:16' is unknown"],
        "activations": ["'activations' is unknown"],
        "activations:\u00b2": ["'activations:\u00b2' is unknown"],
        "nothing:3": ["'nothing:3' is unknown"],
        "activations:4096": ["4096 tokens", "2048"],
        "activations:0": ["0 tokens", "1 to 2048"],
        "activations:24": ["24 tokens", "multiple of 16"],
        "activations:64": ["64 tokens", "at most 32"],
        "weights:128": ["128 output channels", "at most 64"],
    }
    for text, values in cases.items():
        with pytest.raises(InputError) as caught:
            simulate([Gemm("d", 2048, 13824, 5120)], "anda", UNIFORM, tiling=text)
        assert str(caught.value).startswith("tiling: ")
        assert all(value in str(caught.value) for value in values), text


def test_override_needs_room_for_the_stream():
    machine = load_architecture("fp-fp")
    with pytest.raises(InputError, match=r"^tiling: .* 16 tokens, too few to stream"):
        simulate([Gemm("d", 2048, 36864, 64)], machine, UNIFORM, tiling="weights:16")


def test_one_tile_for_a_model_needs_room_for_a_strip():
    with pytest.raises(InputError, match=r"^tiling: 16 tokens do not fit the buffer"):
        simulate([Gemm("d", 2048, 40000, 64)], "fp-fp", UNIFORM, tiling="model")


def test_one_tile_for_a_model_is_a_power_of_two_that_its_widest_gemm_keeps_twice():
    for name, tokens in (("fp-fp", 16), ("anda", 32)):
        work = [Gemm("o", 2048, 5120, 5120), Gemm("d", 2048, 13824, 5120), Gemm("u", 8, 5120, 64)]
        runs = simulate(work, name, UNIFORM, tiling="model").runs
        assert [run.tiling.tokens for run in runs] == [tokens, tokens, 8]
