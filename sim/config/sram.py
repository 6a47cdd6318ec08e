"""On-chip memories from a table that CACTI wrote (`sim/cost/cacti.py`), scaled to a node that CACTI does not have."""

import csv
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from ...formats import InputError
from .constants import Constant, unit
from .yaml_config import Config

FOLDER = Path(__file__).parents[1] / "technology"

Ratio = Annotated[Constant, unit("1")]


@dataclass(frozen=True, slots=True)
class SramMacro:
    """One memory with one port."""

    area_mm2: float
    read_pj: float
    """Of a whole row of the port's width."""
    write_pj: float
    leakage_mw: float
    cycle_ns: float
    """At the table's own node, which a scaled memory does not exceed."""
    between: tuple[int, int] | None
    """Capacities in bytes of the rows that it was interpolated between; None for a row of the table."""

    def notes(self, field: str, clock_hz: int) -> list[str]:
        """What a reader of its figures should know: that they are interpolated, that it is too slow for the clock."""
        lines: list[str] = []
        if self.between is not None:
            lines.append(f"{field}: interpolated between memories of {self.between[0]} and {self.between[1]} B")
        if self.cycle_ns > 1e9 / clock_hz:
            lines.append(
                f"{field}: takes {self.cycle_ns:.2f} ns a cycle, more than the {1e9 / clock_hz:.2f} ns of the clock; "
                f"lower the clock or the capacity"
            )
        return lines


class SramTable(Config):
    """Which rows of a table to take, and the factors from its node to this technology's."""

    table: str
    """Name of a CSV file beside the technology files."""
    device: str
    area_scale: Ratio
    energy_scale: Ratio
    leakage_scale: Ratio

    def macro(self, field: str, capacity_bytes: int, port_bits: int) -> SramMacro:
        """A memory of any capacity in the range of the table; its logarithms are interpolated.

        Args:
            field: what an error calls the memory.
            capacity_bytes: its size.
            port_bits: width of its port.

        Raises:
            InputError: no such table or device, or a port or capacity that the table does not have.
        """
        ports = _ports(self.table, self.device)
        if port_bits not in ports:
            widths = ", ".join(f"{width} bit" for width in sorted(ports))
            raise InputError(f"{field}.port: {port_bits} bit is not in {self.table}; use {widths}")
        rows = ports[port_bits]
        capacities = sorted(rows)
        if not capacities[0] <= capacity_bytes <= capacities[-1]:
            raise InputError(
                f"{field}.capacity: {capacity_bytes} B is not in {self.table}; use {capacities[0]} to {capacities[-1]} B"
            )
        high = next(capacity for capacity in capacities if capacity >= capacity_bytes)
        low = max(capacity for capacity in capacities if capacity <= capacity_bytes)
        share = 0.0 if high == low else math.log(capacity_bytes / low) / math.log(high / low)
        area, read, write, leakage, cycle = (
            a ** (1 - share) * b**share for a, b in zip(rows[low], rows[high], strict=True)
        )
        energy_scale = self.energy_scale.value
        return SramMacro(
            area_mm2=area * self.area_scale.value,
            read_pj=read * energy_scale,
            write_pj=write * energy_scale,
            leakage_mw=leakage * self.leakage_scale.value,
            cycle_ns=cycle,
            between=None if high == low else (low, high),
        )


@cache
def _ports(table: str, device: str) -> dict[int, dict[int, tuple[float, ...]]]:
    """Area, read and write energy, leakage and cycle time by port bits and capacity in bytes."""
    path = FOLDER / table
    if not path.is_file():
        raise InputError(f"sram.table: there is no {table!r}; choose one of {', '.join(_tables())}")
    ports: dict[int, dict[int, tuple[float, ...]]] = {}
    devices: list[str] = []
    for row in csv.DictReader(path.read_text("utf-8").splitlines()):
        devices.append(row["device"])
        if row["device"] == device:
            values = (float(row[name]) for name in ("area_mm2", "read_pj", "write_pj", "leakage_mw", "cycle_ns"))
            ports.setdefault(int(row["port_bits"]), {})[int(row["capacity_bytes"])] = tuple(values)
    if not ports:
        raise InputError(
            f"sram.device: {device!r} is not in {table}; choose one of {', '.join(dict.fromkeys(devices))}"
        )
    return ports


def _tables() -> list[str]:
    return sorted(path.name for path in FOLDER.glob("*.csv"))
