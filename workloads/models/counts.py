"""Parameters of a model, its weight matrices, and the values that its KV cache keeps."""

from __future__ import annotations

from typing import NamedTuple

from .shapes import ModelShape


def parameters(shape: ModelShape) -> int:
    """Number of a model's parameters: linear layers, all experts, routers, embeddings, head, norms and biases."""
    head = 0 if shape.tied else shape.vocabulary * shape.hidden
    tables = (shape.vocabulary + shape.position_rows) * shape.hidden
    return linear_weights(shape) + router_weights(shape) + tables + head + small_parameters(shape)


def active_parameters(shape: ModelShape) -> int:
    """Number of the parameters that compute one token: without the experts that the router leaves out."""
    idle = (
        part.shape.layers * (experts.count - experts.per_token) * _ffn_weights(shape, experts.ffn)
        for part in shape.parts
        if (experts := part.shape.experts) is not None
    )
    return parameters(shape) - sum(idle)


class Matrices(NamedTuple):
    """Weight matrices of equal size."""

    in_channels: int
    out_channels: int
    copies: int


def matrices(shape: ModelShape) -> list[Matrices]:
    """Weight matrices of the modules ``qkv``, ``o``, ``u`` and ``d``, those of all experts among them, over all layers."""
    return [one for part in shape.parts for one in _matrices(part.shape)]


def linear_weights(shape: ModelShape) -> int:
    """Weights of the modules ``qkv``, ``o``, ``u`` and ``d``, those of all experts among them."""
    return sum(ins * outs * count for ins, outs, count in matrices(shape))


def router_weights(shape: ModelShape) -> int:
    """Weights of the routers, and of the gates of shared experts."""
    return sum(
        part.shape.layers * shape.hidden * (experts.count + experts.shared_gate)
        for part in shape.parts
        if (experts := part.shape.experts) is not None
    )


def small_parameters(shape: ModelShape) -> int:
    """Gains and biases of norms, and biases of projections."""
    values = 2 if shape.norm == "layer" else 1
    norms = (shape.block_norms * shape.layers + 1) * shape.hidden * values
    if shape.qk_norm:
        norms += shape.layers * 2 * shape.head_dim
    return norms + sum(part.shape.layers * _biases(part.shape) for part in shape.parts)


def kv_values(shape: ModelShape, tokens: int) -> int:
    """Values of keys and values that all layers keep of one sequence of some tokens."""
    return sum(part.shape.layers * 2 * shape.kv_channels * part.shape.cached_tokens(tokens) for part in shape.parts)


def _matrices(shape: ModelShape) -> list[Matrices]:
    """Weight matrices of equal layers."""
    hidden, layers, experts, ups = shape.hidden, shape.layers, shape.experts, 2 if shape.gated else 1
    found = [
        Matrices(hidden, shape.query_channels + shape.projected_kv_channels, layers),
        Matrices(shape.query_channels, hidden, layers),
    ]
    ffns = (
        [(shape.ffn, layers)]
        if experts is None
        else [(experts.ffn, experts.count * layers), (experts.shared_ffn, layers)]
    )
    for channels, count in ffns:
        if channels:
            found += [Matrices(hidden, ups * channels, count), Matrices(channels, hidden, count)]
    return found


def _ffn_weights(shape: ModelShape, channels: int) -> int:
    return (3 if shape.gated else 2) * shape.hidden * channels


def _biases(shape: ModelShape) -> int:
    """Biases of the projections of a block."""
    experts, ups = shape.experts, 2 if shape.gated else 1
    channels = shape.ffn if experts is None else experts.count * experts.ffn + experts.shared_ffn
    copies = 1 if experts is None else experts.count + bool(experts.shared_ffn)
    sizes = {
        "qkv": shape.query_channels + shape.projected_kv_channels,
        "o": shape.hidden,
        "u": ups * channels,
        "d": copies * shape.hidden,
    }
    return sum(sizes[module] for module in shape.biases)
