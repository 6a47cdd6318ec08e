"""Background power of a DRAM: what it takes without moving a bit, from the currents of its data sheet.

The states are those of Micron's power calculators (TN-41-01) and of DRAMsim3: precharge standby, active standby while data
moves, and refresh, which adds its current above active standby for `tRFC` of every `tREFI`. Banks close when nothing moves,
and no power-down is used.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ...formats.documents.schema import Config
from ..config.constants import Constant, unit

Volts = Annotated[Constant, unit("V")]
Milliamperes = Annotated[Constant, unit("mA")]


@dataclass(frozen=True, slots=True)
class BackgroundPower:
    """Power of all devices, in watts."""

    standby_w: float
    """All banks closed."""
    active_w: float
    """Rows open, without the energy of the bits that move."""
    refresh_w: float
    """Mean over time, above the other two."""


class Supply(Config):
    """Currents of one device at one supply."""

    voltage: Volts
    idd2n: Milliamperes = Field(alias="IDD2N")
    """Precharge standby."""
    idd3n: Milliamperes = Field(alias="IDD3N")
    """Active standby."""
    idd5: Milliamperes | None = Field(default=None, alias="IDD5")
    """Refresh of all banks, back to back; None if it is not published for this supply."""

    def power(self, refreshing: float) -> BackgroundPower:
        """Power of one device that refreshes in a share of the time."""
        volts = self.voltage.value / 1000
        above = 0.0 if self.idd5 is None else max(self.idd5.value - self.idd3n.value, 0.0)
        return BackgroundPower(volts * self.idd2n.value, volts * self.idd3n.value, volts * above * refreshing)


class MemoryCurrents(Config):
    """Currents of a memory's devices, by supply."""

    devices: int = Field(ge=1)
    """Devices of one channel."""
    supplies: dict[str, Supply] = Field(min_length=1)

    def power(self, channels: int, refreshing: float) -> BackgroundPower:
        """Power of the devices of all channels, which refresh in a share of the time."""
        found, count = [supply.power(refreshing) for supply in self.supplies.values()], channels * self.devices
        return BackgroundPower(
            count * sum(power.standby_w for power in found),
            count * sum(power.active_w for power in found),
            count * sum(power.refresh_w for power in found),
        )
