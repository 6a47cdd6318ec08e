"""Counts of whole models against formulas in the dimensions of the model."""

from anda_codesign.sim import load_architecture, simulate
from anda_codesign.sim.config.architecture import BufferConfig
from anda_codesign.workloads import Precision, gemms
from hypothesis import given
from hypothesis import strategies as st
from small_work import small_llama

FFN, LAYERS = 500, 3  # of `small_llama`


def weight_bits(inputs: int, outputs: int) -> int:
    """INT4, and a FP16 scale for each 128 input channels of an output channel."""
    return outputs * (4 * inputs + 16 * -(-inputs // 128))


@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(8, 64),
    st.integers(1, 300),
    st.sampled_from(["fp-fp", "figna"]),
    st.sampled_from(["array", "buffer"]),
)
def test_products_and_bytes_of_a_model(group: int, kv_heads: int, head_dim: int, tokens: int, name: str, place: str):
    """Multiply-accumulates; the least DRAM bytes, which buffers that hold a whole GeMM reach; whole passes otherwise."""
    shape = small_llama(group * kv_heads, kv_heads, head_dim)
    hidden, kv = group * kv_heads * head_dim, kv_heads * head_dim
    products = {"qkv": (hidden, hidden + 2 * kv), "o": (hidden, hidden), "u": (hidden, 2 * FFN), "d": (FFN, hidden)}
    machine = load_architecture(name).model_copy(update={"partial_sums": place})
    large = BufferConfig(capacity="64 MiB", port="1024 bit")
    small = BufferConfig(capacity="8 KiB", port="1024 bit")

    def run(buffer: BufferConfig):
        buffers = {"activation_buffer": buffer, "weight_buffer": buffer}
        return simulate(gemms(shape, tokens=tokens), machine.model_copy(update=buffers), Precision.uniform(16))

    most, least = run(small), run(large)
    bits = {m: 16 * tokens * (k + n) + weight_bits(k, n) for m, (k, n) in products.items()}
    assert least.macs == LAYERS * tokens * (2 * hidden**2 + 2 * hidden * kv + 3 * hidden * FFN)
    assert least.dram_bytes == LAYERS * sum(-(-each // 8) for each in bits.values())
    for each in most.runs:
        assert each.traffic.weights % weight_bits(*products[each.gemm.module]) == 0
        assert each.traffic.activations % (16 * tokens * products[each.gemm.module][0]) == 0
        assert each.traffic.results == 16 * tokens * products[each.gemm.module][1]
