"""Perplexity as a metric of a sweep: the loss of an evaluated model in a point's number format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import StrictInt

from ...formats import AndaFormat, InputError
from ...formats.checks import check_integer
from ...sim.config.processing_element import Arithmetic
from ...workloads import MODULES
from ..options.named_format import NamedFormat
from ..options.sweep import PointOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...formats import AndaTensor
    from ...sim import Architecture
    from ...workloads import Precision, TextBlocks
    from ...workloads.evaluation.scores import Scorer
    from ...workloads.inference.decoder import Decoder

LOSS_COLUMNS = (
    "loss_percent",
    "loss_standard_error_percent",
    "loss_bound_percent",
    "perplexity",
    "kl_nats",
    "top1_disagreement_percent",
    "tempered_loss_percent",
    "evaluation_blocks",
    "evaluation_tokens",
    "loss_blocks_percent",
)
"""Columns of a row where perplexity is evaluated: the relative increase over FP16 activations, paired, its standard error, and
loss + t * standard error, below which the true loss is with 95 %; then the other measures, and the losses of the blocks."""
MEASURED_COLUMNS = ("loss_percent", "tempered_loss_percent")
"""Columns with signed losses."""
BLOCKS_COLUMN = "loss_blocks_percent"
"""Column with the loss of every block, a JSON list as text: two rows of one text are compared block by block."""

TRACE_TOKENS = 64
"""Tokens on which zero planes are counted."""


@dataclass(frozen=True)
class Evaluation:
    """A model and text: perplexity of the GeMMs' activation format, weights as the model has them."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    """In a file, a field that does not exist is an error."""

    model: str = "smollm2-135m"
    """A fetched model."""
    text: str = "wiki"
    split: str = "heldout"
    tokens: StrictInt = 512
    """Tokens of a block."""
    blocks: StrictInt = 8

    def __post_init__(self) -> None:
        check_integer("evaluation.tokens", self.tokens, 2)
        if self.blocks < 2:
            raise InputError(f"evaluation.blocks: {self.blocks} is too few for a standard error; use 2 or more")


OWN_FORMAT = NamedFormat.parse(str(PointOptions.format))
"""The activation format that the architecture computes with."""


STORED = Arithmetic().format
"""The arithmetic of elements that compute with the values in memory."""


def format_bits(named: NamedFormat, machine: Architecture, precisions: Sequence[Precision]) -> float:
    """Bits of a stored activation in a named format, or in the format of the architecture's memory.

    Of Anda with several widths, the mean over the four modules and over the precisions, one for all layers or one for each.
    """
    if named != OWN_FORMAT:
        return named.build().bits_per_value
    if machine.activation_memory == "fp16":
        return 16.0
    lanes = machine.processing_element.lanes
    widths = [bits for precision in precisions for bits in precision]
    return sum(AndaFormat(mantissa_bits=m, group_size=lanes).bits_per_value for m in widths) / len(widths)


def activation_hook(
    machine: Architecture, precision: Precision, rounding: str, reconstruct: str, named: NamedFormat = OWN_FORMAT
) -> Any:
    """Hook that computes GeMMs as an architecture's elements state that they do, or rounds activations to a named format.

    None if the elements do not state their arithmetic: the loss is unknown.
    """
    from ...workloads import AndaActivations, FormatActivations, Fp16Activations
    from ...workloads.inference.hooks import AndaArithmetic, FormatArithmetic, ModuleActivations

    if named != OWN_FORMAT:
        return FormatActivations(named.build())
    element = machine.processing_element
    arithmetic, lanes = element.arithmetic, element.lanes
    if arithmetic is None:
        return None
    if arithmetic.format == STORED and machine.activation_memory == "anda":
        options: dict[str, Any] = {"group_size": lanes, "rounding": rounding, "reconstruct": reconstruct}
        if arithmetic.partial == "float":
            return AndaActivations(precision, **options)
        return AndaArithmetic(precision, arithmetic.partial, **options)
    if arithmetic.format == STORED and arithmetic.partial == "float":
        return Fp16Activations()
    widths = machine.precision(precision)
    text = "fp16" if arithmetic.format == STORED else arithmetic.format
    formats = [NamedFormat.parse(text).build(mantissa_bits=bits) for bits in widths]
    if arithmetic.partial != "float":
        return FormatArithmetic(tuple(formats), lanes, arithmetic.partial)
    if len(set(widths)) == 1:
        return FormatActivations(formats[0])
    return ModuleActivations(Fp16Activations(), dict(zip(MODULES, map(FormatActivations, formats), strict=True)))


def evaluate_hook(evaluation: Evaluation, hook: Any) -> dict[str, Any]:
    """The columns `LOSS_COLUMNS` of activations; blocks that were evaluated before are taken from the cache.

    They are blank, NaN, for no hook.

    Raises
    ------
    InputError
        The model or the text is not there.
    """
    from ...workloads import Fp16Activations
    from ...workloads.evaluation.scores import compare_scores

    if hook is None:
        return dict.fromkeys(LOSS_COLUMNS, math.nan) | {BLOCKS_COLUMN: None}
    scorer, blocks = _scorer(evaluation)
    found = compare_scores(scorer.score(blocks, hook), scorer.score(blocks, Fp16Activations()))
    loss = found.loss
    values = (
        100 * loss.loss,
        100 * loss.standard_error,
        100 * loss.estimate.upper_bound(),
        loss.perplexity,
        found.kl.value,
        100 * found.top1.value,
        100 * found.tempered.value,
        loss.blocks,
        evaluation.tokens,
        f"[{', '.join(f'{100 * value:.4g}' for value in found.blocks['loss'])}]",
    )
    return dict(zip(LOSS_COLUMNS, values, strict=True))


def read_block_losses(text: str) -> list[float]:
    """Losses of blocks in percent, from the text of `BLOCKS_COLUMN`; none where perplexity was not evaluated."""
    return [float(value) for value in text.strip("[]").split(",") if value]


@cache
def _scorer(evaluation: Evaluation) -> tuple[Scorer, TextBlocks]:
    from ...workloads.evaluation.scores import Scorer
    from ..inputs import evaluation_cache

    decoder, blocks = _subject(evaluation)
    return Scorer(decoder, evaluation_cache()), blocks


def group_cycles(
    evaluation: Evaluation, machine: Architecture, precision: Precision, rounding: str
) -> dict[str, float]:
    """Mean cycles of a group of each module where all-zero planes are skipped, over all layers of the model.

    Measured on the activations that enter the GeMMs while the model reads the first `TRACE_TOKENS` tokens.
    """
    from ...formats.anda.plane_mask import mean_group_cycles
    from ...workloads import MODULES

    def count(tensor: AndaTensor) -> float:
        return mean_group_cycles(tensor, machine.array.rows, machine.digit_load_cycles)

    cycles: dict[str, float] = {}
    for module, bits in zip(MODULES, precision, strict=True):
        options: Any = {"group_size": machine.processing_element.lanes, "rounding": rounding}
        fmt = AndaFormat(mantissa_bits=bits, **options)
        means = [count(fmt.encode(x)) for x in _activations(evaluation)[module]]
        cycles[module] = sum(means) / len(means)
    return cycles


@cache
def _activations(evaluation: Evaluation) -> dict[str, list[NDArray[np.float16]]]:
    """Input activations of each module's GeMMs: one FP16 array ``[tokens, channels]`` for each layer."""
    from ...workloads import MODULES, Fp16Activations

    decoder, blocks = _subject(evaluation)
    kept: dict[str, list[NDArray[np.float16]]] = {module: [] for module in MODULES}
    fp16 = Fp16Activations()

    def hook(module: str, layer: int, x: NDArray[np.float32]) -> NDArray[np.float32]:
        values = fp16(module, layer, x)
        kept[module].append(values.astype("float16"))
        return values

    decoder.hidden(blocks.tokens[0, :TRACE_TOKENS], hook)
    return kept


@cache
def _subject(evaluation: Evaluation) -> tuple[Decoder, TextBlocks]:
    """The model and its text, loaded once a process."""
    from ...workloads import load_decoder

    decoder = load_decoder(evaluation.model)
    asked = (evaluation.text, evaluation.split, evaluation.tokens, evaluation.blocks)
    return decoder, decoder.blocks(*asked)
