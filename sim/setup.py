"""A machine that is ready to be timed: architecture, technology, unit costs and settings, loaded and checked once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..formats import InputError
from ..formats.checks import check_choice
from .batch.search import best_mappings
from .config.architecture import Architecture, load_architecture
from .config.idle import Idle
from .config.technology import Technology, load_technology
from .config.weights import load_weights
from .cost.energy import UnitCosts, unit_costs
from .cost.objective import MAPPING_OBJECTIVES, Objective
from .cost.search import best_mapping, best_of, best_stationary
from .mapping.gemm_mapping import GemmMapping, PartialSums
from .mapping.legality import check_mapping
from .mapping.mapped_gemm import MappedGemm
from .mapping.mapping_rule import MappingRule
from .mapping.resident import divided, double_buffered, is_legal, model_mappings, resident_mapping
from .memory.dram import Dram, FlatDram
from .processes.timeline import Timeline
from .settings import DramBackground, Level, Settings

if TYPE_CHECKING:
    from .memory.background import BackgroundPower
    from .memory.hbm import Memory


@dataclass(frozen=True)
class Setup:
    """Everything that a run needs besides its GeMMs.

    Attributes
    ----------
    machine
        The accelerator, with the weight format of the run.
    process
        Areas, powers and DRAM.
    costs
        Energy of each kind of work on this machine.
    level, objective, mapping, group_cycles, timeline
        The settings, parsed.
    memory
        A memory with rows; None for constant bandwidth.
    """

    machine: Architecture
    process: Technology
    costs: UnitCosts
    level: Level
    objective: Objective
    mapping: MappingRule
    memory: "Memory | None"
    group_cycles: Mapping[str, float] | None
    timeline: Timeline | None

    def mappings(self, shapes: list[MappedGemm], modules: list[str]) -> list[GemmMapping]:
        """The mapping of each GeMM of some modules."""
        if self.mapping.kind == "model":
            return model_mappings(shapes)
        rules = list(map(self.mapping.of, modules))
        if all(rule.kind == "best" for rule in rules):
            return best_mappings(shapes, self.costs, self.objective)
        return [self._mapping(shape, rule) for shape, rule in zip(shapes, rules, strict=True)]

    def _mapping(self, shape: MappedGemm, rule: MappingRule) -> GemmMapping:
        if rule.mapping is not None:
            return check_mapping(shape, rule.mapping)
        if rule.kind != "best" and len(parts := divided(shape)) > 1:
            found = [self._mapping(part, rule) for part in parts if is_legal(part) and self._suits(part, rule)]
            return best_of(shape, found or [self._mapping(parts[0], rule)], self.costs, self.objective)
        if rule.kind == "double-buffered" and not shape.holds_outputs:
            found = best_stationary(shape, self.costs, self.objective, double=True)
            return min(found, key=itemgetter(0), default=(None, self._mapping(shape, MappingRule())))[1]
        if rule.kind == "double-buffered":
            return best_of(shape, double_buffered(shape), self.costs, self.objective)
        if rule.kind in ("activations", "weights", "nothing"):
            return resident_mapping(shape, rule.kind, rule.size or 0)
        return best_mapping(shape, self.costs, self.objective)

    def _suits(self, shape: MappedGemm, rule: MappingRule) -> bool:
        """True if a rule has a mapping in the buffers of a machine."""
        try:
            self._mapping(shape, rule)
        except InputError:
            return False
        return True

    def in_phase(self, phase: str) -> "Setup":
        """The same with the machine as it is in ``prefill`` or ``decode``."""
        return replace(self, machine=self.machine.in_phase(phase))

    def dram(self) -> Dram:
        """A fresh memory for one part of a run in events."""
        if self.memory is None:
            return FlatDram(self.costs.dram_bits_per_cycle)
        from .memory.hbm import HbmDram

        return HbmDram(self.memory, self.machine.clock_hz)


def prepare(architecture: str | Path | Architecture, settings: Settings) -> Setup:
    """Load and check a machine and its settings.

    Parameters
    ----------
    architecture
        A name, the path of a YAML file, or an object.
    settings
        How the machine is timed and priced.

    Raises
    ------
    InputError
        A name is unknown, a file is wrong, or settings contradict each other.
    """
    machine = architecture if isinstance(architecture, Architecture) else load_architecture(architecture)
    if settings.activations is not None:
        machine = machine.with_activations(settings.activations)
    if settings.weights is not None:
        machine = machine.with_weights(load_weights(settings.weights))
    if settings.array is not None or settings.dataflow is not None:
        machine = machine.with_array(settings.array, settings.dataflow)
    if settings.partial_sums is not None:
        place = check_choice("partial_sums", settings.partial_sums, get_args(PartialSums))
        if place == "array" and machine.array.dataflow != "output-stationary":
            raise InputError(
                f"partial_sums: the array is {machine.array.dataflow} and has no place for them; use buffer, or leave it out"
            )
        machine = machine.model_copy(update={"partial_sums": place})
    given = settings.technology
    process = given if isinstance(given, Technology) else load_technology(given)
    level = check_choice("level", settings.level, get_args(Level))
    if settings.clock_gating and settings.idle == "zero":
        raise InputError("clock_gating: idle zero has no power to gate; leave it out, or use idle measured")
    memory = _memory(settings)
    background = _background(settings, process, memory)
    process = process if memory is None else process.model_copy(update={"dram": memory.figures(process.dram)})
    return Setup(
        machine,
        process,
        unit_costs(
            machine,
            process,
            settings.group_cycles is not None,
            background,
            check_choice("idle", settings.idle, get_args(Idle)),
            settings.clock_gating,
        ),
        level,
        check_choice("objective", settings.objective, MAPPING_OBJECTIVES),
        _mapping(settings),
        memory,
        _group_cycles(settings),
        _timeline(settings),
    )


def _mapping(settings: Settings) -> MappingRule:
    given = settings.mapping
    if isinstance(given, GemmMapping):
        return MappingRule("given", None, given)
    return MappingRule.parse(given) if isinstance(given, str) else given


def _memory(settings: Settings) -> "Memory | None":
    if settings.memory == "flat":
        return None
    from .memory.hbm import Memory, load_memory

    memory = settings.memory if isinstance(settings.memory, Memory) else load_memory(settings.memory)
    if settings.level != "events":
        raise InputError(f"memory: {memory.name!r} needs level events; use flat with level {settings.level}")
    return memory


def _background(settings: Settings, process: Technology, memory: "Memory | None") -> "BackgroundPower | None":
    """Standby and refresh of the DRAM, if the settings count them."""
    asked = check_choice("dram_background", settings.dram_background, get_args(DramBackground))
    if asked == "off" or (asked == "auto" and (memory is None or memory.background is None)):
        return None
    if memory is None:
        from .memory.hbm import load_memory

        if process.dram.memory is None:
            raise InputError(
                f"dram_background: technology {process.name} names no memory; add dram.memory to it, or choose a memory"
            )
        memory = load_memory(process.dram.memory)
    return memory.background_power


def _group_cycles(settings: Settings) -> Mapping[str, float] | None:
    if settings.group_cycles is not None and settings.level == "cycle":
        raise InputError("group_cycles: level cycle sends every plane; leave them out or use level events")
    return settings.group_cycles


def _timeline(settings: Settings) -> Timeline | None:
    if settings.timeline is not None and settings.level == "analytical":
        raise InputError("timeline: level analytical has no events; use level events or cycle")
    return settings.timeline
