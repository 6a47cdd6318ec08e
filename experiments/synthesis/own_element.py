# amaranth: UnusedElaboratable=no
"""Synthesis of a user's own processing element, and the block of an architecture file that follows from it."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from ...formats import InputError
from ...formats.checks import check_parameters

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ...rtl.synthesis import CellLibrary, Operands

Made = TypeVar("Made")


def is_own(design: str) -> bool:
    """True for ``module:Class``, a circuit of the user's own."""
    return ":" in design


def create_element(design: str, parameters: Mapping[str, Any]) -> Any:
    """Build the element ``module:Class``: of a file in the current folder, or of a module that can be imported.

    Raises
    ------
    InputError
        There is no such module or class, it fails, or it does not have the members of an element.
    """
    from amaranth.lib import wiring

    from ...rtl.synthesis.stimuli.own_element import MEMBERS

    module, _, name = design.partition(":")
    with _current_folder():
        if not all(part.isidentifier() for part in (*module.split("."), name)):
            raise InputError(f"design: {design!r} names no class; write module:Class, such as my_pe:MyPE for my_pe.py")
        try:
            found = _carried_out(design, lambda: importlib.import_module(module))
        except ModuleNotFoundError as error:
            raise InputError(
                f"design: {error}; name a file of this folder without .py, or an installed module"
            ) from None
        kind = getattr(found, name, None)
        if not (isinstance(kind, type) and issubclass(kind, wiring.Component)):
            raise InputError(f"design: {module} has no class {name} that is an amaranth.lib.wiring.Component; add it")
        if missing := [member for member in MEMBERS if not hasattr(kind, member)]:
            raise InputError(f"design: {name} has no {missing[0]}; an element has {', '.join(MEMBERS)}")
        check_parameters(name, kind, parameters)
        own_name: Any = vars(kind).get("name")
        if not re.fullmatch(r"[\w-]+", str(own_name)):
            raise InputError(f"design: {name} has the name {own_name!r}; use letters, digits and hyphens")
        return _carried_out(design, lambda: kind(**parameters))


def synthesize_element(
    design: str,
    parameters: Mapping[str, Any],
    library: CellLibrary,
    clock_ps: float,
    operands_of: Callable[[int], Operands],
    mantissa_bits: Sequence[int],
) -> dict[str, Any]:
    """Record of the element ``module:Class``, with its ``processing_element`` block.

    Raises
    ------
    InputError
        The netlist and the software twin differ, in values or in cycles, or a fact of the element is wrong.
    """
    from ...rtl.synthesis import flow
    from ...rtl.synthesis import synthesize_element as measured
    from ...rtl.synthesis.stimuli.own_element import element_facts
    from ...sim.config.processing_element import ProcessingElement

    circuit = create_element(design, parameters)
    facts = _carried_out(design, lambda: element_facts(circuit))
    element = _checked(ProcessingElement, facts, design)
    operands = operands_of(element.lanes)
    _carried_out(design, lambda: flow.design_rtlil(circuit))
    document = _carried_out(design, lambda: measured(circuit, library, clock_ps, operands, mantissa_bits))
    document["parameters"] = dict(parameters)
    for run in document["runs"]:
        _check_cycles(element, run, design)
    block = facts | _amounts(document, design, circuit.source)
    _checked(ProcessingElement, block, design)
    return document | {"processing_element": block}


def block_text(document: Mapping[str, Any]) -> str:
    """The block as a YAML file that an architecture can name."""
    head = "# Written by anda rtl synth. In an architecture file: processing_element: FILE, this file's path.\n"
    block = {"processing_element": document["processing_element"]}
    return head + yaml.safe_dump(block, sort_keys=False, width=120)


def _amounts(document: Mapping[str, Any], design: str, source: str) -> dict[str, Any]:
    """Area and energies of the element at the clock that it was synthesised for."""
    from ...rtl.synthesis.results import provenance

    library, runs, clock_ps = document["library"], document["runs"], document["clock_ps"]
    leakage = sum(run["leakage_mw"] for run in runs) / len(runs) * clock_ps * 1e-3
    # the same ground as the technology files: with glitches only if theirs are
    left_out = provenance()["not_included"]
    total = "zero_delay_energy_pj_per_cycle" if "glitches" in left_out else "energy_pj_per_cycle"
    working = sum(run[total] - run["leakage_mw"] * document["period_ps"] * 1e-3 for run in runs)

    def amount(value: float, unit: str) -> dict[str, Any]:
        return {"value": float(f"{value:.6g}"), "unit": unit}

    missed = "" if document["clock_met"] else f", whose netlist needs {document['critical_ps']:.0f} ps"
    return {
        "area": amount(document["area_um2"], "um^2"),
        "energy_per_cycle": amount(working / len(runs) + leakage, "pJ"),
        "idle_energy_per_cycle": amount(document.get("idle_pj_per_cycle", 0.0) + leakage, "pJ"),
        "gated_energy_per_cycle": amount(leakage, "pJ"),
        "node": library_node(library["name"], library["voltage_v"]),
        "source": f"{source}; anda rtl synth {design} in {library['name']} at {clock_ps:g} ps{missed}",
        "uncertainty": left_out,
    }


def library_node(library: str, voltage: float) -> str:
    """Node of a library: that of the technology of its name, or the library itself."""
    from ...sim import load_technology, technology_names

    name = next((name for name in technology_names() if library.lower().startswith(name)), None)
    return f"{library}, {voltage:g} V" if name is None else load_technology(name).array.area.node


def _check_cycles(element: Any, run: Mapping[str, Any], design: str) -> None:
    """Refuse a latency that the netlist does not keep; the trace has INT4 weights."""
    from ...formats.weights.int4 import BITS

    bits = int(run["run"].removeprefix("M=")) if element.mantissa_bits == "variable" else element.mantissa_bits
    stated = element.digits(BITS) * element.element_cycles(bits, BITS)
    taken = run["cycles_per_group"]
    if taken is not None and abs(taken - stated) > 1e-9:
        raise InputError(
            f"latency: a group takes {taken:g} cycles in the netlist of {design} ({run['run']}), and its latency states "
            f"{stated}; correct cycles_per_group, or the circuit"
        )


def _checked(model: Any, facts: Mapping[str, Any], design: str) -> Any:
    from ...formats.documents.schema import check

    return check(model, dict(facts), design)


def _carried_out(design: str, work: Callable[[], Made]) -> Made:
    """Result of the user's own code; anything that it raises becomes one line."""
    try:
        return work()
    except (InputError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        if error.name == design.partition(":")[0]:
            raise
        raise InputError(f"design: {design} fails (ModuleNotFoundError: {error}); install or fix it") from None
    except BaseException as error:  # a user's code may do anything; SystemExit must not become our exit status
        reason = (str(error).splitlines() or [""])[0][:200]
        raise InputError(f"design: {design} fails ({type(error).__name__}: {reason}{_line(error)}); fix it") from None


def _line(error: BaseException) -> str:
    """File and line of the user's code that raised."""
    own = Path(__file__).parents[2]
    files = ((frame, Path(frame.filename)) for frame in traceback.extract_tb(error.__traceback__))
    frames = [frame for frame, path in files if path.is_file() and not path.is_relative_to(own)]
    return f", {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""


@contextmanager
def _current_folder() -> Generator[None]:
    """The current folder first among those of modules."""
    sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))
