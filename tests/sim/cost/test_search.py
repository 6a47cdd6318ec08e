import pytest
import small_work
from anda_codesign.formats import InputError
from anda_codesign.sim import load_architecture, simulate
from anda_codesign.sim.config.architecture import BufferConfig
from anda_codesign.workloads import Gemm, Precision, gemms, model_shape
from hypothesis import given
from hypothesis import strategies as st

UNIFORM = Precision.uniform(7)


SMALL = BufferConfig(capacity="6 KiB", port="1024 bit")


def test_a_tile_that_fits_only_once_is_replaced_without_waiting():
    """16 tokens of 20480 FP16 channels fit 1152 KiB once; as the last tile of the array uses them up, the next ones come."""
    gemm = Gemm("d", 64, 20480, 512)
    closed, events = (
        simulate([gemm], "fp-fp", UNIFORM, level, mapping="activations:16") for level in ("analytical", "events")
    )
    assert closed.runs[0].mapping.in_place(closed.runs[0].mapped)
    loads = 3 * 16 * 20480 * 16 / 1024  # through the port of the buffer
    assert events.cycles - closed.cycles < loads / 10


def test_the_search_can_be_overridden():
    gemm = Gemm("d", 2048, 13824, 5120)
    best = simulate([gemm], "anda", UNIFORM)
    for text, long in (
        ("activations:32", "activations:32x13824x64:double/double:array"),
        ("activations:64", "activations:64x13824x64:single/double:array"),
        ("weights:64", "weights:16x13824x64:double/double:array"),
        ("weights:16", "weights:16x13824x16:double/double:array"),
        ("nothing", "nothing:16x13824x16:double/double:array"),
    ):
        result = simulate([gemm], "anda", UNIFORM, mapping=text)
        assert str(result.runs[0].mapping) == long
        assert result.dram_bytes >= best.dram_bytes
        assert simulate([gemm], "anda", UNIFORM, mapping=long) == result


@given(small_work.gemms(tokens=40, in_channels=900, out_channels=90), st.sampled_from(["array", "buffer"]))
def test_what_is_printed_can_be_asked_for(gemm: Gemm, place: str):
    machine = load_architecture("fp-fp").model_copy(update={"activation_buffer": SMALL, "partial_sums": place})
    result = simulate([gemm], machine, UNIFORM)
    again = simulate([gemm], machine, UNIFORM, mapping=str(result.runs[0].mapping))
    assert again == result


def test_modules_have_mappings_of_their_own():
    """What a run of a model prints can be asked for again, all modules together."""
    work = gemms(model_shape("OPT-125M"), tokens=300)
    best = simulate(work, "fp-fp", UNIFORM, mapping="double-buffered")
    text = ",".join(f"{run.gemm.module}={run.mapping}" for run in best.runs)
    again = simulate(work, "fp-fp", UNIFORM, mapping=text)
    assert again == best
    part = simulate(work, "fp-fp", UNIFORM, mapping="d=nothing")
    plain = simulate(work, "fp-fp", UNIFORM)
    assert [run.mapping.stays == "nothing" for run in part.runs] == [run.gemm.module == "d" for run in part.runs]
    assert [run.mapping for run in part.runs][:-1] == [run.mapping for run in plain.runs][:-1]
    for text, expected in (
        ("qkv=best,x=best", "'x=best' is no rule of a module"),
        ("o=best,o=best", "'o=best' is no rule of a module"),
        ("o=", "'o=' is no rule of a module"),
        ("o=model", "model is no rule of a single module"),
        ("o=all", "'all' is unknown"),
    ):
        with pytest.raises(InputError, match=f"^mapping: {expected}"):
            simulate(work, "fp-fp", UNIFORM, mapping=text)


def test_bad_override():
    cases = {
        "tokens:16": ["'tokens:16' is unknown"],
        "activations": ["'activations' is unknown"],
        "activations:\u00b2": ["'activations:\u00b2' is unknown"],
        "nothing:3": ["'nothing:3' is unknown"],
        "activations:4096": ["4096 tokens", "2048"],
        "activations:0": ["0 tokens", "1 to 2048"],
        "activations:24": ["24 tokens", "multiple of 16"],
        "activations:80": ["80 tokens", "at most 64"],
        "weights:160": ["160 output channels", "at most 144"],
        "activations:16x64": ["is unknown"],
        "activations:16x64x16:twice/single": ["is no mapping"],
        "sums:16x64x16:single/single:array": ["sums cannot stay", "activations, weights, nothing"],
        "sums:16x64x16": ["keeps partial sums in the array", "partial_sums: buffer"],
        "activations:16x64x16": ["all 13824 input channels"],
        "activations:16x13824x24": ["24 output channels", "multiple of 16"],
        "activations:64x13824x64": ["does not fit activation_buffer", "1,769,472 B of 1,048,576 B", "single buffers"],
        "nothing:32x64x16": ["tiles are those of the array", "use 16 tokens"],
        "weights:0x13824x16": ["0 tokens", "1 to 2048"],
    }
    for text, values in cases.items():
        with pytest.raises(InputError) as caught:
            simulate([Gemm("d", 2048, 13824, 5120)], "anda", UNIFORM, mapping=text)
        assert str(caught.value).startswith("mapping: ")
        assert all(value in str(caught.value) for value in values), (text, str(caught.value))


def test_a_mapping_with_sums_in_the_buffer_has_a_part_of_the_reduction():
    with pytest.raises(InputError, match=r"^mapping: with all 13824 input channels .* take fewer$"):
        simulate([Gemm("d", 16, 13824, 16)], "anda", UNIFORM, mapping="sums:16x13824x16", partial_sums="buffer")


def test_override_needs_room_for_the_stream():
    machine = load_architecture("fp-fp")
    with pytest.raises(InputError, match=r"^mapping: the other buffer is too small .* use nothing"):
        simulate([Gemm("d", 2048, 36880, 64)], machine, UNIFORM, mapping="weights:16")


def test_one_tile_for_a_model_needs_room_for_a_strip():
    with pytest.raises(InputError, match=r"^mapping: 16 tokens do not fit the buffer"):
        simulate([Gemm("d", 2048, 40000, 64)], "fp-fp", UNIFORM, mapping="model")


def test_one_tile_for_a_model_is_a_power_of_two_that_its_widest_gemm_keeps_twice():
    for name, tokens in (("fp-fp", 16), ("anda", 32)):
        work = [Gemm("o", 2048, 5120, 5120), Gemm("d", 2048, 13824, 5120), Gemm("u", 8, 5120, 64)]
        runs = simulate(work, name, UNIFORM, mapping="model").runs
        assert [run.mapping.tokens for run in runs] == [tokens, tokens, 8]


def test_sums_in_the_buffer_save_traffic_and_cost_accesses_and_cycles():
    """FP-FP, 2048 x 4096 x 4096: 16 passes of the weights become 4 passes of the activations and 8 of the weights."""
    gemm = Gemm("o", 2048, 4096, 4096)
    array = simulate([gemm], "fp-fp", UNIFORM, objective="dram")
    buffer = simulate([gemm], "fp-fp", UNIFORM, objective="dram", partial_sums="buffer")
    assert str(buffer.runs[0].mapping) == "sums:256x256x1024:single/double:buffer"
    activations, weights, results = 2048 * 4096 * 2, 4096 * (4096 * 4 + 32 * 16) // 8, 2048 * 4096 * 2
    assert buffer.dram_bytes == 4 * activations + 8 * weights + results < array.dram_bytes
    saved = 15 * 2048 * 4096 * 4
    others = 4 * activations + 8 * weights + 2 * results + 256 * activations + 128 * weights
    assert buffer.sram_bytes == others + 2 * saved
    short = simulate([gemm], "fp-fp", UNIFORM, mapping="sums:256x64x1024", partial_sums="buffer")
    tiles, drain = 128 * 256, 5 + 16
    assert short.runs[0].array_cycles == tiles * 64 * drain - (drain - 16)
