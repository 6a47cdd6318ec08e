"""Training of a small model of the OPT architecture, since no package carries OPT weights. Needs the extra ``hf``.

The model covers what OPT does differently from LLaMA (LayerNorm, learned positions, biases, ReLU). A few million
parameters, trained for ten minutes on one core, say nothing about the published OPT models: the small model has almost no
outlier channels, so it needs fewer mantissa bits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError
from ...formats.checks import check_integer
from ...formats.documents.border import border
from ...formats.documents.json_file import read_json
from ..extras import import_extra
from ..text.blocks import cut_blocks, read_text

TRAINING_FILE = "training.json"
HELDOUT_BLOCKS = 32
WARMUP = 0.05
"""Share of the steps during which the learning rate rises."""


@dataclass(frozen=True, kw_only=True)
class OptTraining:
    """Sizes and training of the model; equal values give equal weights on the same machine."""

    hidden: int = 256
    ffn: int = 1024
    layers: int = 4
    heads: int = 4
    vocabulary: int = 4096
    tokens: int = 512
    """Length of a sequence, and of the model's context."""
    batch: int = 4
    """Number of sequences in a step."""
    steps: int = 1000
    learning_rate: float = 2e-3
    """Peak learning rate; it rises linearly to it and falls as a cosine to a tenth of it."""
    seed: int = 0
    texts: tuple[str, ...] = ("wiki", "brown")
    """Texts to train on; only their calibration halves are read."""

    def __post_init__(self) -> None:
        for field in ("hidden", "ffn", "layers", "heads", "tokens", "batch", "steps"):
            check_integer(field, getattr(self, field), 1)
        check_integer("seed", self.seed, 0)
        if self.hidden % self.heads:
            raise InputError(f"heads: {self.heads} do not divide {self.hidden} channels; choose a divisor")
        if self.vocabulary < 300:
            raise InputError(f"vocabulary: {self.vocabulary} is too few for all bytes and some merges; use 300 or more")


def train_opt(
    out: Path, training: OptTraining | None = None, progress: Callable[[int, int, float], None] | None = None
) -> dict[str, Any]:
    """Train a tokenizer and a model, and write them as a Hugging Face checkpoint folder; `load_checkpoint` reads it.

    Parameters
    ----------
    out
        A new or empty folder.
    training
        Sizes, steps and seed.
    progress
        Called after each step with its number, the number of all steps, and the loss in nats.

    Returns
    -------
    dict[str, Any]
        Content of ``training.json`` in the folder: the fields of `training`, the number of parameters of the model, and
        the perplexity on held-out articles of each text.

    Raises
    ------
    InputError
        The packages torch, transformers or tokenizers or a text is missing, or the folder is not empty.
    """
    training = training or OptTraining()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"out: {out} is not an empty folder and is not overwritten; name another one")
    torch, transformers, tokenizers = (import_extra(name) for name in ("torch", "transformers", "tokenizers"))
    texts = {text: read_text(text, "calibration") for text in training.texts}
    tokenizer = _train_tokenizer(tokenizers, list(texts.values()), training)
    ids = np.concatenate([_encode(tokenizer, text) for text in texts.values()])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one order of sums on every machine
    try:
        model = _train(torch, transformers, ids, training, progress)
        perplexity = {text: _perplexity(torch, model, tokenizer, text, training) for text in training.texts}
    finally:
        torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    parameters = sum(values.numel() for values in model.parameters())
    record = asdict(training) | {
        "training_tokens": len(ids),
        "parameters": parameters,
        "heldout_perplexity": perplexity,
        "heldout_tokens": HELDOUT_BLOCKS * (training.tokens - 1),
        "torch": str(torch.__version__),
    }
    (out / TRAINING_FILE).write_text(json.dumps(record, indent=1) + "\n")
    return record


def read_training(folder: Path) -> dict[str, Any] | None:
    """Read the record that `train_opt` wrote beside a model; None for other models."""
    path = folder / TRAINING_FILE
    if not path.is_file():
        return None
    with border(f"model: {path} is damaged", "train the model again"):
        return dict(read_json(path))


def _train_tokenizer(tokenizers: Any, texts: Sequence[str], training: OptTraining) -> Any:
    """Train a byte-level byte-pair encoding of OPT's kind."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=training.vocabulary,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _encode(tokenizer: Any, text: str) -> NDArray[np.int32]:
    return np.array(tokenizer.encode(text, add_special_tokens=False).ids, np.int32)


def _train(
    torch: Any,
    transformers: Any,
    ids: NDArray[np.int32],
    training: OptTraining,
    progress: Callable[[int, int, float], None] | None,
) -> Any:
    if len(ids) <= training.tokens:
        raise InputError(f"tokens: the text has {len(ids)} tokens, a sequence {training.tokens}; use shorter sequences")
    torch.manual_seed(training.seed)
    rng = np.random.default_rng(training.seed)
    model = transformers.OPTForCausalLM(_configuration(transformers, training))
    model.train()
    matrices = [values for values in model.parameters() if values.ndim > 1]
    vectors = [values for values in model.parameters() if values.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=training.learning_rate, betas=(0.9, 0.95))
    for step in range(training.steps):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * _schedule(step, training.steps)
        starts = rng.integers(0, len(ids) - training.tokens, training.batch)
        batch = torch.from_numpy(ids[starts[:, None] + np.arange(training.tokens)].astype(np.int64))
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if progress:
            progress(step + 1, training.steps, loss.item())
    model.eval()
    return model


def _configuration(transformers: Any, training: OptTraining) -> Any:
    return transformers.OPTConfig(
        vocab_size=training.vocabulary,
        hidden_size=training.hidden,
        ffn_dim=training.ffn,
        num_hidden_layers=training.layers,
        num_attention_heads=training.heads,
        word_embed_proj_dim=training.hidden,
        max_position_embeddings=training.tokens,
        dropout=0.0,
        attention_dropout=0.0,
        layerdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None,
        use_cache=False,
    )


def _schedule(step: int, steps: int) -> float:
    """Learning rate of a step as a share of the peak."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.55 + 0.45 * math.cos(math.pi * (step - warmup) / max(1, steps - warmup))


def _perplexity(torch: Any, model: Any, tokenizer: Any, text: str, training: OptTraining) -> float:
    """Perplexity on held-out articles, in float32."""
    blocks = cut_blocks(_encode(tokenizer, read_text(text, "heldout")), training.tokens, HELDOUT_BLOCKS)
    with torch.no_grad():
        losses = [
            model(input_ids=batch, labels=batch).loss.item()
            for batch in torch.from_numpy(blocks.tokens.astype(np.int64)).split(training.batch)
        ]
    return math.exp(sum(losses) / len(losses))
