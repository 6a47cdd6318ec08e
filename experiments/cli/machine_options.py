"""The options that `anda simulate` and `anda explain` share, and the simulations that they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ...sim import ModelResult, SimulationResult, Timeline
    from ...workloads import Precision

ModelOption = Annotated[str | None, typer.Option("--model", help="A model of `anda models`, or a checkpoint folder.")]
ArchOption = Annotated[
    str, typer.Option("--arch", metavar="NAME,…", help="Architectures of `anda archs`, or YAML files.")
]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", metavar="QKV,O,U,D", help="Mantissa bits of the four modules.")
]
MOption = Annotated[int | None, typer.Option("--m", help="The same mantissa bits in all modules.")]
GemmOption = Annotated[
    str | None, typer.Option("--gemm", metavar="TxKxN", help="A single GeMM instead of a model, 2048x4096x4096.")
]
WholeOption = Annotated[bool, typer.Option("--whole", help="Attention and vector unit too, not the GeMMs alone.")]
TokensOption = Annotated[int, typer.Option("--tokens", help="Tokens to process.")]
ContextOption = Annotated[int, typer.Option("--context", help="Tokens that are cached already.")]
BatchOption = Annotated[int, typer.Option("--batch", help="Sequences that run together.")]
PhaseOption = Annotated[str, typer.Option("--phase", help="prefill (one pass) or decode (a step a token).")]
LevelOption = Annotated[
    str,
    typer.Option(
        "--level",
        help="closed (formulas, perfect overlap), events (processes that wait for each other, any machine) or instructions "
        "(the program of Anda's circuit, in its cycles).",
    ),
]
TechnologyOption = Annotated[str, typer.Option("--technology", help="Constants: a name or a YAML file.")]
ObjectiveOption = Annotated[str, typer.Option("--objective", help="What tiling minimises: energy, latency or edp.")]
TilingOption = Annotated[str, typer.Option("--tiling", help="search, model, or a tiling such as activations:32.")]
MemoryOption = Annotated[
    str, typer.Option("--memory", help="flat, or at level events hbm2 or a YAML file: rows, refresh, turnaround.")
]
WeightsOption = Annotated[
    str | None, typer.Option("--weights", help="Weight format: int4, spqr-3, squeezellm-3, … or a YAML file.")
]
KvCacheOption = Annotated[str, typer.Option("--kv-cache", help="With --whole: fp16, or anda:M.")]
VectorUnitOption = Annotated[str, typer.Option("--vector-unit", help="With --whole: fp16, or integer (I-LLM).")]
MidpointOption = Annotated[bool, typer.Option("--midpoint", help="Mantissas stand for the middle of their interval.")]
GroupCyclesOption = Annotated[
    str | None,
    typer.Option(
        "--group-cycles", metavar="QKV,O,U,D", help="Mean cycles of a group where all-zero planes are skipped."
    ),
]

FIXED_TO_A_MODEL = {"whole": False, "tokens": 2048, "context": 0, "batch": 1, "phase": "prefill"}
"""Options of a model and what they are if nobody gives them."""


@dataclass(frozen=True)
class Request:
    """What the options ask for."""

    model: str | None
    gemm: str | None
    archs: tuple[str, ...]
    precision: Precision | None
    of_model: dict[str, Any]
    """tokens, context, batch, phase, whole, kv_cache, vector_unit."""
    machine: dict[str, Any]
    """level, technology, objective, tiling, memory, weights, midpoint, group_cycles."""

    @classmethod
    def of(
        cls, model: str | None, gemm: str | None, arch: str, precision: str | None, m: int | None, **options: Any
    ) -> Request:
        """Sort and check the options.

        Raises:
            InputError: neither or both of model and GeMM, two precisions, or no architecture.
        """
        from ...formats import InputError

        if (model is None) == (gemm is None):
            raise InputError("model: give either --model NAME or --gemm TxKxN")
        archs = tuple(name.strip() for name in arch.split(",") if name.strip())
        if not archs:
            raise InputError("arch: there is none; give one of `anda archs`, or several with commas")
        names = ("level", "technology", "objective", "tiling", "memory", "weights", "midpoint")
        machine = {name: options.pop(name) for name in names}
        machine["group_cycles"] = _group_cycles(options.pop("group_cycles"))
        request = cls(model, gemm, archs, _precision(precision, m), options, machine)
        if gemm is not None:
            request._refuse_model_options()
            if precision is not None:
                raise InputError("precision: a single GeMM has one width; give --m")
        return request

    def _refuse_model_options(self) -> None:
        from ...formats import InputError

        defaults = {**FIXED_TO_A_MODEL, "kv_cache": "fp16", "vector_unit": "fp16"}
        for name, value in self.of_model.items():
            if value != defaults[name]:
                option = name.replace("_", "-")
                raise InputError(f"{option}: does not apply to a single GeMM; leave it out or give --model")

    def run(self, arch: str, timeline: Timeline | None = None) -> SimulationResult | ModelResult:
        """The simulation on one of the architectures."""
        from ..simulation import run_gemm, run_model

        if self.gemm is not None:
            return run_gemm(self.gemm, arch, self.precision, timeline=timeline, **self.machine)
        return run_model(self.model or "", arch, self.precision, timeline=timeline, **self.of_model, **self.machine)

    def record(self, result: SimulationResult | ModelResult) -> dict[str, Any]:
        """A result as the record that `--json` prints."""
        from ...workloads import Gemm, load_shape
        from ..simulation import record

        inputs: dict[str, Any]
        if self.gemm is not None:
            tokens = Gemm.parse(self.gemm).tokens
            inputs = {"model": None, "gemm": self.gemm, "tokens": tokens}
        else:
            names = ("phase", "tokens", "context", "batch")
            inputs = {"model": load_shape(self.model or "").name, **{name: self.of_model[name] for name in names}}
        return record(result, **inputs, memory=self.machine["memory"])


def _group_cycles(text: str | None) -> dict[str, float] | None:
    from ...formats import InputError
    from ...workloads import MODULES

    if text is None:
        return None
    try:
        return dict(zip(MODULES, map(float, text.split(",")), strict=True))
    except ValueError:
        raise InputError(
            f"group_cycles: {text!r} is not four numbers; give the mean cycles of qkv, o, u and d, such as 7.2,5.9,6.4,6.1"
        ) from None


def _precision(text: str | None, mantissa_bits: int | None) -> Precision | None:
    from ...formats import InputError
    from ...workloads import Precision

    if text is not None and mantissa_bits is not None:
        raise InputError("precision: given twice; use either --precision or --m")
    if mantissa_bits is not None:
        return Precision.uniform(mantissa_bits)
    return None if text is None else Precision.parse(text)
