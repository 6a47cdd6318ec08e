"""Perplexity as a metric of a sweep: what a point's number format costs a model that is evaluated here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ...formats import InputError
from ...formats.activation_format import activation_format

if TYPE_CHECKING:
    from ...sim import Architecture
    from ...workloads import Precision, TextBlocks
    from ...workloads.decoder import Decoder

LOSS_COLUMNS = ("loss_percent", "loss_standard_error_percent", "perplexity")
"""Columns of a row where perplexity is evaluated: the relative increase over FP16 activations, paired, and its error."""


@dataclass(frozen=True)
class Evaluation:
    """A model and text: perplexity of the GeMMs' activation format, weights as the model has them."""

    model: str = "smollm2-135m"
    """A fetched model."""
    text: str = "wiki"
    split: str = "heldout"
    tokens: int = 512
    """Of a block."""
    blocks: int = 4

    def __post_init__(self) -> None:
        if self.blocks < 2:
            raise InputError(f"evaluation.blocks: {self.blocks} is too few for a standard error; use 2 or more")


def activation_hook(machine: Architecture, precision: Precision, rounding: str, reconstruct: str) -> Any:
    """What an architecture's arithmetic leaves of activations.

    Anda: its format, in groups of the element's lanes. FP-FP and FP-INT: FP16. iFPU and FIGNA: their alignment to the
    largest exponent of 64 channels.
    """
    from ...workloads import AndaActivations, FormatActivations, Fp16Activations

    element = machine.processing_element
    if element.mantissa_bits == "variable":
        return AndaActivations(precision, group_size=element.lanes, rounding=rounding, reconstruct=reconstruct)
    if element.kind == "ifpu":
        return FormatActivations(activation_format("ifpu"))
    if element.kind.startswith("figna"):
        return FormatActivations(activation_format("figna", mantissa_bits=element.mantissa_bits))
    return Fp16Activations()


def evaluate_point(
    evaluation: Evaluation, machine: Architecture, precision: Precision, rounding: str, reconstruct: str
) -> dict[str, float]:
    """The columns `LOSS_COLUMNS` of a point; blocks that were evaluated before are taken from the cache.

    Raises:
        InputError: the model or the text is not there.
    """
    from ...workloads import Fp16Activations, evaluate, paired_loss
    from ..report.evaluation import evaluation_cache

    decoder, blocks = _subject(evaluation)
    kept = evaluation_cache()
    nll = evaluate(decoder, blocks, activation_hook(machine, precision, rounding, reconstruct), kept)
    loss = paired_loss(nll, evaluate(decoder, blocks, Fp16Activations(), kept))
    return dict(zip(LOSS_COLUMNS, (100 * loss.loss, 100 * loss.standard_error, loss.perplexity), strict=True))


@cache
def _subject(evaluation: Evaluation) -> tuple[Decoder, TextBlocks]:
    """The model and its text, loaded once a process."""
    from ...workloads import load_blocks, load_decoder

    decoder = load_decoder(evaluation.model)
    asked = (evaluation.text, evaluation.split, evaluation.tokens, evaluation.blocks)
    return decoder, load_blocks(decoder.tokenizer, *asked)
