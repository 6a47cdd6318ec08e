"""A floating-point accumulator whose adder is a pipeline, with several sums in flight."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...formats.checks import check_integer
from ..interfaces import Stream
from .fp import FP32
from .ieee754 import Fp32Addition
from .pipeline import Pipeline, PipelineStep, Values

MAX_ADDER_STAGES = 6
MAX_INTERLEAVE = 8

SUMMAND = data.StructLayout({"value": FP32, "last": 1})
"""A summand, and whether it closes its sum."""


def check_interleave(interleave: int, adder_stages: int) -> int:
    """Return `interleave`, checked: an adder of one stage has one sum in flight."""
    return check_integer("interleave", interleave, 1, MAX_INTERLEAVE if adder_stages > 1 else 1)


@dataclass(frozen=True, kw_only=True)
class RunningSumParameters(Fp32Addition):
    """The options of a `RunningSum`: those of its addition, and two more.

    Parameters
    ----------
    adder_stages : `int`
        Stages of the adder, 1 to 6.
    interleave : `int`
        Sums in flight, 1 to 8; with one adder stage 1. Summands belong to the sums in turn, and all sums have the same
        number of summands.

    Raises
    ------
    InputError
        A field is out of its range.
    """

    adder_stages: int = 4
    interleave: int = 1

    def __post_init__(self) -> None:
        check_integer("adder_stages", self.adder_stages, 1, MAX_ADDER_STAGES)
        check_interleave(self.interleave, self.adder_stages)
        super().__post_init__()


class RunningSum(wiring.Component):
    """FP32 sums in the order of their summands: an adder of `adder_stages` stages, which `interleave` sums share in turn.

    A sum waits `adder_stages` cycles until it can take its next summand, which is added to the adder's result. So the
    recurrence leaves a stage the time of an adder divided by `adder_stages`. With as many sums in flight as there are
    stages, the adder is busy in every cycle all the same. The first summand is added to +0.

    Timing: a summand in every cycle if ``interleave >= adder_stages``, otherwise `interleave` of them in `adder_stages`
    cycles. A sum is valid `adder_stages` cycles after its last summand is taken.

    Parameters
    ----------
    parameters : `RunningSumParameters`

    Members
    -------
    summands : `In(stream.Signature(SUMMAND))`
    sums : `Out(stream.Signature(FP32))`
    """

    summands: Stream
    sums: Stream

    def __init__(self, parameters: RunningSumParameters) -> None:
        self.parameters = parameters
        super().__init__({"summands": In(stream.Signature(SUMMAND)), "sums": Out(stream.Signature(FP32))})

    def elaborate(self, platform: object) -> Module:
        """Add each summand to the total of its sum, in a pipeline that ends in the totals."""
        m = Module()
        totals = Array(Signal(32, name=f"total_{output}") for output in range(self.parameters.interleave))
        fresh = Signal(self.parameters.interleave, init=2**self.parameters.interleave - 1)
        turn = Signal(range(self.parameters.interleave))
        shown = Signal(range(self.parameters.interleave))
        admitted: Any = stream.Signature(SUMMAND).create(path=("admitted",))
        pipeline = Pipeline(m, admitted, self.sums)
        summand = admitted.payload

        def read(_: Module, values: Values) -> Values:
            return {"left": Mux(fresh.bit_select(turn, 1), 0, totals[turn]), **values}

        taken = admitted.valid & admitted.ready
        with m.If(taken):
            m.d.sync += [
                turn.eq(Mux(turn == self.parameters.interleave - 1, 0, turn + 1)),
                fresh.bit_select(turn, 1).eq(summand.last),
            ]
        carried = {"last": summand.last, "index": turn}
        (total,), carried = pipeline.through(
            [PipelineStep(3, read), *self.parameters.steps],
            [{"right": Value.cast(summand.value)}],
            carried,
            self.parameters.adder_stages - 1,
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
        """High if the next sum is still in the adder, that is if the adder holds a summand of every sum."""
        if self.parameters.interleave >= self.parameters.adder_stages:
            return Signal(name="waits")
        inside = Signal(range(self.parameters.adder_stages + 1))
        m.d.sync += inside.eq(inside + taken - (pipeline.moves & pipeline.valid))
        return inside == self.parameters.interleave
