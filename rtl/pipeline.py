"""Registers between the stages of a streaming datapath."""

from typing import Any

from amaranth.hdl import Module, Signal, Value

from .interfaces import Stream


class Pipeline:
    """The stages between a source stream and a sink stream, which move together and wait together.

    While the sink holds a result that nobody takes, no stage moves and the source is not ready; otherwise the source
    is ready in every cycle. A register loads only what is valid, so an idle datapath does not toggle.

    Attributes
    ----------
    moves
        The stages move in this cycle.
    valid
        What stands at the stage that is being described is valid.
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

    def first(self, last: Value) -> Signal:
        """Whether this stage holds the first step of a sequence that ends with `last`."""
        first = Signal(init=1, name="first")
        with self._m.If(self.moves & self.valid):
            self._m.d.sync += first.eq(last)
        return first

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
