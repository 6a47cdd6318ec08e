"""Quantise the weights of a model, and measure the size and the loss of perplexity."""

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
from ...formats.checks import check_choice, check_integer, check_positive
from ...formats.weight_registry import weight_quantizers
from ...workloads import Decoder, Fp16Activations, PairedLoss, ScoredModel, TextBlocks, evaluate, paired_loss
from ...workloads.gradients.calibration import Fisher, Hessians, fisher_information, hessians
from ...workloads.inference.decoder import require_length
from ...workloads.integer_only.decoder import IntegerDecoder
from ...workloads.integer_only.fsbr import TRAINING_BLOCKS, TRAINING_TOKENS, FsbrTraining, learned_blocks
from ...workloads.integer_only.io import save_integer_weights
from ...workloads.integer_only.weights import CALIBRATION_BLOCKS, IntegerConfig, IntegerDecoderWeights, quantize_decoder
from ...workloads.loading.requantize import PackedLinears, average_bits, quantize_linears, save_linears, with_linears
from ...workloads.text.blocks import SPLITS, cut_blocks, read_text
from ..folder import filling, require_free
from ..inputs import TRANSFORMERS, as_decoder, as_model, as_scored, check_backend, evaluation_cache, factor_cache
from ..options.parse import assignments as assignments_of
from ..options.parse import several
from ..options.question import question
from ..options.reports import QuantizationOptions
from ..options.result import Result
from ..progress import stage

Stage = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""``stage(title, total)`` is a context manager; its value is called with the number of units just finished."""


@dataclass(frozen=True)
class StudyTexts:
    """Text blocks of a study, by purpose."""

    hessian: TextBlocks
    """Blocks for the Hessians."""
    fisher: TextBlocks
    """Blocks for the Fisher information; a block takes about four times as long as for the Hessians."""
    smoothing: TextBlocks
    """Blocks for the smoothing factors of the integer-only model."""
    factors: TextBlocks
    """Blocks to learn the factors of the integer-only model on."""
    heldout: TextBlocks
    """Blocks for the perplexity."""

    @classmethod
    def load(
        cls,
        decoder: Decoder,
        hessian_blocks: int,
        fisher_blocks: int,
        heldout_blocks: int,
        tokens: int,
    ) -> StudyTexts:
        """Cut blocks from the Wikipedia excerpt: `heldout` from its held-out articles, the others from the calibration ones.

        Raises
        ------
        InputError
            There are too few or too many blocks, or the text was not fetched.
        """
        counts = {"calibration_blocks": hessian_blocks, "fisher_blocks": fisher_blocks, "blocks": heldout_blocks}
        for field, count in counts.items():
            check_integer(field, count, 1)
        require_length(decoder.shape, tokens)
        calibration, heldout = (decoder.tokenizer.encode(read_text("wiki", split)) for split in SPLITS)
        return cls(
            cut_blocks(calibration, tokens, hessian_blocks),
            cut_blocks(calibration, tokens, fisher_blocks),
            cut_blocks(calibration, tokens, CALIBRATION_BLOCKS),
            cut_blocks(calibration, TRAINING_TOKENS, TRAINING_BLOCKS),
            cut_blocks(heldout, tokens, heldout_blocks),
        )


@dataclass(frozen=True)
class QuantizationResult:
    """Size and loss of a model that one method quantised."""

    method: str
    parameters: dict[str, Any]
    bits_by_formula: float
    """Mean bits per weight from the format's formula."""
    bits_by_bytes: float | None
    """Mean bits per weight in memory; None if it is known only after the model is written."""
    loss: PairedLoss
    """Loss over the unquantised weights, with FP16 activations in both models."""

    def record(self) -> dict[str, Any]:
        """The result as JSON values; numbers that are not finite (no outliers, error of a single block) as words."""
        fields = asdict(self)
        for values in (fields["parameters"], fields["loss"]):
            values |= {name: str(v) for name, v in values.items() if isinstance(v, float) and not isfinite(v)}
        return fields


@dataclass(frozen=True)
class QuantizationResults(Result):
    """Result of `quantize`.

    Attributes
    ----------
    model
        Name of the model.
    results
        One result for each method and width.
    """

    model: str
    results: list[QuantizationResult]

    def to_dict(self) -> list[dict[str, Any]]:
        """The document that ``anda quantize --json -`` prints."""
        return [result.record() for result in self.results]


@dataclass(frozen=True)
class IntegerOnly:
    """I-LLM (arXiv 2405.17849): integer arithmetic from token ids to logits."""

    name: ClassVar[str] = "illm"

    bits: int = 8
    """Bits of weights and activations."""
    epochs: int = 0
    """Passes over the text that learn smoothing factors and weight clipping (FSBR, extra ``hf``); 0 takes analytic factors."""

    def __post_init__(self) -> None:
        self.config()
        check_integer("epochs", self.epochs, 0)

    def config(self) -> IntegerConfig:
        """Widths of the integer decoder."""
        return IntegerConfig(weight_bits=self.bits, activation_bits=self.bits)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the method, as a weight quantiser reports them."""
        return asdict(self)


Method = WeightQuantizer | IntegerOnly
"""A weight quantiser, or the integer-only model."""


class QuantizationStudy:
    """Quantises a model with any number of methods; each calibration runs at most once, and only if a method needs it.

    Parameters
    ----------
    decoder
        The model.
    texts
        Text blocks for calibration and evaluation.
    sink_weight
        Weight of a block's first token in the Hessians of q, k and v; other tokens have weight 1.
    cache
        Folder that stores evaluations; None stores none.
    stage
        Shows progress.
    runner
        Makes the model that is evaluated of a decoder; the decoder itself without it.
    """

    def __init__(
        self,
        decoder: Decoder,
        texts: StudyTexts,
        sink_weight: float,
        cache: Path | None,
        stage: Stage,
        runner: Callable[[Decoder], ScoredModel] = lambda decoder: decoder,
    ) -> None:
        check_positive("sink_weight", sink_weight)
        self.decoder, self._texts, self._sink_weight = decoder, texts, sink_weight
        self._cache, self._stage, self._runner = cache, stage, runner
        self._hessians: Hessians | None = None
        self._fisher: Fisher | None = None
        self._reference: NDArray[np.float64] | None = None

    def run(self, method: Method, out: Path | None = None) -> QuantizationResult:
        """Quantise the model, measure its size and loss, and write it into the folder `out` if there is one."""
        if isinstance(method, IntegerOnly):
            return self._run_integer(method, out)
        packed = self.quantize(method)
        result = self.measure(method, packed)
        if out is not None:
            with filling(out):
                save_linears(out, self.decoder, packed, self._about(result))
        return result

    def quantize(self, quantizer: WeightQuantizer) -> PackedLinears:
        """Quantise all linear layers."""
        self._calibrate(quantizer)
        with self._stage(f"quantise by {quantizer.name}", 7 * self.decoder.shape.layers) as advance:
            return quantize_linears(
                self.decoder, quantizer, self._hessians, self._fisher, progress=lambda *_: advance(1)
            )

    def measure(self, quantizer: WeightQuantizer, packed: PackedLinears) -> QuantizationResult:
        """Size of packed linear layers, and their loss on the held-out text."""
        nll = self._nll(f"evaluate {quantizer.name}", with_linears(self.decoder, packed))
        return QuantizationResult(
            quantizer.name,
            quantizer.parameters,
            average_bits(packed, lambda weights: weights.bits_per_weight),
            average_bits(packed, lambda weights: weights.bits_per_weight_stored),
            paired_loss(nll, self._reference_nll()),
        )

    def _run_integer(self, method: IntegerOnly, out: Path | None) -> QuantizationResult:
        weights = self._integer_weights(method)
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

    def _integer_weights(self, method: IntegerOnly) -> IntegerDecoderWeights:
        config, decoder = method.config(), self.decoder
        if not method.epochs:
            with self._stage("smooth and quantise by illm", 1) as advance:
                weights = quantize_decoder(decoder, config, self._texts.smoothing.tokens)
                advance(1)
            return weights
        training = FsbrTraining(epochs=method.epochs)
        with self._stage("learn the factors of illm", decoder.shape.layers) as advance:
            blocks = learned_blocks(
                decoder, self._texts.factors, config, training, factor_cache(), progress=lambda *_: advance(1)
            )
        return IntegerDecoderWeights.quantize(decoder.weights, blocks, config)

    def _about(self, result: QuantizationResult) -> dict[str, Any]:
        """Description of the model for the folder that it is written into: texts, parameters, size and loss."""
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
            return evaluate(
                self._runner(decoder), blocks, Fp16Activations(), self._cache, progress=lambda *_: advance(1)
            )


@question(QuantizationOptions)
def quantize(options: QuantizationOptions) -> QuantizationResults:
    """Quantise all linear layers of a model; measure bits per weight and perplexity, and write a folder if asked to.

    Returns
    -------
    QuantizationResults
        One row for each method and width.

    Raises
    ------
    InputError
        A method, parameter or model is unknown, the text was not fetched, or `out` exists.
    """
    methods = parse_methods(several(options.method), several(options.bits or []))
    out = None if options.out is None else Path(options.out)
    if out is not None and len(methods) > 1:
        raise InputError(f"out: it holds one model, but there are {len(methods)} methods and widths; give one of each")
    if out is not None:
        require_free(out)
    decoder = as_decoder(options.model)
    texts = StudyTexts.load(decoder, options.calibration_blocks, options.fisher_blocks, options.blocks, options.tokens)
    study = QuantizationStudy(decoder, texts, options.sink_weight, evaluation_cache(), stage, _runner(options))
    return QuantizationResults(decoder.shape.name, [study.run(method, out) for method in methods])


def _runner(options: QuantizationOptions) -> Callable[[Decoder], ScoredModel]:
    """The library that evaluates: transformers takes the weights of each decoder into its own model."""
    if options.backend != TRANSFORMERS:
        check_backend(options)
        return lambda decoder: as_scored(decoder, options)
    from ...workloads.hf import TransformersModel

    model = as_model(options.model, options)
    if not isinstance(model, TransformersModel):
        raise InputError("model: is an object, which transformers cannot load; give the path of its checkpoint")

    def run(decoder: Decoder) -> ScoredModel:
        model.take_weights(decoder)
        return model

    return run


def parse_methods(given: Sequence[str | Method], bits: Sequence[int]) -> list[Method]:
    """Parse methods such as ``rtn`` and ``kmeans:solver=lloyd``; each gets every width, unless its text names one.

    A value is a number, true, false, inf or a word. Methods that are objects stay as they are.

    >>> [quantizer.parameters for quantizer in parse_methods(["kmeans", "rtn:bits=8,symmetric=true"], [3])]
    ... # doctest: +NORMALIZE_WHITESPACE
    [{'bits': 3, 'outlier_fraction': 0.0, 'solver': 'optimal'}, {'bits': 8, 'group_size': 128, 'symmetric': True}]

    Raises
    ------
    InputError
        A method or parameter is unknown, or a parameter has no value.
    """
    methods: list[Method] = []
    for text in given:
        if not isinstance(text, str):
            methods.append(text)
            continue
        name, _, assignments = text.partition(":")
        parameters = assignments_of("rtn:group_size=64", "method", filter(None, assignments.split(",")))
        widths = [{"bits": width} for width in bits] if bits and "bits" not in parameters else [{}]
        methods += [_method(name, parameters | width) for width in widths]
    return methods


def _method(name: str, parameters: dict[str, Any]) -> Method:
    check_choice("method", name, (*weight_quantizers(), IntegerOnly.name))
    if name != IntegerOnly.name:
        return weight_quantizer(name, **parameters)
    if unknown := set(parameters) - {"bits", "epochs"}:
        raise InputError(f"{min(unknown)}: is not a parameter of illm; use bits or epochs")
    return IntegerOnly(**parameters)
