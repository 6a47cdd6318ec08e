"""Registers between the stages of a streaming datapath."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, TypeAlias

from amaranth.hdl import Cat, Module, Signal, Value

from ..interfaces import Stream

Values: TypeAlias = Mapping[str, Value]
"""Signals between two steps of a datapath, by name."""


def others(values: Values, *names: str) -> dict[str, Value]:
    """Sideband signals: all `values` except those named."""
    return {name: value for name, value in values.items() if name not in names}


@dataclass(frozen=True)
class PipelineStep:
    """A combinational part of a datapath, before or after which registers may stand.

    Attributes
    ----------
    depth : `int`
        Delay in units of about 200 ps, as mapped for OSU 0.18 um and sky130.
    apply : `Callable`
        The step's outputs from its inputs.
    """

    depth: int
    apply: Callable[[Module, Values], Values]


def balanced_cuts(depths: Sequence[int], registers: int) -> tuple[int, ...]:
    """Before which steps to put `registers` registers: the longest stage is as short as possible, then the next one."""

    def lengths(cuts: tuple[int, ...]) -> list[int]:
        return sorted((sum(depths[start:end]) for start, end in pairwise((0, *cuts, len(depths)))), reverse=True)

    return min(combinations(range(1, len(depths)), registers), key=lengths)


class Pipeline:
    """The stages between a source stream and a sink stream, which move together and wait together.

    While the sink does not take a valid result, no stage moves and the source is not ready. Otherwise the source is
    ready in every cycle. A register loads only what is valid, so an idle datapath does not toggle.

    Attributes
    ----------
    moves
        The stages move in this cycle.
    valid
        The values of the current stage are valid.
    """

    def __init__(self, m: Module, source: Stream, sink: Stream) -> None:
        self._m = m
        self._sink = sink
        self._count = 0
        self.moves = Signal(name="moves")
        m.d.comb += [self.moves.eq(~sink.valid | sink.ready), source.ready.eq(self.moves)]
        self.valid: Value = source.valid

    def cut(self, **values: Any) -> list[Any]:
        """End the stage: a register behind each value, in order. A view of a layout stays one."""
        self._count += 1
        held = [Signal.like(value, name=f"{name}_{self._count}") for name, value in values.items()]
        with self._m.If(self.moves & self.valid):
            self._m.d.sync += [register.eq(value) for register, value in zip(held, values.values(), strict=True)]
        self._advance(self.valid)
        return held

    def through(
        self, steps: Sequence[PipelineStep], lanes: Sequence[Values], carried: Values, registers: int
    ) -> tuple[list[Values], Values]:
        """Each of `lanes` through the same steps, with `registers` ends of stages spread over them.

        `carried` are sideband signals.
        """
        cuts = balanced_cuts([step.depth for step in steps], registers)
        values = list(lanes)
        for index, step in enumerate(steps):
            if index in cuts:
                values, carried = self.hold(values, carried)
            values = [step.apply(self._m, lane) for lane in values]
        return values, carried

    def in_stages(
        self, steps: Sequence[PipelineStep], lanes: Sequence[Values], carried: Values, stages: int
    ) -> tuple[list[Values], Values]:
        """As `through`, with `stages` registers of which the last ends the steps; with no more than there are steps."""
        return self.hold(*self.through(steps, lanes, carried, min(stages, len(steps)) - 1))

    def hold(self, lanes: Sequence[Values], carried: Values) -> tuple[list[Values], Values]:
        """End the stage: registers behind the values of all `lanes` and their sideband signals."""
        flat = {f"{name}_{index}": value for index, lane in enumerate(lanes) for name, value in lane.items()}
        held = iter(self.cut(**flat, **carried))
        return [{name: next(held) for name in lane} for lane in lanes], {name: next(held) for name in carried}

    def first(self, last: Value, interleave: int = 1) -> Value:
        """High if this stage holds the first step of a sequence that ends with `last`; `interleave` sequences in turn."""
        first = Signal(interleave, init=2**interleave - 1, name="first")
        with self._m.If(self.moves & self.valid):
            self._m.d.sync += first.eq(Cat(first[1:], last))
        return first[0]

    def accumulate(self, register: Value, value: Any, last: Value) -> None:
        """End the stage with an accumulator: it takes `value` at every step, and is valid after the `last` one."""
        self._count += 1
        with self._m.If(self.moves & self.valid):
            self._m.d.sync += register.eq(value)
        self._advance(self.valid & last)

    def finish(self) -> None:
        """The sink is valid when the last register is."""
        self._m.d.comb += self._sink.valid.eq(self.valid)

    def _advance(self, valid: Value) -> None:
        held = Signal(name=f"valid_{self._count}")
        with self._m.If(self.moves):
            self._m.d.sync += held.eq(valid)
        self.valid = held
