"""SAIF file (switching activity interchange format, IEEE 1801) of a run of a netlist."""

from importlib.metadata import version

from .netlist import CLOCK, Netlist
from .power import CLOCK_TOGGLES, Activity

_NET = "    (n{net} (T0 {zero}) (T1 {one}) (TX 0) (TC {toggles}) (IG 0))"
"""Time at zero, at one and unknown, toggles, and pulses that delays swallowed (not counted)."""


def saif(netlist: Netlist, activity: Activity, period_ps: float, top: str) -> str:
    """Text of a SAIF file with the net names of `netlist.structural_verilog`; a cycle takes `period_ps`, rounded."""
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
