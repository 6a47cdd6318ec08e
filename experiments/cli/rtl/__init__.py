"""`anda rtl`: write circuits as Verilog, run them on captured traces, map them to gates."""

from .. import help
from . import check, run, synth, verilog, views

app = help.app()
for command, summary in (
    (check.check, "Compare circuits with the format on a trace."),
    (synth.synth, "Area, timing and energy from gates."),
    (run.run, "A GeMM on the accelerator's circuit."),
    (run.cycles, "Its cycles and those of the timing model."),
    (views.waveform, "Draw a group passing through the circuits."),
    (verilog.verilog, "A circuit as Verilog."),
    (verilog.lint, "Verilator's warnings for a circuit."),
):
    app.command(short_help=summary, epilog=help.example(command.__name__))(command)


@app.callback()
def rtl() -> None:
    """Write circuits as Verilog, run them on captured traces and compare bit for bit, or map them to gates."""
