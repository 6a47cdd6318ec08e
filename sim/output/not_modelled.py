"""Effects that a result does not include, in one line each, for reports."""

from ..models.inference import InferenceResult
from ..models.whole_model import ModelResult
from ..result import SimulationResult


def not_modelled(result: SimulationResult | ModelResult | InferenceResult) -> list[str]:
    """Effects of a real machine that this result does not include."""
    if isinstance(result, InferenceResult):
        return not_modelled(result.prefill)
    whole = isinstance(result, ModelResult)
    gemms = result.gemms if whole else result
    limits = ["sampling" if whole and result.head is not None else "embedding, language-model head and sampling"]
    if whole and not any(row.kind == "vector" and row.work.dram_bits for row in result.rows):
        limits.append("traffic of the vector unit and of the residual stream")
    if not whole:
        limits.append("attention and vector unit (whole models have them)")
    if gemms.level == "analytical":
        limits.append(
            "waiting: loads, work and stores overlap perfectly beyond the first load, single buffers and the last store"
        )
    else:
        limits.append("overlap between one GeMM and the next")
    if gemms.level == "cycle":
        limits.append("a memory that pauses: it answers a row of the port a cycle, 16 cycles after it is asked")
    if all(run.report is None or run.report.dram.row_hits is None for run in gemms.runs):
        limits.append("DRAM rows, banks, refresh times and turnaround (memory hbm2 at level events has them)")
    if gemms.costs.background is None:
        limits.append("DRAM standby and refresh energy (dram_background on adds them)")
    else:
        limits.append("power-down and self-refresh of an idle DRAM")
    if gemms.process.sram is None:
        limits.append("leakage apart from the published mean powers")
    limits.append(
        "idle compressor, vector unit and controller apart from the published mean powers; voltage, temperature and process corners other than the technology's"
    )
    if gemms.machine.processing_element.midpoint:
        limits.append("energy of midpoint reconstruction (its cycles are counted)")
    array = gemms.machine.array
    if array.dataflow != "output-stationary":
        limits.append("registers of the operand that elements hold: they count as output-stationary ones")
    if gemms.machine.compressor is not None:
        limits.append("rounding to nearest in the compressor: the same cycles, an adder for each value")
    if whole and any("add" in row.work.operations for row in result.rows):
        limits.append(
            "circuits of the integer vector unit: its additions and products are at published ratios of 45 nm"
        )
    if whole and result.router is not None:
        limits.append("experts that some tokens or texts prefer")
    heads = result.fp16_runs if isinstance(result, ModelResult) else ()
    if any(run.mapped.sparse_products for run in (*gemms.runs, *heads)):
        limits.append("sparse weights that are spread unevenly over the output channels")
    return limits
