"""What the nets of a netlist did in a run, as a SAIF file (switching activity interchange format, of IEEE 1801)."""

from importlib.metadata import version

from .netlist import Netlist
from .power import CLOCK_TOGGLES, Activity
from .verilator import CLOCK

_NET = "    (n{net} (T0 {zero}) (T1 {one}) (TX 0) (TC {toggles}) (IG 0))"
"""Times at zero, at one and unknown, toggles, and glitches, of which a simulation without delays has none."""


def saif(netlist: Netlist, activity: Activity, period_ps: float, top: str) -> str:
    """The file, with the nets as `netlist.structural_verilog` calls them; a cycle takes `period_ps`, rounded."""
    period = round(period_ps)
    duration = activity.cycles * period
    lines = [
        "(SAIFILE",
        '  (SAIFVERSION "2.0")',
        '  (DIRECTION "backward")',
        f'  (DESIGN "{top}")',
        '  (PROGRAM_NAME "anda rtl synth")',
        f'  (VERSION "{version("anda-codesign")}")',
        "  (DIVIDER / )",
        "  (TIMESCALE 1 ps)",
        f"  (DURATION {duration})",
        f"  (INSTANCE {top}",
        "   (NET",
    ]
    clocks = {net for port in netlist.ports if port.name == CLOCK for net in port.nets}
    for net in netlist.nets:
        one = duration // 2 if net in clocks else activity.ones[net] * period
        toggles = round(CLOCK_TOGGLES * activity.cycles) if net in clocks else activity.toggles[net]
        lines.append(_NET.format(net=net, zero=duration - one, one=one, toggles=toggles))
    return "\n".join([*lines, "   )", "  )", ")", ""])
