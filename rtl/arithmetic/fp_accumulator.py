"""A floating-point accumulator whose adder is a pipeline, with several sums in flight."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ...formats.options import Rounding
from ..interfaces import Stream
from .fp import FP32
from .ieee754 import Fp32Addition, check_rounding
from .pipeline import Pipeline, Step, Values

MAX_ADDER_STAGES = 6
MAX_INTERLEAVE = 8

SUMMAND = data.StructLayout({"value": FP32, "last": 1})
"""A summand, and whether it closes its sum."""


def check_interleave(interleave: int, adder_stages: int) -> int:
    """Return `interleave`, checked: an adder of one stage has one sum in flight."""
    return check_integer("interleave", interleave, 1, MAX_INTERLEAVE if adder_stages > 1 else 1)


class RunningSum(wiring.Component):
    """Sums singles in their order: an `IeeeAdder` of `adder_stages` stages, which `interleave` sums share in turn.

    A sum waits `adder_stages` cycles until it can take its next summand, since that is added to what the adder gives. The
    recurrence thus leaves a stage the time of an adder over `adder_stages`; with as many sums in flight as there are stages
    the adder is busy in every cycle all the same. The first summand is added to +0.

    Timing: a summand in every cycle if ``interleave >= adder_stages``, otherwise `interleave` of them in `adder_stages` cycles
    (`formats.latency.running_sum_cycles`); a sum is valid `adder_stages` cycles after its last summand is taken.

    Parameters
    ----------
    adder_stages : `int`
        1 to 6.
    interleave : `int`
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
        adder_stages: int = 4,
        interleave: int = 1,
        rounding: Rounding = "nearest",
        subnormals: bool = True,
        specials: bool = True,
    ) -> None:
        self.adder_stages = check_integer("adder_stages", adder_stages, 1, MAX_ADDER_STAGES)
        self.interleave = check_interleave(interleave, adder_stages)
        self.addition = Fp32Addition(check_rounding(rounding), bool(subnormals), bool(specials))
        super().__init__({"summands": In(stream.Signature(SUMMAND)), "sums": Out(stream.Signature(FP32))})

    def elaborate(self, platform: object) -> Module:
        """Build the circuit."""
        m = Module()
        totals = Array(Signal(32, name=f"total_{output}") for output in range(self.interleave))
        fresh = Signal(self.interleave, init=2**self.interleave - 1)
        turn, shown = Signal(range(self.interleave)), Signal(range(self.interleave))
        admitted: Any = stream.Signature(SUMMAND).create(path=("admitted",))
        pipeline = Pipeline(m, admitted, self.sums)
        summand = admitted.payload

        def read(_: Module, values: Values) -> Values:
            return {"left": Mux(fresh.bit_select(turn, 1), 0, totals[turn]), **values}

        taken = admitted.valid & admitted.ready
        with m.If(taken):
            m.d.sync += [
                turn.eq(Mux(turn == self.interleave - 1, 0, turn + 1)),
                fresh.bit_select(turn, 1).eq(summand.last),
            ]
        carried = {"last": summand.last, "index": turn}
        (total,), carried = pipeline.through(
            [Step(3, read), *self.addition.steps],
            [{"right": Value.cast(summand.value)}],
            carried,
            self.adder_stages - 1,
        )
        waits = self._waits(m, pipeline, taken)
        m.d.comb += [
            admitted.payload.eq(self.summands.payload),
            admitted.valid.eq(self.summands.valid & ~waits),
            self.summands.ready.eq(admitted.ready & ~waits),
            self.sums.payload.eq(totals[shown]),
        ]
        written = Cat(Value.cast(totals[carried["index"]]), shown)
        pipeline.accumulate(written, Cat(total["sum"], carried["index"]), carried["last"])
        pipeline.finish()
        return m

    def _waits(self, m: Module, pipeline: Pipeline, taken: Value) -> Value:
        """Whether the sum whose turn it is, is still in the adder: as many summands are as there are sums."""
        if self.interleave >= self.adder_stages:
            return Signal(name="waits")
        inside = Signal(range(self.adder_stages + 1))
        m.d.sync += inside.eq(inside + taken - (pipeline.moves & pipeline.valid))
        return inside == self.interleave
