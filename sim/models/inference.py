"""A whole inference: prefill of a prompt, then a decode step for each further token, each at its own context."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ...formats.checks import check_integer
from ...workloads import ModelShape
from ..config.architecture import Architecture
from ..cost.energy import Energy
from ..run import add_runs
from ..settings import Level, ModelSettings
from ..setup import Setup
from .ends import head_weights, with_side_unit
from .rows import ModelRow, add_rows
from .whole_model import LayerPrecision, ModelResult, check_steps, run_model


@dataclass(frozen=True)
class InferenceResult:
    """An inference of a batch of sequences on a machine.

    The prefill gives the first token of each sequence; every further token takes a step. The parts run one after the other.
    """

    prompt: int
    """Tokens of each prompt."""
    generate: int
    """Tokens that each sequence generates."""
    batch: int
    setup: Setup
    prefill: ModelResult
    decode: ModelResult | None
    """All steps; None if the prefill gives the only token."""
    last_step: ModelResult | None
    """The last of the steps alone."""

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.prefill.model

    @property
    def machine(self) -> Architecture:
        """The accelerator."""
        return self.prefill.machine

    @property
    def architecture(self) -> str:
        """Name of the machine."""
        return self.prefill.architecture

    @property
    def level(self) -> Level:
        """Level of time."""
        return self.prefill.level

    @property
    def phases(self) -> Iterator[tuple[str, ModelResult]]:
        """Prefill and decode with their results."""
        yield "prefill", self.prefill
        if self.decode is not None:
            yield "decode", self.decode

    @cached_property
    def total(self) -> ModelResult:
        """Prefill and decode as one result."""
        if self.decode is None:
            return self.prefill
        both = (self.prefill, self.decode)
        gemms = add_runs([part.gemms for part in both], self.prefill.gemms.precision, self.setup)
        return replace(self.prefill, rows=add_rows(row for part in both for row in part.rows), gemms=gemms)

    @property
    def rows(self) -> tuple[ModelRow, ...]:
        """Parts of the model over both phases."""
        return self.total.rows

    @property
    def cycles(self) -> int:
        """Cycles of both phases."""
        return self.total.cycles

    @property
    def seconds(self) -> float:
        """Time from the prompt to the last token."""
        return self.total.seconds

    @property
    def energy_pj(self) -> Energy:
        """Energy of both phases."""
        return self.total.energy_pj

    @property
    def ttft_seconds(self) -> float:
        """Time to first token: the prefill."""
        return self.prefill.seconds

    @property
    def tpot_seconds(self) -> dict[str, float | None]:
        """Time per output token after the first: mean over the steps, and the last step; None without steps."""
        if self.decode is None or self.last_step is None:
            return {"mean": None, "last": None}
        return {"mean": self.decode.seconds / (self.generate - 1), "last": self.last_step.seconds}

    @property
    def tokens(self) -> int:
        """Generated tokens of all sequences."""
        return self.batch * self.generate

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, for JSON."""
        energy = self.energy_pj
        return {
            "ttft_seconds": self.ttft_seconds,
            "tpot_seconds": self.tpot_seconds,
            "tokens_per_second": self.tokens / self.seconds,
            "total_seconds": self.seconds,
            "energy_per_token_pj": energy.total / self.tokens,
            "total_energy_pj": energy.total,
        }


def run_inference(
    shape: ModelShape, setup: Setup, precision: LayerPrecision, settings: ModelSettings, prompt: int, generate: int
) -> InferenceResult:
    """Time a whole inference.

    Parameters
    ----------
    shape
        The model.
    setup
        The machine.
    precision
        Mantissa bits of the modules, or those of each layer; used where the architecture's are variable.
    settings
        Batch, cache, vector unit and head; phase, tokens and context are ignored.
    prompt
        Tokens of each prompt.
    generate
        Tokens that each sequence generates.

    Raises
    ------
    InputError
        There is no prompt or nothing to generate, or as `run_model`.
    """
    check_integer("prompt", prompt, 1)
    check_integer("generate", generate, 1)
    check_steps("generate", generate)
    setup = with_side_unit(setup, head_weights(settings.head))

    def run(phase: str, tokens: int, context: int) -> ModelResult:
        asked = replace(settings, phase=phase, tokens=tokens, context=context)
        return run_model(shape, setup, precision, asked)

    prefill = run("prefill", prompt, 0)
    decode = last = None
    if steps := generate - 1:
        decode = run("decode", steps, prompt)
        setup = replace(setup, timeline=None)  # the last step is recorded already
        last = run("decode", 1, prompt + steps - 1)
    return InferenceResult(prompt, generate, settings.batch, setup, prefill, decode, last)
