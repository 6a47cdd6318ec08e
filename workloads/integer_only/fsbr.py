"""FSBR (I-LLM): smoothing factors and weight clipping, learned block by block against the float model; extra ``hf``.

A block is trained to give, on the output of the blocks quantised before it, what the float model gives there. Three things
differ from the authors' code. The error of a token is divided by the token's mean square, since the first token of a text
is thousands of times larger than the others. The factors are learned as logarithms, so that a step is a share of the factor.
Sequences are fewer and shorter, the steps larger and decaying (cosine).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats.checks import check_integer, check_positive
from ...formats.documents.tensor_file import load_tensors
from ...formats.integer_only.smoothing import BlockFactors, BlockWeights, HeadLayout, analytic_llama_factors
from ..extras import import_extra
from ..files import read_checked, write_checked
from ..inference.decoder import Decoder
from ..text.blocks import TextBlocks
from .smoothed_blocks import ActivationMaxima, float_blocks
from .torch_block import Tensor, Tensors, TorchBlock
from .weights import LINEARS, IntegerConfig

VERSION = 1
"""Part of the key of learned factors: another number where training changed."""
FIRST_LOGIT = 4.0
"""Start of the clipping: sigmoid(4) = 0.982 of each end of a channel's range stays (the authors' code)."""
SMALLEST_FACTOR = 1e-2
"""Lower limit of the factors (the authors' code)."""
TRAINING_BLOCKS, TRAINING_TOKENS = 8, 256
"""Calibration text to train on: sequences, and tokens of each. Training takes about 5 minutes of one core for SmolLM2."""
FACTORS = ("qkv", "out", "query_key", "fc1", "gate_up", "fc2")

Progress = Callable[[int, list[float]], None]


@dataclass(frozen=True, kw_only=True)
class FsbrTraining:
    """Training of a block: AdamW, one sequence a step, rates that fall to 0 as a cosine.

    The authors use 20 epochs over 128 sequences of 2048 tokens, with rates of 5e-3 (factors) and 1e-2 (clipping).
    """

    epochs: int = 3
    factor_rate: float = 3e-2
    """Learning rate of the factors' logarithms."""
    clip_rate: float = 1e-1
    """Learning rate of the clipping's logits."""

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, 1)
        check_positive("factor_rate", self.factor_rate)
        check_positive("clip_rate", self.clip_rate)


def learned_blocks(
    decoder: Decoder,
    calibration: TextBlocks,
    config: IntegerConfig,
    training: FsbrTraining | None = None,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> list[BlockWeights]:
    """Fold learned factors into the decoder's blocks and clip their matrices (FSBR); return these blocks.

    Parameters
    ----------
    decoder
        A LLaMA model.
    calibration
        Text to train on.
    config
        The widths to train for.
    training
        Epochs and learning rates.
    cache_dir
        Folder that keeps the factors of every finished block, in a folder named by a hash of model, text and settings; a
        later call goes on after them. None keeps nothing.
    progress
        Called after each block with its index and the mean loss of every epoch.

    Raises
    ------
    InputError
        The package torch is not installed, or the model is not of the LLaMA architecture.
    """
    torch, training = import_extra("torch"), training or FsbrTraining()
    plain = float_blocks(decoder.weights)
    store = FactorStore.of(cache_dir, decoder, calibration, config, training)
    trainer = _Trainer(torch, TorchBlock(torch, decoder, config), training)
    kept = [store.read(layer) for layer in range(len(plain))]
    states = None if all(kept) else _States(torch, decoder, calibration.tokens)
    maxima = None if all(kept) else activation_maxima(decoder, calibration.tokens)
    layout = HeadLayout(decoder.shape.heads, decoder.shape.kv_heads)
    blocks: list[BlockWeights] = []
    for layer, block in enumerate(plain):
        weights = {name: torch.tensor(array) for name, array in block.items()}
        targets = states and states.targets(trainer.block, weights)
        learned = kept[layer]
        if learned is None:
            assert states and targets and maxima
            start = start_factors(block, analytic_llama_factors(block, maxima.by_layer[layer], layout))
            learned = trainer.train(weights, start, states.inputs, targets)
            store.write(layer, learned)
        folded = trainer.fold(weights, {name: torch.tensor(array) for name, array in learned.parameters.items()})
        if states and targets:
            states.advance(trainer.block, folded, targets)
        blocks.append({name: tensor.numpy() for name, tensor in folded.items()})
        if progress:
            progress(layer, learned.losses)
    return blocks


def activation_maxima(decoder: Decoder, sequences: Iterable[NDArray[np.int32]]) -> ActivationMaxima:
    """Largest magnitudes of all modules' inputs."""
    maxima = ActivationMaxima()
    for tokens in sequences:
        decoder.hidden(tokens, maxima)
    return maxima


def start_factors(block: BlockWeights, analytic: BlockFactors) -> BlockFactors:
    """Analytic factors, and 1 for query against key (one value per rotary pair) and gate against up."""
    pairs, ffn = block["k"].shape[1] // 2, block["gate"].shape[1]
    return replace(analytic, query_key=np.ones(pairs, np.float32), gate_up=np.ones(ffn, np.float32))


@dataclass(frozen=True, eq=False)
class LearnedFactors:
    """Parameters of one block after training.

    Attributes
    ----------
    parameters
        Logarithms of the factors, by their names in `BlockFactors`, and logits of the clipping ``[2, out]`` by linear layer.
    losses
        Mean loss of every epoch.
    """

    parameters: dict[str, NDArray[np.float32]]
    losses: list[float]


@dataclass(frozen=True)
class FactorStore:
    """Folder of learned factors, one safetensors file a block with a checksum at its end; None keeps nothing."""

    folder: Path | None

    @classmethod
    def of(
        cls, cache_dir: Path | None, decoder: Decoder, text: TextBlocks, config: IntegerConfig, training: FsbrTraining
    ) -> FactorStore:
        """The store of one training: its name is a hash of model, text, widths and settings."""
        widths = {name: getattr(config, name) for name in ("weight_bits", "activation_bits", "gate_bits")}
        parts = [VERSION, decoder.sha256, text.sha256, widths, asdict(training)]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        return cls(cache_dir and cache_dir / f"fsbr-{key}")

    def read(self, layer: int) -> LearnedFactors | None:
        """Factors of a block; None if there are none or their file is damaged."""
        content = self.folder and read_checked(self._path(layer))
        if content is None:
            return None
        metadata, parameters = load_tensors(content)
        return LearnedFactors(parameters, json.loads(metadata["losses"]))

    def write(self, layer: int, learned: LearnedFactors) -> None:
        """Keep the factors of a block."""
        from safetensors.numpy import save

        if self.folder:
            write_checked(self._path(layer), save(learned.parameters, {"losses": json.dumps(learned.losses)}))

    def _path(self, layer: int) -> Path:
        assert self.folder
        return self.folder / f"block-{layer:03d}.factors"


class _States:
    """Outputs of the blocks so far on all sequences: of the float model, and of the quantised blocks."""

    def __init__(self, torch: Any, decoder: Decoder, sequences: NDArray[np.int32]) -> None:
        self._torch = torch
        self._exact = [torch.tensor(decoder.weights.embedding[tokens]) for tokens in sequences]
        self.inputs = [x.clone() for x in self._exact]

    def targets(self, block: TorchBlock, weights: Tensors) -> list[Tensor]:
        """Outputs of the next block of the float model."""
        with self._torch.no_grad():
            return [block.forward(weights, x, quantized=False) for x in self._exact]

    def advance(self, block: TorchBlock, folded: Tensors, targets: list[Tensor]) -> None:
        """Go on to the block after it."""
        with self._torch.no_grad():
            self.inputs = [block.forward(folded, x, quantized=True) for x in self.inputs]
        self._exact = targets


class _Trainer:
    def __init__(self, torch: Any, block: TorchBlock, training: FsbrTraining) -> None:
        self._torch, self.block, self._training = torch, block, training

    def fold(self, weights: Tensors, parameters: Tensors) -> Tensors:
        """Fold factors and clip the matrices, which have the quantiser's range then."""
        factors = {name: parameters[name].exp() for name in FACTORS}
        shares = {name: self._torch.sigmoid(parameters[name]) for name in LINEARS}
        return self.block.clip(self.block.fold(weights, factors), shares)

    def train(
        self, weights: Tensors, start: BlockFactors, inputs: list[Tensor], targets: list[Tensor]
    ) -> LearnedFactors:
        """Parameters of the epoch with the lowest mean loss, which are those at its end."""
        torch, training = self._torch, self._training
        factors = {name: torch.tensor(getattr(start, name)).clamp(min=SMALLEST_FACTOR).log() for name in FACTORS}
        logits = {name: torch.full((2, weights[name].shape[1]), FIRST_LOGIT) for name in LINEARS}
        parameters = {name: tensor.requires_grad_() for name, tensor in (factors | logits).items()}
        groups = [
            {"params": list(factors.values()), "lr": training.factor_rate},
            {"params": list(logits.values()), "lr": training.clip_rate},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        steps = training.epochs * len(inputs)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        best: dict[str, NDArray[np.float32]] = {}
        losses: list[float] = []
        for _ in range(training.epochs):
            total = 0.0
            for x, target in zip(inputs, targets, strict=True):
                loss = _relative_error(self.block.forward(self.fold(weights, parameters), x, quantized=True), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                with torch.no_grad():
                    for name in FACTORS:
                        parameters[name].clamp_(min=float(np.log(SMALLEST_FACTOR)))
                total += loss.item()
            losses.append(total / len(inputs))
            if losses[-1] == min(losses):
                best = {name: value.detach().numpy().copy() for name, value in parameters.items()}
        return LearnedFactors(best, losses)


def _relative_error(y: Tensor, target: Tensor) -> Tensor:
    """Mean over the tokens of squared error / squared target."""
    return (((y - target) ** 2).mean(-1) / (target**2).mean(-1)).mean()
