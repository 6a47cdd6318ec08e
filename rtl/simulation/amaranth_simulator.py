"""Amaranth's own simulator: needs no compiler, writes waveforms, runs about a thousand cycles a second."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from ..interfaces import Stream
from .packing import to_integers, to_words
from .streams import STALL_LIMIT_CYCLES, Pauses, Payloads, StalledError, StreamRun, Transfers

CLOCK_SECONDS = 1 / 285e6
"""Clock period of the paper's accelerator: scales the time axis of a waveform."""

_NEVER = (False,)


class AmaranthCircuit:
    """Elaborated circuit in Amaranth's simulator. It is elaborated once, and starts from reset at each run."""

    def __init__(self, design: wiring.Component) -> None:
        self._design = design
        self._testbench: Callable[[Any], Awaitable[None]] | None = None
        self._simulator = Simulator(design)
        self._simulator.add_clock(CLOCK_SECONDS)
        self._simulator.add_testbench(self._run)

    async def _run(self, context: Any) -> None:
        if self._testbench is not None:
            await self._testbench(context)

    def run_streams(
        self,
        inputs: Payloads,
        outputs: Mapping[str, int],
        flags: Sequence[str],
        pauses: Pauses,
        patience_cycles: int = STALL_LIMIT_CYCLES,
        vcd: Path | None = None,
    ) -> StreamRun:
        """Run the circuit with streams; see `simulate.run_streams`."""
        design = self._design
        sources = [
            _Source(getattr(design, name), to_integers(payloads), pauses.get(name, _NEVER))
            for name, payloads in inputs.items()
        ]
        sinks = [_Sink(getattr(design, name), count, pauses.get(name, _NEVER)) for name, count in outputs.items()]
        ports: list[_Source | _Sink] = [*sources, *sinks]
        read: dict[str, int] = {}

        async def testbench(context: Any) -> None:
            sampled = [signal for port in ports for signal in (port.fires, port.payload)]
            cycle = last_move = 0
            draining = False
            while not draining:
                draining = all(port.finished for port in ports)
                for port in ports:
                    port.drive(context, cycle)
                _, _, *values = await context.tick().sample(*sampled)
                for port, fires, payload in zip(ports, values[0::2], values[1::2], strict=True):
                    if fires:
                        port.moved(payload, cycle)
                        last_move = cycle
                if cycle - last_move > patience_cycles:
                    raise StalledError(f"nothing moved since cycle {last_move}")
                cycle += 1
            read.update({name: context.get(getattr(design, name)) for name in flags})

        if self._testbench is not None:
            self._simulator.reset()
        self._testbench = testbench
        with self._simulator.write_vcd(str(vcd)) if vcd else nullcontext():
            self._simulator.run()
        transfers = {name: port.transfers() for name, port in zip([*inputs, *outputs], ports, strict=True)}
        return StreamRun(transfers, read)


def run_vectors(
    design: wiring.Component, inputs: Mapping[str, Sequence[int]], outputs: Sequence[str]
) -> dict[str, list[int]]:
    """Evaluate a combinational circuit in Amaranth's simulator; see `simulate.run_vectors`."""
    results: dict[str, list[int]] = {name: [] for name in outputs}
    ports = [Value.cast(getattr(design, name)) for name in inputs]
    sampled = [Value.cast(getattr(design, name)).as_unsigned() for name in outputs]

    async def testbench(context: Any) -> None:
        for row in zip(*inputs.values(), strict=True):
            for port, value in zip(ports, row, strict=True):
                context.set(port, value)
            for name, port in zip(outputs, sampled, strict=True):
                results[name].append(context.get(port))

    simulator = Simulator(design)
    simulator.add_testbench(testbench)
    simulator.run()
    return results


class _Port:
    """Driver of one stream of the circuit, and record of its transfers."""

    def __init__(self, port: Stream, pause: Sequence[bool]) -> None:
        self.port = port
        self.pause = pause
        self.fires = port.valid & port.ready
        # the bits of the payload, unsigned whatever its layout
        self.payload = Value.cast(port.payload).as_unsigned()
        self.moved_payloads: list[int] = []
        self.cycles: list[int] = []

    def paused(self, cycle: int) -> bool:
        return self.pause[cycle % len(self.pause)]

    def moved(self, payload: int, cycle: int) -> None:
        """Record the transfer of a payload in a cycle."""
        self.moved_payloads.append(payload)
        self.cycles.append(cycle)

    def transfers(self) -> Transfers:
        """All recorded transfers."""
        return Transfers(to_words(self.moved_payloads, len(self.payload)), np.array(self.cycles, np.int64))


class _Source(_Port):
    """Driver of an input stream of the circuit."""

    def __init__(self, port: Stream, payloads: Sequence[int], pause: Sequence[bool]) -> None:
        super().__init__(port, pause)
        self.payloads = payloads
        self.offering = False

    @property
    def finished(self) -> bool:
        return len(self.moved_payloads) == len(self.payloads)

    def drive(self, context: Any, cycle: int) -> None:
        """Offer the next payload, unless paused. An offered payload stays until it is transferred."""
        if not self.offering and not self.finished and not self.paused(cycle):
            context.set(Value.cast(self.port.payload), self.payloads[len(self.moved_payloads)])
            self.offering = True
        context.set(self.port.valid, self.offering)

    def moved(self, payload: int, cycle: int) -> None:
        super().moved(payload, cycle)
        self.offering = False


class _Sink(_Port):
    """Driver of an output stream of the circuit."""

    def __init__(self, port: Stream, count: int, pause: Sequence[bool]) -> None:
        super().__init__(port, pause)
        self.count = count

    @property
    def finished(self) -> bool:
        return len(self.moved_payloads) == self.count

    def drive(self, context: Any, cycle: int) -> None:
        """Set `ready`, unless paused or all payloads have been received."""
        context.set(self.port.ready, not self.finished and not self.paused(cycle))
