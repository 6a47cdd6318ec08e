"""Quantise the weights of a model, and measure what that costs in perplexity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...formats import InputError, WeightQuantizer, weight_quantizer
from ...formats.weight_registry import weight_quantizers
from ...workloads import Decoder, Fp16Activations, PairedLoss, TextBlocks, evaluate, paired_loss
from ...workloads.gradients.calibration import Fisher, Hessians, fisher_information, hessians
from ...workloads.integer_only.decoder import IntegerDecoder
from ...workloads.integer_only.io import save_integer_weights
from ...workloads.integer_only.weights import CALIBRATION_BLOCKS, IntegerConfig, quantize_decoder
from ...workloads.loading.requantize import PackedLinears, average_bits, quantize_linears, save_linears, with_linears
from ...workloads.text.blocks import SPLITS, cut_blocks, read_text

Stage = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""``stage(title, total)`` gives, as a context, what to call with the units of work just finished."""


@dataclass(frozen=True)
class StudyTexts:
    """What a study reads."""

    hessian: TextBlocks
    """For the Hessians."""
    fisher: TextBlocks
    """For the Fisher information, whose gradients take some four times as long."""
    smoothing: TextBlocks
    """For the smoothing factors of the integer-only model."""
    heldout: TextBlocks
    """For the perplexity."""

    @classmethod
    def load(
        cls,
        decoder: Decoder,
        hessian_blocks: int = 24,
        fisher_blocks: int = 12,
        heldout_blocks: int = 16,
        tokens: int = 512,
    ) -> StudyTexts:
        """Blocks of the Wikipedia excerpt: all but the held-out ones from its calibration articles.

        Raises:
            InputError: too few or too many blocks, or the text was not fetched.
        """
        counts = {"calibration_blocks": hessian_blocks, "fisher_blocks": fisher_blocks, "blocks": heldout_blocks}
        for field, count in counts.items():
            if count < 1:
                raise InputError(f"{field}: {count} is too few; use 1 or more")

        calibration, heldout = (decoder.tokenizer.encode(read_text("wiki", split)) for split in SPLITS)
        return cls(
            cut_blocks(calibration, tokens, hessian_blocks),
            cut_blocks(calibration, tokens, fisher_blocks),
            cut_blocks(calibration, tokens, CALIBRATION_BLOCKS),
            cut_blocks(heldout, tokens, heldout_blocks),
        )


@dataclass(frozen=True)
class QuantizationResult:
    """One method's outcome."""

    method: str
    parameters: dict[str, Any]
    bits_by_formula: float
    bits_by_bytes: float | None
    """None where only writing the model tells."""
    loss: PairedLoss
    """Against the unquantised weights, FP16 activations in both."""

    def record(self) -> dict[str, Any]:
        """As JSON values: what is not finite (no outliers at all, the error of a single block) as a word."""
        fields = asdict(self)
        for values in (fields["parameters"], fields["loss"]):
            values |= {name: str(v) for name, v in values.items() if isinstance(v, float) and not isfinite(v)}
        return fields


@dataclass(frozen=True)
class IntegerOnly:
    """I-LLM (arXiv 2405.17849): weights and activations of `bits`, and integers from token ids to logits."""

    name: ClassVar[str] = "illm"

    bits: int = 8

    def __post_init__(self) -> None:
        self.config()

    def config(self) -> IntegerConfig:
        """The widths of the integer decoder."""
        return IntegerConfig(weight_bits=self.bits, activation_bits=self.bits)

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


Method = WeightQuantizer | IntegerOnly


class QuantizationStudy:
    """Quantises one model by any number of methods; calibrates once, and only for what these need.

    Args:
        decoder: the model.
        texts: what it reads.
        sink_weight: how many tokens the first one of a block counts for in the Hessian of q, k and v.
        cache: folder that keeps evaluations, or None.
        stage: shows progress.
    """

    def __init__(
        self, decoder: Decoder, texts: StudyTexts, sink_weight: float, cache: Path | None, stage: Stage
    ) -> None:
        if not sink_weight > 0:
            raise InputError(f"sink_weight: {sink_weight} is not positive; use 1 for no extra weight")
        self.decoder, self._texts, self._sink_weight = decoder, texts, sink_weight
        self._cache, self._stage = cache, stage
        self._hessians: Hessians | None = None
        self._fisher: Fisher | None = None
        self._reference: NDArray[np.float64] | None = None

    def run(self, method: Method, out: Path | None = None) -> QuantizationResult:
        """Quantise, measure, and write a folder if `out` names one."""
        if isinstance(method, IntegerOnly):
            return self._run_integer(method, out)
        packed = self.quantize(method)
        result = self.measure(method, packed)
        if out is not None:
            save_linears(out, self.decoder, packed, self._about(result))
        return result

    def quantize(self, quantizer: WeightQuantizer) -> PackedLinears:
        """The packed linear layers."""
        self._calibrate(quantizer)
        with self._stage(f"quantise by {quantizer.name}", 7 * self.decoder.shape.layers) as advance:
            return quantize_linears(
                self.decoder, quantizer, self._hessians, self._fisher, progress=lambda *_: advance(1)
            )

    def measure(self, quantizer: WeightQuantizer, packed: PackedLinears) -> QuantizationResult:
        """Size and loss of packed linear layers, on the held-out text."""
        nll = self._nll(f"evaluate {quantizer.name}", with_linears(self.decoder, packed))
        return QuantizationResult(
            quantizer.name,
            quantizer.parameters,
            average_bits(packed, lambda weights: weights.bits_per_weight),
            average_bits(packed, lambda weights: weights.bits_per_weight_stored),
            paired_loss(nll, self._reference_nll()),
        )

    def _run_integer(self, method: IntegerOnly, out: Path | None) -> QuantizationResult:
        with self._stage("smooth and quantise by illm", 1) as advance:
            weights = quantize_decoder(self.decoder, method.config(), self._texts.smoothing.tokens)
            advance(1)
        decoder, blocks = IntegerDecoder(weights), self._texts.heldout.tokens
        nll: list[NDArray[np.float64]] = []
        with self._stage("evaluate illm", len(blocks)) as advance:
            for block in blocks:
                nll.append(decoder.nll(block[None])[0])
                advance(1)
        loss = paired_loss(np.stack(nll), self._reference_nll())
        result = QuantizationResult(method.name, method.parameters, weights.bits_per_weight, None, loss)
        if out is None:
            return result
        return replace(result, bits_by_bytes=save_integer_weights(out, weights, self._about(result)))

    def _about(self, result: QuantizationResult) -> dict[str, Any]:
        """What a folder says about the model in it."""
        hashes = {f"{name}_sha256": blocks.sha256 for name, blocks in vars(self._texts).items()}
        return {"sink_weight": self._sink_weight} | hashes | result.record()

    def _calibrate(self, quantizer: WeightQuantizer) -> None:
        if quantizer.statistic == "hessian" and self._hessians is None:
            with self._stage("accumulate Hessians", len(self._texts.hessian.tokens)) as advance:
                self._hessians = hessians(
                    self.decoder, self._texts.hessian, self._sink_weight, progress=lambda *_: advance(1)
                )
        if quantizer.statistic == "fisher" and self._fisher is None:
            with self._stage("accumulate Fisher information", len(self._texts.fisher.tokens)) as advance:
                self._fisher = fisher_information(self.decoder, self._texts.fisher, progress=lambda *_: advance(1))

    def _reference_nll(self) -> NDArray[np.float64]:
        if self._reference is None:
            self._reference = self._nll("evaluate the model as given", self.decoder)
        return self._reference

    def _nll(self, title: str, decoder: Decoder) -> NDArray[np.float64]:
        blocks = self._texts.heldout
        with self._stage(title, len(blocks.tokens)) as advance:
            return evaluate(decoder, blocks, Fp16Activations(), self._cache, progress=lambda *_: advance(1))


def parse_methods(texts: Sequence[str], bits: Sequence[int]) -> list[Method]:
    """Methods from ``name`` or ``name:parameter=value,…``, each at every width unless it names its own.

    A value is a number, true, false, inf or a word.

    >>> [quantizer.parameters for quantizer in parse_methods(["kmeans", "rtn:bits=8,symmetric=true"], [3])]
    ... # doctest: +NORMALIZE_WHITESPACE
    [{'bits': 3, 'outlier_fraction': 0.0, 'solver': 'optimal'}, {'bits': 8, 'group_size': 128, 'symmetric': True}]

    Raises:
        InputError: an unknown method or parameter, or a parameter without a value.
    """
    methods: list[Method] = []
    for text in texts:
        name, _, assignments = text.partition(":")
        parameters = dict(_parse_assignment(part) for part in assignments.split(",") if part)
        widths = [{"bits": width} for width in bits] if bits and "bits" not in parameters else [{}]
        methods += [_method(name, parameters | width) for width in widths]
    return methods


def _method(name: str, parameters: dict[str, Any]) -> Method:
    names = (*weight_quantizers(), IntegerOnly.name)
    if name not in names:
        raise InputError(f"method: there is no method {name!r}; choose one of {', '.join(names)}")
    if name != IntegerOnly.name:
        return weight_quantizer(name, **parameters)
    if unknown := set(parameters) - {"bits"}:
        raise InputError(f"{min(unknown)}: illm has no such parameter; it has bits")
    return IntegerOnly(**parameters)


def _parse_assignment(text: str) -> tuple[str, bool | int | float | str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"method: {text!r} is no parameter; write for instance rtn:group_size=64")
    return name, _parse_value(value)


def _parse_value(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
