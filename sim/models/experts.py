"""Mixtures of experts: the router's GeMM in FP16, and what is expected of the experts that take part in a pass."""

from collections.abc import Iterable

from ...workloads import Gemm, ModelShape
from ..config.weights import load_weights
from ..mapping.mapped_gemm import ROUTER
from ..result import GemmRun
from ..setup import Setup
from .ends import own_weights_run


def router_run(shape: ModelShape, setup: Setup, tokens: int, passes: int) -> GemmRun | None:
    """The routers of all layers with experts as one repeated GeMM of `tokens` tokens in each of some passes; None without any.

    Routers stay FP16, as weight-only quantisation leaves them. A gate of shared experts is one more output channel.
    """
    layers = sum(part.shape.layers for part in shape.parts if part.shape.experts is not None)
    if shape.experts is None or not layers:
        return None
    channels = shape.experts.count + shape.experts.shared_gate
    product = Gemm(ROUTER, tokens, shape.hidden, channels, repeat=layers * passes)
    return own_weights_run(product, setup, load_weights("fp16"))


def expert_notes(shape: ModelShape, passes: Iterable[int]) -> tuple[str, ...]:
    """A note for each kind of pass, by its tokens of all sequences: the expected number of distinct experts; none without experts."""
    experts = shape.experts
    if experts is None:
        return ()
    return tuple(
        f"experts: an expectation: of {experts.count} experts, {experts.per_token} of which compute each token, "
        f"{experts.distinct(tokens):.2f} distinct ones take part in a layer's pass of {tokens:,} tokens, if all are equally likely "
        "and tokens choose independently; their weights are fetched, and the tokens are spread evenly over them"
        for tokens in dict.fromkeys(passes)
    )
