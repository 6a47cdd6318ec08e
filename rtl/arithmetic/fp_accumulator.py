"""A floating-point accumulator whose adder is a pipeline, with several sums in flight."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.processing_elements.floating import Rounding
from ..interfaces import Stream, check_range
from .fp import FP32
from .ieee754 import Fp32Addition, check_rounding
from .pipeline import Pipeline, Step, Values

MAX_DEPTH = 6
MAX_OUTPUTS = 8

SUMMAND = data.StructLayout({"value": FP32, "last": 1})
"""A summand, and whether it closes its sum."""


def check_outputs(outputs: int, depth: int) -> int:
    """Return `outputs`, checked: an adder of one stage has one sum in flight."""
    return check_range("outputs", outputs, 1, MAX_OUTPUTS if depth > 1 else 1)


class RunningSum(wiring.Component):
    """Sums singles in their order: an `IeeeAdder` of `depth` stages, which `outputs` sums share in turn.

    A sum waits `depth` cycles until it can take its next summand, since that is added to what the adder gives. The
    recurrence thus leaves a stage the time of an adder over `depth`; with as many sums in flight as there are stages
    the adder is busy in every cycle all the same. The first summand is added to +0.

    Timing: a summand in every cycle if ``outputs >= depth``, otherwise `outputs` of them in `depth` cycles
    (`formats.latency.running_sum_cycles`); a sum is valid `depth` cycles after its last summand is taken.

    Parameters
    ----------
    depth : `int`
        1 to 6.
    outputs : `int`
        1 to 8, of one stage 1. Summands belong to the sums in turn, and all sums have the same number of summands.
    rounding, subnormals, specials
        As of `IeeeAdder`.

    Members
    -------
    summands : `In(stream.Signature(SUMMAND))`
    sums : `Out(stream.Signature(FP32))`
    """

    summands: Stream
    sums: Stream

    def __init__(
        self,
        *,
        depth: int = 4,
        outputs: int = 1,
        rounding: Rounding = "nearest",
        subnormals: bool = True,
        specials: bool = True,
    ) -> None:
        self.depth = check_range("depth", depth, 1, MAX_DEPTH)
        self.outputs = check_outputs(outputs, depth)
        self.addition = Fp32Addition(check_rounding(rounding), bool(subnormals), bool(specials))
        super().__init__({"summands": In(stream.Signature(SUMMAND)), "sums": Out(stream.Signature(FP32))})

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        totals = Array(Signal(32, name=f"total_{output}") for output in range(self.outputs))
        fresh = Signal(self.outputs, init=2**self.outputs - 1)
        turn, shown = Signal(range(self.outputs)), Signal(range(self.outputs))
        gated: Any = stream.Signature(SUMMAND).create(path=("gated",))
        pipeline = Pipeline(m, gated, self.sums)
        summand = gated.payload

        def read(_: Module, values: Values) -> Values:
            return {"left": Mux(fresh.bit_select(turn, 1), 0, totals[turn]), **values}

        taken = gated.valid & gated.ready
        with m.If(taken):
            m.d.sync += [
                turn.eq(Mux(turn == self.outputs - 1, 0, turn + 1)),
                fresh.bit_select(turn, 1).eq(summand.last),
            ]
        carried = {"last": summand.last, "index": turn}
        (total,), carried = pipeline.through(
            [Step(3, read), *self.addition.steps], [{"right": Value.cast(summand.value)}], carried, self.depth - 1
        )
        waits = self._waits(m, pipeline, taken)
        m.d.comb += [
            gated.payload.eq(self.summands.payload),
            gated.valid.eq(self.summands.valid & ~waits),
            self.summands.ready.eq(gated.ready & ~waits),
            self.sums.payload.eq(totals[shown]),
        ]
        written = Cat(Value.cast(totals[carried["index"]]), shown)
        pipeline.accumulate(written, Cat(total["sum"], carried["index"]), carried["last"])
        pipeline.finish()
        return m

    def _waits(self, m: Module, pipeline: Pipeline, taken: Value) -> Value:
        """Whether the sum whose turn it is, is still in the adder: as many summands are as there are sums."""
        if self.outputs >= self.depth:
            return Signal(name="waits")
        inside = Signal(range(self.depth + 1))
        m.d.sync += inside.eq(inside + taken - (pipeline.moves & pipeline.valid))
        return inside == self.outputs
