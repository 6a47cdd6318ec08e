"""Technology data: areas, powers and energies per bit, each constant with its unit, node and source."""

from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from ...formats import InputError
from ...formats.documents.schema import Config, Name, check
from .constants import Constant, unit
from .defaults import DEFAULT_TECHNOLOGY
from .sram import SramTable
from .yaml_config import config_names, find_config, read_extended

FOLDER = Path(__file__).parents[1] / "technology"


Area = Annotated[Constant, unit("mm^2")]
Power = Annotated[Constant, unit("mW")]
Cycles = Annotated[Constant, unit("cycle")]
Ratio = Annotated[Constant, unit("1")]
Bandwidth = Annotated[Constant, unit("GB/s")]
EnergyPerBit = Annotated[Constant, unit("pJ/bit")]


class Component(Config):
    """Area and mean power of a part of the reference machine."""

    area: Area
    power: Power


class ElementRatios(Config):
    """Area and power of a processing element over those of the baseline, and its power without operands."""

    area: Ratio | None = None
    """None leaves the area of machines with this element unknown."""
    power: Ratio
    power_idle: Ratio | None = None
    """Power with held operands over that of a working cycle of the same element: clock pins and leakage."""
    power_gated: Ratio | None = None
    """As `power_idle`, without a clock: leakage."""


class Skipping(Config):
    """Costs and savings of zero-plane skipping, relative to an Anda element without it."""

    area: Ratio
    power: Ratio
    """In a run in which no plane is skipped."""
    plane: Ratio
    """Energy that a skipped plane saves, relative to that of a mean cycle."""


class Reference(Config):
    """The machine and the run that the areas and powers belong to."""

    architecture: str
    baseline: str
    """The element that `elements` are relative to: FP16 operands, so its products stand for those of other units, too."""
    cycles_per_group: Cycles


class DramConfig(Config):
    """External memory: a bandwidth and an energy per bit."""

    bandwidth: Bandwidth
    energy: EnergyPerBit
    memory: str | None = None
    """A built-in memory whose currents stand for the standby and refresh that the energy per bit leaves out."""


class Technology(Config):
    """Areas and powers of the reference machine's parts, relative processing elements, and the DRAM."""

    name: Name
    title: str
    reference: Reference
    array: Component
    compressor: Component
    vector_unit: Component
    controller: Component
    activation_buffer: Component
    weight_buffer: Component
    elements: dict[str, ElementRatios]
    skipping: Skipping | None = None
    vector_operations: dict[str, Ratio] = Field(default_factory=dict[str, Constant])
    """Energy of one operation of a vector lane, by kind, relative to a FP16 multiply-accumulate."""
    dram: DramConfig
    sram: SramTable | None = None
    """Table of buffer areas and energies; None takes the two published buffers."""

    def element(self, kind: str, field: str = "processing_element.kind") -> ElementRatios:
        """Relative area and power of a kind of processing element.

        Parameters
        ----------
        kind
            Its name in `elements`.
        field
            What an error begins with.

        Raises
        ------
        InputError
            This technology has no such kind; the message lists those it has.
        """
        try:
            return self.elements[kind]
        except KeyError:
            kinds = ", ".join(self.elements)
            raise InputError(f"{field}: {kind!r} is not in technology {self.name}; choose one of {kinds}") from None

    def with_bandwidth(self, gigabytes_per_second: float) -> Self:
        """The same technology with another DRAM bandwidth in GB/s; ``math.inf`` is an infinitely fast memory.

        Raises
        ------
        InputError
            The bandwidth is not above zero.
        """
        if not gigabytes_per_second > 0:
            raise InputError(f"dram.bandwidth: is {gigabytes_per_second} GB/s; give more than 0")
        bandwidth = self.dram.bandwidth.model_copy(update={"value": gigabytes_per_second, "source": "set by the user"})
        return self.model_copy(update={"dram": self.dram.model_copy(update={"bandwidth": bandwidth})})


def technology_names() -> list[str]:
    """The built-in technologies."""
    return list(config_names(FOLDER))


def load_technology(name: str | Path = DEFAULT_TECHNOLOGY) -> Technology:
    """A built-in technology by name, or your own by the path of its YAML file.

    A file may name another as its ``base`` and give only what differs; see `read_extended`.

    Raises
    ------
    InputError
        There is no such technology, or its file has an unknown key or a bad value.
    """
    path = find_config(name, FOLDER, "technology")
    return _load_builtin(path) if path.parent == FOLDER else _load(path)


@cache
def _load_builtin(path: Path) -> Technology:
    return _load(path)


def _load(path: Path) -> Technology:
    return check(Technology, read_extended(path, FOLDER, "technology"), f"technology {path.name}")
