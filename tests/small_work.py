"""Small GeMMs and models: strategies for hypothesis, and a LLaMA model that any level simulates quickly."""

from anda_codesign.workloads import Gemm, ModelShape, Precision
from hypothesis import strategies as st

bits = st.integers(1, 16)
precisions = st.builds(Precision, bits, bits, bits, bits)


def gemms(tokens: int, in_channels: int, out_channels: int, repeat: int = 1) -> st.SearchStrategy[Gemm]:
    """GeMMs of any module, up to these sizes."""
    return st.builds(
        Gemm,
        module=st.sampled_from(["qkv", "o", "u", "d"]),
        tokens=st.integers(1, tokens),
        in_channels=st.integers(1, in_channels),
        out_channels=st.integers(1, out_channels),
        repeat=st.integers(1, repeat),
    )


def small_llama(heads: int = 6, kv_heads: int = 2, head_dim: int = 40) -> ModelShape:
    """A LLaMA model of three layers."""
    return ModelShape(
        name="small",
        family="llama",
        hidden=heads * head_dim,
        ffn=500,
        layers=3,
        heads=heads,
        kv_heads=kv_heads,
        vocabulary=100,
        gated=True,
        max_length=512,
    )
