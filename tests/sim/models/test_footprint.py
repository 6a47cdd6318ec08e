"""Memory that a model needs against formulas written out here."""

import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import Footprint, Settings, check_capacity, load_weights, prepare
from anda_codesign.sim.config.kv_cache import KvCache
from anda_codesign.workloads import Precision, model_shape
from cases import each

PRECISION = Precision(7, 5, 6, 6)
FP16 = load_weights("fp16")


def footprint(
    model: str, arch: str = "anda", cache: str = "fp16", head=FP16, tokens: int = 1, cached: int = 1, batch: int = 1
):
    setup = prepare(arch, Settings())
    return Footprint.of(model_shape(model), setup, PRECISION, KvCache.parse(cache), head, tokens, cached, batch)


@each(
    "name",
    ["LLaMA-7B", "LLaMA2-70B", "LLaMA3-8B", "SmolLM2-135M"],
)
def test_weights_embedding_and_head_of_llama_models(name: str):
    """INT4 with a FP16 scale for each 128 input channels, the last group short; tables and norms in FP16."""
    hidden, ffn, layers, kv, vocabulary, tied = {
        "LLaMA-7B": (4096, 11008, 32, 4096, 32000, False),
        "LLaMA2-70B": (8192, 28672, 80, 1024, 32000, False),
        "LLaMA3-8B": (4096, 14336, 32, 1024, 128256, False),
        "SmolLM2-135M": (576, 1536, 30, 192, 49152, True),
    }[name]
    bits = 0
    for inputs, outputs in ((hidden, hidden + 2 * kv), (hidden, hidden), (hidden, 2 * ffn), (ffn, hidden)):
        bits += outputs * (inputs * 4 + -(-inputs // 128) * 16)
    found = footprint(name)
    assert found.weights == layers * bits // 8
    assert found.embedding == 2 * (vocabulary * hidden + (2 * layers + 1) * hidden)
    assert found.head == (0 if tied else 2 * vocabulary * hidden)
    int4_head = footprint(name, head=load_weights("int4"))
    assert int4_head.head == vocabulary * (hidden * 4 + -(-hidden // 128) * 16) // 8


def test_parameters_of_opt_add_up_to_the_published_count():
    """Everything that OPT-1.3B stores, at 16 bit each: 1.3 billion parameters."""
    found = footprint("OPT-1.3B")
    four_bit = found.weights / (4 + 16 / 128) * 16
    assert (four_bit + found.embedding + found.head) / 2 == pytest.approx(1.3158e9, rel=1e-3)


@pytest.mark.parametrize(
    ("cache", "bits"), [("fp16", 16 * 128), ("anda:7", 2 * (8 * 64 + 5)), ("anda:4", 2 * (5 * 64 + 5))]
)
def test_kv_cache_of_eight_sequences(cache: str, bits: int):
    found = footprint("LLaMA-7B", cache=cache, cached=640, batch=8)
    assert found.kv_cache == 8 * 640 * 32 * 2 * 32 * bits // 8
    grouped = footprint("LLaMA3-8B", cache=cache, cached=640, batch=8)
    assert grouped.kv_cache * 4 == found.kv_cache


def test_activations_hold_the_stream_and_the_largest_part():
    """FP16: the stream of 4096 channels, and 22016 of gate and up beside the 11008 of their product."""
    assert footprint("LLaMA-7B", "fp-fp", tokens=100).activations == 100 * 2 * (4096 + 22016 + 11008)


def test_parts_add_up():
    found = footprint("LLaMA3-8B", tokens=64, cached=640)
    assert found.total == found.weights + found.embedding + found.head + found.kv_cache + found.activations
    assert list(found.to_dict()) == ["weights", "embedding", "head", "kv_cache", "activations"]


def test_a_model_that_does_not_fit():
    setup, large = prepare("anda", Settings()), footprint("LLaMA-65B")
    with pytest.raises(InputError) as caught:
        check_capacity(large, setup, "LLaMA-65B", allow_overflow=False)
    assert str(caught.value).startswith("memory: LLaMA-65B needs 32.1 GiB, and the DRAM has 8.0 GiB; take a smaller")
    [note] = check_capacity(large, setup, "LLaMA-65B", allow_overflow=True)
    assert note.endswith("run as if it fitted (allow_overflow)")
    assert check_capacity(footprint("LLaMA-7B"), setup, "LLaMA-7B", allow_overflow=False) == ()


def test_the_memory_file_states_its_capacity():
    setup = prepare("anda", Settings(level="events", memory="ddr5"))
    assert check_capacity(footprint("LLaMA-13B"), setup, "LLaMA-13B", allow_overflow=False) == ()
    small = prepare("anda", Settings(level="events", memory="lpddr5"))
    with pytest.raises(InputError, match=r"the DRAM has 8\.0 GiB"):
        check_capacity(footprint("LLaMA-30B"), small, "LLaMA-30B", allow_overflow=False)
