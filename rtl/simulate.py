"""Runs a circuit whose ports are streams: feeds the inputs, collects the outputs, counts the cycles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

if TYPE_CHECKING:
    from .interfaces import Stream

CLOCK_SECONDS = 1 / 285e6
"""Clock period of the paper's accelerator, for the time axis of a waveform."""

STALL_LIMIT_CYCLES = 1000

Pause = Callable[[int], bool]
"""Says of a clock cycle whether a port pauses in it: an input offers nothing new, an output takes nothing."""


class StalledError(RuntimeError):
    """No stream moved for `STALL_LIMIT_CYCLES` cycles, although something was left to send or receive."""


@dataclass
class Transfers:
    """What moved through one stream.

    Attributes
    ----------
    payloads : `list[int]`
        The payloads, packed as the payload's layout packs them.
    cycles : `list[int]`
        The clock cycle of each, counted from 0.
    """

    payloads: list[int] = field(default_factory=list[int])
    cycles: list[int] = field(default_factory=list[int])


@dataclass(frozen=True)
class StreamRun:
    """What a simulation saw.

    Attributes
    ----------
    transfers : `dict` of port to `Transfers`
        For the inputs as well as for the outputs.
    flags : `dict` of port to `int`
        The ports that were asked for, as they stood after the last transfer.
    """

    transfers: dict[str, Transfers]
    flags: dict[str, int]


def never(cycle: int) -> bool:
    """Pause of a port that is always ready or has always something to send."""
    return False


def run_streams(
    design: wiring.Component,
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, int],
    *,
    flags: Sequence[str] = (),
    pauses: Mapping[str, Pause] | None = None,
    vcd: Path | None = None,
) -> StreamRun:
    """Simulate `design` in Amaranth's simulator until every input is sent and every output received.

    Parameters
    ----------
    design : `wiring.Component`
        The circuit. Its streams that are named in neither mapping stay idle.
    inputs : mapping of port to packed payloads
        What to send, in order.
    outputs : mapping of port to count
        How many payloads to receive.
    flags : sequence of ports
        Plain outputs to read at the end.
    pauses : mapping of port to `Pause`
        Back-pressure and bubbles; a port that is not named never pauses.
    vcd : path
        Where to write the waveform, if anywhere.

    Raises
    ------
    StalledError
        If the circuit stops short.
    """
    pauses = pauses or {}
    sources = [
        _Source(getattr(design, name), list(payloads), pauses.get(name, never)) for name, payloads in inputs.items()
    ]
    sinks = [_Sink(getattr(design, name), count, pauses.get(name, never)) for name, count in outputs.items()]
    ports: list[_Source | _Sink] = [*sources, *sinks]
    read: dict[str, int] = {}

    async def testbench(context: Any) -> None:
        sampled = [signal for port in ports for signal in (port.fires, port.payload)]
        cycle = last_move = 0
        while not all(port.finished for port in ports):
            for port in ports:
                port.drive(context, cycle)
            _, _, *values = await context.tick().sample(*sampled)
            for port, fires, payload in zip(ports, values[0::2], values[1::2], strict=True):
                if fires:
                    port.moved(payload, cycle)
                    last_move = cycle
            if cycle - last_move > STALL_LIMIT_CYCLES:
                raise StalledError(f"nothing moved since cycle {last_move}")
            cycle += 1
        await context.tick()
        read.update({name: context.get(getattr(design, name)) for name in flags})

    simulator = Simulator(design)
    simulator.add_clock(CLOCK_SECONDS)
    simulator.add_testbench(testbench)
    with simulator.write_vcd(str(vcd)) if vcd else nullcontext():
        simulator.run()
    transfers = {name: port.transfers for name, port in zip([*inputs, *outputs], ports, strict=True)}
    return StreamRun(transfers, read)


class _Port:
    """One end of a stream under test, with what has moved through it."""

    def __init__(self, port: Stream, pause: Pause) -> None:
        self.port = port
        self.pause = pause
        self.fires = port.valid & port.ready
        # the bits of the payload, unsigned whatever its layout
        self.payload = Value.cast(port.payload).as_unsigned()
        self.transfers = Transfers()

    def moved(self, payload: int, cycle: int) -> None:
        """Note a transfer."""
        self.transfers.payloads.append(payload)
        self.transfers.cycles.append(cycle)


class _Source(_Port):
    def __init__(self, port: Stream, payloads: list[int], pause: Pause) -> None:
        super().__init__(port, pause)
        self.payloads = payloads
        self.offering = False

    @property
    def finished(self) -> bool:
        return len(self.transfers.payloads) == len(self.payloads)

    def drive(self, context: Any, cycle: int) -> None:
        """Offer the next payload unless paused; once offered it stays until it has moved."""
        if not self.offering and not self.finished and not self.pause(cycle):
            context.set(Value.cast(self.port.payload), self.payloads[len(self.transfers.payloads)])
            self.offering = True
        context.set(self.port.valid, self.offering)

    def moved(self, payload: int, cycle: int) -> None:
        super().moved(payload, cycle)
        self.offering = False


class _Sink(_Port):
    def __init__(self, port: Stream, count: int, pause: Pause) -> None:
        super().__init__(port, pause)
        self.count = count

    @property
    def finished(self) -> bool:
        return len(self.transfers.payloads) >= self.count

    def drive(self, context: Any, cycle: int) -> None:
        """Be ready unless paused or satisfied."""
        context.set(self.port.ready, not self.finished and not self.pause(cycle))
