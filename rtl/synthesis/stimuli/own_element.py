"""Protocol of a user's own processing element, and its stimuli: a circuit that knows its payloads and its software twin.

The facts of an element have the names that they have under ``processing_element`` in an architecture file.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from amaranth.hdl import Value
from amaranth.lib import stream
from amaranth.lib.wiring import Flow

from ....formats import InputError
from ....formats.latency.elements import Latency
from .circuits import Stimulus
from .operands import Operands


class ElementCircuit(Protocol):
    """A `wiring.Component` with streams for ports, and these members.

    Attributes
    ----------
    name, source
        Name of the element in architecture files, and where it is from.
    lanes
        Channels of a group: 8, 16, 32, 64 or 128.
    weight_operand
        ``int`` or ``fp16``. An optional `weight_bits` is the width of an integer, 4 by default.
    mantissa_bits
        Significant bits of the activations, or ``variable``.
    latency
        Cycles of a group.
    arithmetic
        Number format that it computes with, such as ``{"format": "my-format bits=6"}``; None leaves a model's loss unknown.
    """

    name: str
    source: str
    lanes: int
    weight_operand: str
    mantissa_bits: int | str
    latency: Latency
    arithmetic: Mapping[str, str] | None

    def payloads(self, operands: Operands, mantissa_bits: int) -> Mapping[str, Sequence[int]]:
        """Payloads of each input stream that compute all dot products of the operands, in the order of the groups.

        Parameters
        ----------
        operands
            Captured activations float16 ``[groups, lanes]``, codes of weights int8 ``[groups, lanes]`` with their scales
            float16 ``[groups]``, and `weights` in FP16.
        mantissa_bits
            Mantissa bits of the run; those of the element if they are fixed.
        """
        ...

    def compute(self, operands: Operands, mantissa_bits: int) -> Mapping[str, Sequence[int]]:
        """The software twin: payloads of each output stream, bit for bit, computed without the circuit."""
        ...


MEMBERS = ("name", "source", "lanes", "weight_operand", "mantissa_bits", "latency", "arithmetic", "payloads", "compute")
"""Members that an element has to have."""


def element_facts(circuit: Any) -> dict[str, Any]:
    """Fields of a `processing_element` block, but for area and energies."""
    arithmetic = circuit.arithmetic
    facts = {
        "kind": circuit.name,
        "lanes": circuit.lanes,
        "cycles_per_group": circuit.latency.cycles_per_group,
        "weight_operand": circuit.weight_operand,
        "weight_bits": getattr(circuit, "weight_bits", None),
        "mantissa_bits": circuit.mantissa_bits,
        "arithmetic": dict(arithmetic) if isinstance(arithmetic, Mapping) else arithmetic,
    }
    return {name: value for name, value in facts.items() if value is not None}


def own_element(design: Any, operands: Operands, mantissa_bits: Sequence[int]) -> list[Stimulus]:
    """All groups in one run, or in one for each of `mantissa_bits` if those of the element vary.

    Raises
    ------
    InputError
        A stream has no payloads, or they do not fit it.
    """
    fixed = design.mantissa_bits != "variable"
    runs: list[Stimulus] = []
    for m in (design.mantissa_bits,) if fixed else mantissa_bits:
        sent = _checked(design, "payloads", design.payloads(operands, m), Flow.In)
        expected = _checked(design, "compute", design.compute(operands, m), Flow.Out)
        counts = {port: len(values) for port, values in expected.items()}
        name = "trace" if fixed else f"M={m}"
        runs.append(Stimulus(name, sent, counts, operands.activations.size, "MAC", expected, twin="its own compute"))
    return runs


def _checked(design: Any, method: str, found: Mapping[str, Sequence[int]], flow: Flow) -> dict[str, list[int]]:
    """Payloads as integers from 0 on, one list for each stream of a direction."""
    members = design.signature.members
    ports = [
        port for port in members if members[port].is_signature and isinstance(members[port].signature, stream.Signature)
    ]
    wanted = [port for port in ports if members[port].flow == flow]
    if sorted(found) != sorted(wanted):
        raise InputError(
            f"{design.name}.{method}: gives payloads of {', '.join(sorted(found)) or 'nothing'}; the streams are "
            f"{', '.join(sorted(wanted)) or 'none'}"
        )
    checked: dict[str, list[int]] = {}
    for port in wanted:
        values, bits = [int(value) for value in found[port]], len(Value.cast(getattr(design, port).payload))
        if not values or any(not -(1 << bits - 1) <= value < 1 << bits for value in values):
            raise InputError(f"{design.name}.{method}: {port} needs payloads of {bits} bits, at least one")
        checked[port] = [value & (1 << bits) - 1 for value in values]
    return checked
