"""Model shapes from Hugging Face's ``config.json``: every entry that changes the computation is used, or refused by name.

Entries and their defaults are those of the classes in ``transformers``. Entries that change no size and no work, such as the
base of the rotary embedding, are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from ...formats import InputError
from ...formats.checks import check_choice, check_integer, check_number
from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from .shapes import MOST_CHANNELS, MOST_LAYERS, Experts, ModelShape

Fields = dict[str, Any]

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    **dict.fromkeys(("gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh"), "gelu"),
}
"""Activation functions of ``transformers``; the vector unit computes every GELU by its tanh form."""

ROPE_TYPES = ("default", "linear", "dynamic", "yarn", "longrope", "su", "llama3")
"""Stretched rotary embeddings; they change frequencies, not the work."""

REFUSED = {
    "q_lora_rank": "multi-head latent attention",
    "kv_lora_rank": "multi-head latent attention",
    "qk_rope_head_dim": "multi-head latent attention",
    "v_head_dim": "values of another width than keys",
    "alibi": "attention biases of ALiBi",
    "use_bidirectional_attention": "attention in both directions",
    "is_encoder_decoder": "an encoder",
    "add_cross_attention": "cross-attention",
    "attention_chunk_size": "attention in chunks",
    "dual_chunk_attention_config": "attention in chunks",
    "attn_output_gate": "a gate of the attention's output",
    "num_kv_shared_layers": "layers that share keys and values",
    "hidden_size_per_layer_input": "embeddings of each layer",
    "no_rope_layers": "layers without rotary embedding",
    "clip_qkv": "clipped queries, keys and values",
    "use_qk_norm": "norms of queries and keys",
    "qk_layernorm": "norms of queries and keys",
    "num_nextn_predict_layers": "layers that predict further tokens",
    "lm_head_bias": "a bias of the head",
    "use_mrope": "rotary embedding of several media",
    "_remove_final_layer_norm": "no final norm",
}
"""Entries that no shape expresses, with their meaning."""

DECISIVE = (
    *("head_dim", "num_key_value_heads", "num_kv_heads", "sliding_window", "layer_types", "max_window_layers"),
    *("attention_bias", "mlp_bias", "bias", "qkv_bias", "new_decoder_architecture", "word_embed_proj_dim"),
    *("parallel_attn", "num_ln_in_parallel_attn", "use_parallel_residual", "partial_rotary_factor", "rotary_pct"),
    *("num_local_experts", "num_experts", "n_routed_experts", "n_shared_experts", "num_experts_per_tok"),
    *("moe_intermediate_size", "shared_expert_intermediate_size", "first_k_dense_replace", "moe_layer_freq"),
    *("decoder_sparse_step", "mlp_only_layers", "attn_logit_softcapping", "final_logit_softcapping"),
)
"""Entries that decide sizes in some families; a family that does not know one with an effect refuses it."""
NEUTRAL: Fields = {"partial_rotary_factor": 1, "rotary_pct": 1, "decoder_sparse_step": 1, "moe_layer_freq": 1}
"""Values without effect, beside null, false, zero and nothing."""


class Entries:
    """Entries of a configuration; it knows which ones have been used."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data, self.where, self._used = data, where, set[str]()

    def has(self, name: str) -> bool:
        """True if the entry is there and not null."""
        return self.data.get(name) is not None

    def value(self, name: str, default: Any = None) -> Any:
        """An entry, or its default where it is missing or null."""
        self._used.add(name)
        found = self.data.get(name)
        return default if found is None else found

    def size(self, *names: str, default: int | None = None, lowest: int = 1, highest: int = MOST_CHANNELS) -> int:
        """A whole number under the first of some names that is there; without default it must be."""
        name = next((name for name in names if self.has(name)), names[0])
        self._used.update(names)
        if not self.has(name) and default is None:
            raise InputError(f"{self.where}: {name}: is missing; add it")
        return self.check(check_integer, name, self.value(name, default), lowest, highest)

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        found = self.value(name, default)
        if not isinstance(found, bool):
            raise InputError(f"{self.where}: {name}: is {_short(found)}; write true or false")
        return found

    def cap(self, name: str) -> float | None:
        """A positive number, or none."""
        found = self.value(name)
        return None if found is None else self.check(check_number, name, found, 1e-6, 1e9)

    def places(self, name: str) -> list[int]:
        """A list of layers."""
        found = self.value(name, [])
        if not isinstance(found, list) or len(cast(list[Any], found)) > MOST_LAYERS:
            raise InputError(f"{self.where}: {name}: is {_short(found)}; give a list of layers")
        return [self.check(check_integer, name, place, 0, MOST_LAYERS) for place in cast(list[Any], found)]

    def check(self, check: Callable[..., Any], name: str, *arguments: Any) -> Any:
        """Check a value; the error names file and entry."""
        try:
            return check(name, *arguments)
        except InputError as error:
            text = str(error).replace(repr(arguments[0]), _short(arguments[0]))
            raise InputError(f"{self.where}: {text}") from None

    def refuse_others(self) -> None:
        """Refuse an entry that changes the computation and has not been used."""
        for name in (*REFUSED, *DECISIVE):
            found = self.data.get(name)
            if name in self._used or not found or (found is not True and found == NEUTRAL.get(name)):
                continue
            meaning = REFUSED.get(name)
            asks = f"{name} {_short(self.data[name])}" + (f" ({meaning})" if meaning else "")
            raise InputError(
                f"{self.where}: asks for {asks}, which a shape of model_type {self.data['model_type']} cannot express; "
                "use a model without it"
            )


def config_shape(path: Path, name: str) -> ModelShape:
    """The shape of a model by its ``config.json``.

    Raises
    ------
    InputError
        The file is missing or damaged, an entry is missing or out of its range, or the model has what no shape expresses.
    """
    where = f"model {path}"
    if not path.is_file():
        raise InputError(f"model: {path} does not exist; give a folder with a config.json")
    with border(f"{where} is not a model configuration", "copy it again"):
        data = read_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{where} is not a model configuration (it holds no entries); copy it again")
    return shape_of_config(cast(Fields, data), name, where)


def shape_of_config(data: Fields, name: str, where: str) -> ModelShape:
    """The shape of a model by the entries of its ``config.json``; errors begin with `where`."""
    kind, left_out = data.get("model_type"), ""
    if isinstance(kind, str) and kind in TEXT_PARTS:
        text = data.get("text_config")
        if not isinstance(text, dict):
            raise InputError(f"{where}: text_config: is missing; add the entries of the language model")
        data, kind = {"tie_word_embeddings": data.get("tie_word_embeddings"), **cast(Fields, text)}, TEXT_PARTS[kind]
        data["model_type"], left_out = kind, "its encoders of images and other media"
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise InputError(f"{where}: model_type: {_short(kind)} is unknown; use one of {', '.join(FAMILIES)}")
    entries = Entries(data, where)
    try:
        _check_rope(entries)
        stated = FAMILIES[kind](entries)
        entries.refuse_others()
        source = where.removeprefix("model ")
        return ModelShape(name=name, family=kind, source=source, left_out=left_out, **stated)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(where) else f"{where}: {text}") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _check_rope(entries: Entries) -> None:
    """Refuse an unknown kind of rotary embedding; Gemma 3 has one for each kind of layer."""
    for name in ("rope_parameters", "rope_scaling"):
        options = entries.value(name, {})
        if not isinstance(options, dict):
            raise InputError(f"{entries.where}: {name}: is {_short(options)}; give an object or null")
        each = [options, *(part for part in cast(Fields, options).values() if isinstance(part, dict))]
        for part in cast(list[Fields], each):
            kind = part.get("rope_type", part.get("type")) or "default"
            entries.check(check_choice, f"{name}.rope_type", kind, ROPE_TYPES)


def _rotary_share(entries: Entries, name: str, default: float) -> float:
    """Share of a head that rotates; newer configurations have it among the options of the rotary embedding."""
    options = cast(Fields, entries.value("rope_parameters", {}))
    found = options.get("partial_rotary_factor", entries.value(name, entries.value("partial_rotary_factor", default)))
    return entries.check(check_number, name, found, 0, 1)


def _sizes(entries: Entries, **defaults: int) -> Fields:
    """Entries that all families share, most by these names; Gemma 3's may be missing."""
    return {
        "hidden": entries.size("hidden_size", default=defaults.get("hidden")),
        "layers": entries.size("num_hidden_layers", default=defaults.get("layers"), highest=MOST_LAYERS),
        "heads": (heads := entries.size("num_attention_heads", default=defaults.get("heads"))),
        "kv_heads": heads,
        "vocabulary": entries.size("vocab_size", default=defaults.get("vocabulary")),
        "max_length": entries.size("max_position_embeddings", default=defaults.get("max_length")),
    }


def _heads(entries: Entries, sizes: Fields, **defaults: int) -> Fields:
    """Number of key/value heads, and channels of a head if they are not the usual ones."""
    kv_heads = entries.size("num_key_value_heads", default=defaults.get("kv_heads", sizes["heads"]))
    own = entries.value("head_dim", defaults.get("head_size"))
    if own is None or own == sizes["hidden"] / sizes["heads"]:
        return {"kv_heads": kv_heads}
    return {"kv_heads": kv_heads, "head_size": entries.size("head_dim", default=own)}


def _activation(entries: Entries, *names: str, default: str = "silu") -> str:
    name = next((name for name in names if entries.has(name)), names[0])
    kind = entries.check(check_choice, name, entries.value(name, default), ACTIVATIONS)
    return ACTIVATIONS[kind]


def _gated(entries: Entries, tied: bool = False, **defaults: int) -> Fields:
    """LLaMA and its relatives: RMSNorm, rotary embedding, gated FFN."""
    sizes = _sizes(entries, **defaults)
    return {
        **sizes,
        **_heads(entries, sizes, **defaults),
        "ffn": entries.size("intermediate_size", default=defaults.get("ffn")),
        "gated": True,
        "activation": _activation(entries, "hidden_act"),
        "tied": entries.flag("tie_word_embeddings", tied),
    }


def _windows(entries: Entries, window: int | None, local: Callable[[int], bool]) -> Fields:
    """Window and layers without it: by ``layer_types``, or by a rule for each layer."""
    kinds = entries.value("layer_types")
    layers = entries.size("num_hidden_layers", highest=MOST_LAYERS, default=26)
    if kinds is None:
        is_local = [local(layer) for layer in range(layers)]
    else:
        if not isinstance(kinds, list) or len(cast(list[Any], kinds)) != layers:
            raise InputError(f"{entries.where}: layer_types: is {_short(kinds)}; give one for each of {layers} layers")
        known = ("sliding_attention", "full_attention")
        is_local = [
            entries.check(check_choice, "layer_types", kind, known) == known[0] for kind in cast(list[Any], kinds)
        ]
        if any(is_local) and window is None:
            raise InputError(
                f"{entries.where}: sliding_window: is missing, and layer_types names layers with it; add it"
            )
    if window is None or not any(is_local):
        return {}
    return {"window": window, "global_layers": tuple(layer for layer in range(layers) if not is_local[layer])}


def _window(entries: Entries, default: int | None = None) -> int | None:
    """Sliding window; the default where the entry is missing, none where it is null."""
    missing = "sliding_window" not in entries.data
    found = entries.value("sliding_window", default if missing else None)
    return None if found is None or found is False or found == 0 else entries.size("sliding_window", default=found)


def _llama(entries: Entries) -> Fields:
    biases = (("qkv", "o") if entries.flag("attention_bias") else ()) + (("u", "d") if entries.flag("mlp_bias") else ())
    return {**_gated(entries), "biases": biases}


def _mistral(entries: Entries) -> Fields:
    return {**_gated(entries, kv_heads=8), **_windows(entries, _window(entries, 4096), lambda _: True)}


def _mixtral(entries: Entries) -> Fields:
    stated = {**_gated(entries, kv_heads=8), **_windows(entries, _window(entries), lambda _: True)}
    experts = Experts(
        count=entries.size("num_local_experts", default=8),
        per_token=entries.size("num_experts_per_tok", default=2),
        ffn=stated["ffn"],
    )
    return stated | {"experts": experts}


def _qwen_windows(entries: Entries, local: Callable[[int], bool] | None = None) -> Fields:
    """Qwen: the first layers attend to all tokens; none has a window unless ``use_sliding_window`` is set."""
    first = entries.size("max_window_layers", default=28, lowest=0)
    window = _window(entries, 4096) if entries.flag("use_sliding_window") else None
    entries.value("sliding_window")
    return _windows(entries, window, local or (lambda layer: layer >= first))


def _qwen2(entries: Entries) -> Fields:
    return {**_gated(entries), "biases": ("qkv",), **_qwen_windows(entries)}


def _qwen3(entries: Entries) -> Fields:
    biases = ("qkv", "o") if entries.flag("attention_bias") else ()
    return {**_gated(entries, head_size=128), "biases": biases, "qk_norm": True, **_qwen_windows(entries)}


def _qwen_experts(entries: Entries, shared_ffn: int, per_token: int) -> Fields:
    """Experts of Qwen's models, and the layers without them."""
    every = entries.size("decoder_sparse_step", default=1)
    layers = entries.size("num_hidden_layers", highest=MOST_LAYERS)
    dense = set(entries.places("mlp_only_layers"))
    experts = Experts(
        count=entries.size("num_experts"),
        per_token=entries.size("num_experts_per_tok", default=per_token),
        ffn=entries.size("moe_intermediate_size"),
        shared_ffn=shared_ffn,
        shared_gate=shared_ffn > 0,
    )
    without = tuple(layer for layer in range(layers) if layer in dense or (layer + 1) % every)
    return {"experts": experts, "dense_layers": without}


def _qwen2_moe(entries: Entries) -> Fields:
    shared = entries.size("shared_expert_intermediate_size", lowest=0)
    stated = _gated(entries) | {"biases": ("qkv",) if entries.flag("qkv_bias", True) else ()}
    first = entries.size("max_window_layers", default=28, lowest=0)
    windows = _qwen_windows(entries, lambda layer: layer % 2 == 0 and layer < first)
    return stated | windows | _qwen_experts(entries, shared, 4)


def _qwen3_moe(entries: Entries) -> Fields:
    biases = ("qkv", "o") if entries.flag("attention_bias") else ()
    stated = _gated(entries, kv_heads=4) | {"biases": biases, "qk_norm": True}
    return stated | _qwen_windows(entries, lambda _: True) | _qwen_experts(entries, 0, 8)


def _deepseek(entries: Entries) -> Fields:
    """DeepSeekMoE (arXiv 2401.06066): fine experts, and some that compute every token."""
    ffn = entries.size("moe_intermediate_size")
    every = entries.size("moe_layer_freq", default=1)
    first = entries.size("first_k_dense_replace", default=0, lowest=0, highest=MOST_LAYERS)
    stated = _llama(entries)
    experts = Experts(
        count=entries.size("n_routed_experts"),
        per_token=entries.size("num_experts_per_tok"),
        ffn=ffn,
        shared_ffn=ffn * entries.size("n_shared_experts", default=0, lowest=0),
    )
    dense = tuple(layer for layer in range(stated["layers"]) if layer < first or layer % every)
    return stated | {"experts": experts, "dense_layers": dense}


def _gemma(entries: Entries) -> Fields:
    biases = ("qkv", "o") if entries.flag("attention_bias") else ()
    stated = _gated(entries, tied=True, head_size=256)
    return stated | {"activation": _activation(entries, "hidden_activation", default="gelu"), "biases": biases}


def _gemma_caps(entries: Entries, **defaults: float) -> Fields:
    names = {"score_cap": "attn_logit_softcapping", "logit_cap": "final_logit_softcapping"}
    return {field: entries.cap(name) if name in entries.data else defaults.get(field) for field, name in names.items()}


def _gemma2(entries: Entries) -> Fields:
    windows = _windows(entries, _window(entries, 4096), lambda layer: layer % 2 == 0)
    return {**_gemma(entries), "block_norms": 4, **windows, **_gemma_caps(entries, score_cap=50.0, logit_cap=30.0)}


GEMMA3 = {
    "hidden": 2304,
    "ffn": 9216,
    "layers": 26,
    "heads": 8,
    "kv_heads": 4,
    "head_size": 256,
    "vocabulary": 262208,
    "max_length": 131072,
}
"""Defaults of Gemma 3, which its configurations leave out."""


def _gemma3(entries: Entries) -> Fields:
    pattern = entries.size("sliding_window_pattern", "_sliding_window_pattern", default=6)
    windows = _windows(entries, _window(entries, 4096), lambda layer: (layer + 1) % pattern != 0)
    stated = _gated(entries, tied=True, **GEMMA3)
    activation = _activation(entries, "hidden_activation", default="gelu")
    biases = ("qkv", "o") if entries.flag("attention_bias") else ()
    own: Fields = {"activation": activation, "biases": biases, "block_norms": 4, "qk_norm": True}
    return {**stated, **own, **windows, **_gemma_caps(entries)}


def _phi3(entries: Entries) -> Fields:
    share = _rotary_share(entries, "partial_rotary_factor", 1.0)
    return {**_gated(entries), "rotary_share": share, **_windows(entries, _window(entries), lambda _: True)}


def _opt(entries: Entries) -> Fields:
    for name in ("do_layer_norm_before", "layer_norm_elementwise_affine"):
        if not entries.flag(name, True):
            raise InputError(f"{entries.where}: asks for {name} false, which a shape cannot express; use another OPT")
    stated = _sizes(entries)
    if entries.value("word_embed_proj_dim", stated["hidden"]) != stated["hidden"]:
        raise InputError(
            f"{entries.where}: asks for word_embed_proj_dim {_short(entries.data['word_embed_proj_dim'])}, an embedding of "
            "another width, which a shape cannot express; use another OPT"
        )
    return {
        **stated,
        "ffn": entries.size("ffn_dim"),
        "gated": False,
        "activation": _activation(entries, "activation_function", default="relu"),
        "norm": "layer",
        "biases": ("qkv", "o", "u", "d") if entries.flag("enable_bias", True) else (),
        "rotary_share": 0.0,
        "position_rows": stated["max_length"] + OPT_POSITION_OFFSET,
        "tied": entries.flag("tie_word_embeddings", True),
    }


OPT_POSITION_OFFSET = 2
"""Rows of OPT's position table before that of the first token."""


def _gpt_neox(entries: Entries) -> Fields:
    attention = ("qkv", "o") if entries.flag("attention_bias", True) else ()
    return {
        **_sizes(entries),
        "ffn": entries.size("intermediate_size"),
        "gated": False,
        "activation": _activation(entries, "hidden_act", default="gelu"),
        "norm": "layer",
        "biases": (*attention, "u", "d"),
        "parallel": entries.flag("use_parallel_residual", True),
        "rotary_share": _rotary_share(entries, "rotary_pct", 0.25),
        "tied": entries.flag("tie_word_embeddings"),
    }


def _falcon(entries: Entries) -> Fields:
    new = entries.flag("new_decoder_architecture")
    heads, hidden = entries.size("num_attention_heads", "n_head"), entries.size("hidden_size", "n_embed")
    own_heads = entries.size("num_kv_heads", "n_head_kv", default=heads)
    parallel = entries.flag("parallel_attn", True) or new
    norms = entries.size("num_ln_in_parallel_attn", default=2 if new else 1, highest=2)
    one_head = entries.flag("multi_query", True) and not new
    return {
        "hidden": hidden,
        "layers": entries.size("num_hidden_layers", "n_layer", highest=MOST_LAYERS),
        "heads": heads,
        "kv_heads": 1 if one_head else own_heads,
        "vocabulary": entries.size("vocab_size"),
        "max_length": entries.size("max_position_embeddings", default=2048),
        "ffn": entries.size("ffn_hidden_size", default=4 * hidden),
        "gated": False,
        "activation": _activation(entries, "activation", default="gelu"),
        "norm": "layer",
        "block_norms": norms if parallel else 2,
        "biases": ("qkv", "o", "u", "d") if entries.flag("bias") else (),
        "parallel": parallel,
        "tied": entries.flag("tie_word_embeddings", True),
    }


TEXT_PARTS = {"gemma3": "gemma3_text"}
"""Models of several media, and the kind of the language model in them."""

FAMILIES: dict[str, Callable[[Entries], Fields]] = {
    "llama": _llama,
    "mistral": _mistral,
    "mixtral": _mixtral,
    "qwen2": _qwen2,
    "qwen2_moe": _qwen2_moe,
    "qwen3": _qwen3,
    "qwen3_moe": _qwen3_moe,
    "deepseek": _deepseek,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "phi3": _phi3,
    "opt": _opt,
    "gpt_neox": _gpt_neox,
    "falcon": _falcon,
}
"""The shape's fields from the entries, by ``model_type``."""
