"""Perplexity as a metric of a sweep: the loss of an evaluated model in a point's number format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import StrictInt

from ...formats import AndaFormat, InputError
from ...formats.activations.aligned import FignaFormat, IfpuFormat
from ...formats.activations.base import ActivationFormat
from ...formats.activations.chained import ChainedFormat
from ...formats.activations.fp import Fp16Format
from ...formats.checks import check_integer
from ...formats.named_format import OPEN, NamedFormat
from ...formats.named_weights import NamedWeights
from ...formats.options import GroupSum
from ...sim.config.processing_element import STORED
from ...sim.config.weights import WeightConfig, load_weights
from ...workloads import MODULES
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


def format_bits(named: NamedFormat, machine: Architecture, precisions: Sequence[Precision]) -> float:
    """Bits of a stored activation in a named format, or in that of the machine's memory.

    With several widths, the mean over the four modules and over the precisions, one for all layers or one for each.
    """
    if named != OWN_FORMAT:
        return named.build().bits_per_value
    widths = [bits for precision in precisions for bits in precision]
    return sum(float(machine.stored(bits).format.bits_per_value) for bits in widths) / len(widths)


def activation_hook(
    machine: Architecture, precision: Precision, rounding: str, reconstruct: str, named: NamedFormat = OWN_FORMAT
) -> Any:
    """Hook that computes GeMMs as an architecture's elements state that they do, or rounds activations to a named format.

    None if the elements do not state their arithmetic: the loss is unknown.
    """

    from ...workloads import FormatActivations

    if named != OWN_FORMAT:
        return FormatActivations(named.build())
    arithmetic, lanes = machine.processing_element.arithmetic, machine.group_size
    if arithmetic is None:
        return None
    stored = _stored_formats(machine, precision, rounding, reconstruct)
    if arithmetic.format == STORED:
        return _format_hook(stored, lanes, arithmetic.partial)
    named = NamedFormat.parse(arithmetic.format)
    formats = [named.build(**{OPEN: bits}) for bits in machine.datapath_precision(precision)]
    if machine.longest.needs_compressor:
        formats = [ChainedFormat(*both) for both in zip(stored, formats, strict=True)]
    return _format_hook(formats, lanes, arithmetic.partial)


def _stored_formats(
    machine: Architecture, precision: Precision, rounding: str, reconstruct: str
) -> list[ActivationFormat]:
    """Formats of the stored inputs of qkv, o, u and d; those of FP16 where the memory holds what the array gives.

    Rounding and reconstruction are those of the format, unless a point asks for others.
    """
    if not machine.longest.needs_compressor:
        return [Fp16Format()] * len(MODULES)
    asked = {"rounding": rounding, "reconstruct": reconstruct}
    asked = {name: value for name, value in asked.items() if value != getattr(PointOptions, name)}
    formats = [machine.stored(bits).format for bits in precision]
    return [replace(fmt, **asked) if isinstance(fmt, AndaFormat) else fmt for fmt in formats]


def _format_hook(formats: Sequence[ActivationFormat], lanes: int, partial: GroupSum) -> Any:
    """Hook of the formats of qkv, o, u and d; sums of groups of `lanes` channels are rounded to `partial`."""
    from ...workloads import AndaActivations, FormatActivations, Fp16Activations, ModuleActivations, Precision
    from ...workloads.inference.hooks import AndaArithmetic, FormatArithmetic

    formats = [(isinstance(fmt, FignaFormat | IfpuFormat) and fmt.same_values) or fmt for fmt in formats]
    anda = [fmt for fmt in formats if isinstance(fmt, AndaFormat)]
    if len(anda) == len(formats):
        options: dict[str, Any] = {name: value for name, value in anda[0].parameters.items() if name != OPEN}
        widths = Precision(*(fmt.mantissa_bits for fmt in anda))
        return AndaActivations(widths, **options) if partial == "float" else AndaArithmetic(widths, partial, **options)
    if partial != "float":
        return FormatArithmetic(tuple(formats), lanes, partial)
    if all(isinstance(fmt, Fp16Format) for fmt in formats):
        return Fp16Activations()
    if len(set(formats)) == 1:
        return FormatActivations(formats[0])
    return ModuleActivations(Fp16Activations(), dict(zip(MODULES, map(FormatActivations, formats), strict=True)))


def weights_are_evaluated(weights: WeightConfig, hook: Any) -> bool:
    """True if the loss of a weight format's method can be measured here: without calibration, on any decoded weights.

    The arithmetic of elements that round sums of groups is defined for INT4 alone. Fields that a sweep replaced make another format.
    """
    from ...workloads.inference.hooks import ModuleArithmetic

    if weights.method is None or load_weights(weights.method) != weights or isinstance(hook, ModuleArithmetic):
        return False
    return NamedWeights.parse(weights.method).build().statistic == "none"


def evaluate_hook(evaluation: Evaluation, hook: Any, method: str | None = None) -> dict[str, Any]:
    """The columns `LOSS_COLUMNS` of activations; blocks that were evaluated before are taken from the cache.

    They are blank, NaN, for no hook.

    Parameters
    ----------
    evaluation
        Model and text.
    hook
        The activations.
    method
        Text of a registered method that quantises the model's linear layers; None for the weights as they are.

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
    own = scorer if method is None else _quantised(evaluation, NamedWeights.parse(method).registered, method)
    found = compare_scores(own.score(blocks, hook), scorer.score(blocks, Fp16Activations()))
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


@lru_cache(maxsize=2)
def _quantised(evaluation: Evaluation, _: Any, method: str) -> Scorer:
    """Scores of the model with quantised linear layers beside the model as it is; another class of the name is another method."""
    from ...workloads.evaluation.scores import Scorer
    from ...workloads.loading.requantize import quantize_linears, with_linears
    from ..inputs import evaluation_cache

    decoder, _ = _subject(evaluation)
    try:
        changed = with_linears(decoder, quantize_linears(decoder, NamedWeights.parse(method).build()))
    except InputError:
        raise
    except Exception as error:  # a user's method may do anything
        raise InputError(
            f"weights: {method} cannot quantise {evaluation.model} ({type(error).__name__}: {error})"
        ) from None
    return Scorer(changed, evaluation_cache(), decoder)


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
