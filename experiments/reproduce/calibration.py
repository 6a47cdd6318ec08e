"""Tables of docs/calibration.md: the machine compared with the published figures, and at other settings.

``python -m anda_codesign.experiments.reproduce.calibration`` prints them; ``--update docs/calibration.md`` renews them in
that page.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, TypeAlias

from ...sim import load_technology, load_weights, simulate, weight_format_names
from ...sim.cost.energy import ENERGY_PARTS
from ...sim.memory.hbm import load_memory, memory_names
from ...workloads import Gemm, Precision, gemms, model_shape
from ..markdown import markdown_table, tables_command
from .figures.measures import (
    BASE,
    ONE_TILE,
    SPLIT_MODEL,
    TOKENS,
    Reading,
    element_efficiency,
    energy_percent,
    prefill,
    run_system,
    system_mean,
    system_ratio,
)
from .figures.published import DATASET, PrecisionSets, published
from .mappings import DESIGN_HEADER, GEMM_HEADER, design_gains, gemm_energies

Row: TypeAlias = Sequence[str]

HALF_DIGIT = 0.005
"""Largest rounding error of a number that is printed with two decimals."""
FIG16 = "fig16_geomean_over_9_models_wikitext2"
READINGS: dict[Reading, str] = {"time": "time of all modules", "modules": "mean over the modules"}
SHARE_TOKENS = (1024, 2048, 4096, 8192)
ELEMENTS = ("fp-fp", "fp-int", "ifpu", "figna", "figna-m11", "figna-m8", "anda")
IDLE_MODES: dict[str, Any] = {
    "full": {"idle": "full"},
    "measured": {"idle": "measured"},
    "measured, clock gated": {"idle": "measured", "clock_gating": True},
    "zero": {"idle": "zero"},
}
BUFFERS = (("activation_buffer", "exponent_buffer"), ("weight_buffer",))


def table(header: str) -> Callable[[Callable[[], Iterator[Row]]], Callable[[], str]]:
    """Make a generator of rows a function that returns them as a Markdown table under a header."""
    return lambda rows: lambda: markdown_table(header.split(","), rows())


def precisions(tolerance: str) -> dict[str, Precision]:
    """Published precision tuple of each model at a tolerance; an empty one stands for 1 %."""
    return dict(PrecisionSets().sets[DATASET][tolerance or "1%"])


def design_mean(label: str, quantity: str, reading: Reading = "time", mapping: str = ONE_TILE) -> float:
    """Geometric mean over the nine models of a quantity of Fig. 16 over FP-FP's."""
    return system_mean(label, precisions(label.partition(" ")[2]), quantity, reading, mapping)


def split_bits(label: str) -> Precision:
    """Published precision tuple of `SPLIT_MODEL` in a design."""
    return precisions(label.partition(" ")[2])[SPLIT_MODEL]


@table("element,area efficiency,published,deviation,energy efficiency,published,deviation")
def elements() -> Iterator[Row]:
    """Fig. 15: area and energy efficiency of one processing element over FP-FP's."""
    figure = published()["fig15_pe_level_normalised_to_fp_fp"]
    for label, area in figure["area_efficiency"].items():
        power = figure["energy_efficiency"][label]
        areas, powers = (element_efficiency(label, name) for name in ("area_efficiency", "energy_efficiency"))
        yield (label, *_compared(areas, area), *_compared(powers, power))


def readings(quantity: str) -> str:
    """Fig. 16 in both readings of a model's speedup."""
    header = f"design,published,{','.join(f'{name},deviation' for name in READINGS.values())}"
    return _beside(header, quantity, lambda label: [design_mean(label, quantity, reading) for reading in READINGS])


def mappings(quantity: str) -> str:
    """Fig. 16 with one token tile for a model, and with a search for each GeMM."""
    header = "design,published,one tile per model,deviation,search,deviation"
    return _beside(
        header,
        quantity,
        lambda label: [design_mean(label, quantity, mapping=mapping) for mapping in (ONE_TILE, "best")],
    )


def _beside(header: str, quantity: str, ours: Callable[[str], Sequence[float]]) -> str:
    figure = published()[FIG16]

    @table(header)
    def rows() -> Iterator[Row]:
        for label, bar in zip(figure["designs"], figure[quantity], strict=True):
            cells = [cell for value in ours(label) for cell in (f"{value:.2f}", _deviation(value, bar))]
            yield (label, f"{bar:.2f}", *cells)

    return rows()


@table(
    "design,published speedup / area efficiency,within printed digits,rows of Table III,deviation,its total,deviation"
)
def implied_areas() -> Iterator[Row]:
    """Areas over FP-FP's that Fig. 16 implies (speedup over area efficiency), beside those of Table III.

    The model takes the rows of the table; the printed total is 0.04 mm^2 less, taken away from every design alike.
    """
    figure, total = published()[FIG16], published()["table3_area_mm2_power_mw"]["total"][0]
    areas = {label: run_system(label, SPLIT_MODEL, split_bits(label)).area_mm2 for label in figure["designs"]}
    surplus = areas["Anda 1%"] - total
    base = areas[BASE]
    bars = zip(figure["designs"], figure["speedup"], figure["area_efficiency"], strict=True)
    for label, speedup, efficiency in bars:
        implied = speedup / efficiency
        ends = (
            (speedup - HALF_DIGIT) / (efficiency + HALF_DIGIT),
            (speedup + HALF_DIGIT) / (efficiency - HALF_DIGIT),
        )
        ratios = areas[label] / base, (areas[label] - surplus) / (base - surplus)
        compared = [cell for ratio in ratios for cell in (f"{ratio:.3f}", _deviation(ratio, implied))]
        yield (label, f"{implied:.3f}", f"{ends[0]:.3f} to {ends[1]:.3f}", *compared)


@table("design,one tile per model,search,published")
def split() -> Iterator[Row]:
    """Fig. 17: compute, SRAM and DRAM energy of LLaMA-13B in percent of FP-FP's total."""
    figure = published()["fig17_llama13b_energy_percent_of_fp_fp"]
    for label in published()[FIG16]["designs"]:
        ours = (energy_percent(label, split_bits(label), mapping) for mapping in (ONE_TILE, "best"))
        shares = (" / ".join(f"{value:.0f}" for value in each.values()) for each in ours)
        yield (label, *shares, " / ".join(map(str, figure[label])))


@table("LLaMA-13B,ours,published,deviation")
def tolerances() -> Iterator[Row]:
    """Fig. 18: LLaMA-13B at 0.1 %, and at 5 %, for which the paper prints no precision tuple.

    In its place stand all tuples that are nowhere longer than that of 1 % and whose speedup rounds to the published one,
    in either reading, grouped by the token tile that fits.
    """
    figure = published()["fig18_llama13b_over_fp_fp"]
    label, point = "Anda 0.1%", figure["0.1%"]
    for reading, name in READINGS.items():
        speedup = system_ratio(label, SPLIT_MODEL, split_bits(label), "speedup", reading)
        yield (f"0.1 %, speedup, {name}", *_compared(speedup, point["speedup"]))
    energy = system_ratio(label, SPLIT_MODEL, split_bits(label), "energy_efficiency")
    yield ("0.1 %, energy efficiency", *_compared(energy, point["energy_efficiency"]))
    for reading in READINGS:
        yield from _unknown_tuple(figure["5%"], reading)


def _unknown_tuple(point: dict[str, float], reading: Reading) -> Iterator[Row]:
    """Rows of the tuples that could be behind a published speedup."""
    found = defaultdict[int, dict[str, float]](dict)
    for lengths in product(*(range(3, limit + 1) for limit in precisions("1%")[SPLIT_MODEL])):
        bits = Precision(*lengths)
        if round(system_ratio("Anda", SPLIT_MODEL, bits, "speedup", reading), 2) == point["speedup"]:
            tokens = run_system("Anda", SPLIT_MODEL, bits).runs[0].mapping.tokens
            found[tokens][str(bits)] = system_ratio("Anda", SPLIT_MODEL, bits, "energy_efficiency")
    bar = point["energy_efficiency"]
    for tokens, ratios in sorted(found.items()):
        title = f"5 %, energy efficiency at {point['speedup']} ({READINGS[reading]}): {'; '.join(ratios)}"
        ends = sorted({min(ratios.values()), max(ratios.values())})
        ours, deviations = (f"{end:.2f}" for end in ends), (_deviation(end, bar) for end in ends)
        yield f"{title} (tiles of {tokens} tokens)", " to ".join(ours), f"{bar:.2f}", " to ".join(deviations)


@table("GeMM,architecture,analytical (infinite),events (infinite),analytical (256 GB/s),events (256 GB/s),stalls")
def levels() -> Iterator[Row]:
    """Cycles of single GeMMs at both levels, with infinite and with the published bandwidth."""
    technologies = (load_technology().with_bandwidth(math.inf), load_technology())
    work = [*gemms(model_shape("LLaMA-7B"), tokens=TOKENS), Gemm("u", 1, 4096, 22016), Gemm("o", 33, 1000, 130)]
    for gemm in work:
        one = Gemm(gemm.module, gemm.tokens, gemm.in_channels, gemm.out_channels)
        for name in ("anda", "fp-fp"):
            cycles = [
                simulate([one], name, Precision(7, 6, 6, 6), level, technology).cycles
                for technology in technologies
                for level in ("analytical", "events")
            ]
            size = f"{gemm.tokens}x{gemm.in_channels}x{gemm.out_channels}"
            yield (size, name, *map("{:,}".format, cycles), f"{100 * (cycles[3] / cycles[2] - 1):.3f} %")


@table("GeMM,architecture,flat,hbm2,bandwidth used,row hits")
def memories() -> Iterator[Row]:
    """One GeMM on constant bandwidth and on HBM2 with rows, refresh and turnaround, at two token counts."""
    for tokens in (1, 512):
        for name in ("anda", "fp-fp"):
            gemm = Gemm("o", tokens, 4096, 4096)
            flat, hbm = (
                simulate([gemm], name, Precision.uniform(7), "events", memory=memory) for memory in ("flat", "hbm2")
            )
            report = hbm.runs[0].report
            assert report is not None
            yield (
                f"{tokens}x4096x4096",
                name,
                f"{flat.cycles:,}",
                f"{hbm.cycles:,}",
                f"{100 * report.dram.utilisation(hbm.cycles):.1f} %",
                f"{100 * (report.dram.row_hit_rate or 0):.1f} %",
            )


@table("technology,activation and exponents mm^2,weights mm^2,read / write pJ/bit,leakage pJ/cycle,SRAM share")
def buffers() -> Iterator[Row]:
    """Buffers of Anda as published and from CACTI."""
    work = gemms(model_shape(SPLIT_MODEL), tokens=TOKENS)
    for technology in ("paper-16nm", "cacti-16nm"):
        result = simulate(work, "anda", Precision(7, 5, 6, 6), technology=technology)
        costs, sram = result.costs, result.costs.sram
        yield (
            technology,
            *(f"{sum(a for n, a in costs.area_mm2.items() if n in names):.2f}" for names in BUFFERS),
            f"{sram.activation_read_pj_per_bit:.3f} / {sram.activation_write_pj_per_bit:.3f}",
            f"{sram.leakage_pj_per_cycle:.1f}",
            f"{result.energy_pj.sram / result.energy_pj.total:.3f}",
        )


@table("model," + ",".join(f"{t} tokens" for t in SHARE_TOKENS) + ",cycles of FP-FP at 2048,cycles of Anda at 2048")
def shares() -> Iterator[Row]:
    """Fig. 2: multiply-accumulates of the FP-INT GeMMs over those of a prefill, causal attention included."""
    for name in ("OPT-1.3B", "OPT-2.7B", "OPT-6.7B", "OPT-13B", "OPT-30B", "LLaMA-7B", "LLaMA-13B", "LLaMA3-8B"):
        runs = [prefill(name, tokens) for tokens in SHARE_TOKENS]
        times = [100 * run.cycle_share("fp-int") for run in (runs[1], prefill(name, 2048, "anda", 7))]
        yield (name, *(f"{100 * run.fp_int_share:.1f} %" for run in runs), *(f"{share:.1f} %" for share in times))


@table("vector unit,G operations,ms,share of time,mJ,share of energy")
def vector_units() -> Iterator[Row]:
    """LLaMA-7B on Anda at M = 7, prefill of 2048 tokens: the vector unit in FP16 and in I-LLM's integers."""
    for unit in ("fp16", "integer"):
        run = prefill("LLaMA-7B", 2048, "anda", 7, unit)
        parts = [row for row in run.rows if row.kind == "vector"]
        energy = math.fsum(row.energy_pj.total for row in parts)
        yield (
            unit,
            f"{sum(row.operations for row in parts) / 1e9:.1f}",
            f"{1e3 * sum(row.cycles for row in parts) / run.machine.clock_hz:,.0f}",
            f"{100 * run.cycle_share('vector'):.1f} %",
            f"{energy / 1e9:.1f}",
            f"{100 * energy / run.energy_pj.total:.1f} %",
        )


@table("weights,bits,prefill ms,decode ms,prefill J,decode J")
def weight_formats() -> Iterator[Row]:
    """LLaMA-7B on Anda at M = 7, prefill of 2048 tokens and one decoded token."""
    shape = model_shape("LLaMA-7B")
    for name in (name for name in weight_format_names() if not load_weights(name).is_fp16):
        runs = [
            simulate(gemms(shape, phase, tokens), "anda", Precision.uniform(7), weights=name)
            for phase, tokens in (("prefill", TOKENS), ("decode", 1))
        ]
        decode = runs[1].runs
        bits = sum(run.traffic.tensor_bits["weights"] * run.gemm.repeat for run in decode)
        count = sum(run.gemm.in_channels * run.gemm.out_channels * run.gemm.repeat for run in decode)
        times = (f"{1e3 * run.seconds:,.0f}" for run in runs)
        energies = (f"{run.energy_pj.total / 1e12:.3f}" for run in runs)
        yield (name, f"{bits / count:.3f}", *times, *energies)


@table("technology," + ",".join(ELEMENTS))
def idle_powers() -> Iterator[Row]:
    """Power of an element with held operands over that of a working cycle, in percent: with its clock, and without."""
    for name in ("asap7", "sky130", "osu018"):
        cells: list[str] = []
        for kind in ELEMENTS:
            element = load_technology(name).element(kind)
            assert element.power_idle is not None and element.power_gated is not None
            cells.append(f"{100 * element.power_idle.value:.1f} / {100 * element.power_gated.value:.2g}")
        yield (name, *cells)


@table("tokens,idle,FP-FP array uJ,Anda array uJ,gain,FP-FP total uJ,Anda total uJ,gain")
def idle_modes() -> Iterator[Row]:
    """A 4096 x 4096 GeMM of a few tokens on FP-FP and on Anda at M = 7 under each way to count idle elements."""
    for tokens in (1, 4, 16):
        gemm = Gemm("o", tokens, 4096, 4096)
        for label, options in IDLE_MODES.items():
            runs = [simulate([gemm], name, Precision.uniform(7), **options).energy_pj for name in ("fp-fp", "anda")]
            pairs = [[run.compute for run in runs], [run.total for run in runs]]
            cells = ((*(f"{pj / 1e6:,.1f}" for pj in pair), f"{pair[0] / pair[1]:.2f}") for pair in pairs)
            yield (str(tokens), label, *(cell for pair in cells for cell in pair))


@table("memory,GB/s,pJ/bit,standby W,active standby W,refresh W")
def backgrounds() -> Iterator[Row]:
    """The memories: peak bandwidth, energy of a bit, and background power."""
    for name in memory_names():
        memory = load_memory(name)
        power, energy = memory.background_power, memory.energy
        peak = memory.channels * memory.channel_width * memory.timing.data_rate.value / 8
        watts = (f"{value:.3f}" for value in (power.standby_w, power.active_w, power.refresh_w))
        yield (name, f"{peak:.1f}", "" if energy is None else f"{energy.value:g}", *watts)


@table("phase,architecture,s,compute J,SRAM J,DRAM J,background J")
def background_energies() -> Iterator[Row]:
    """FP-INT GeMMs of LLaMA-7B at M = 7, with the background of the published HBM2."""
    for phase, tokens in (("prefill", TOKENS), ("decode", 1)):
        for name in ("fp-fp", "anda"):
            work = gemms(model_shape("LLaMA-7B"), phase, tokens)
            run = simulate(work, name, Precision.uniform(7), dram_background="on")
            parts = (getattr(run.energy_pj, part) / 1e12 for part in ENERGY_PARTS)
            yield (phase, name, f"{run.seconds:.3g}", *(f"{joules:.3g}" for joules in parts))


TABLES: dict[str, Callable[[], str]] = {
    "elements": elements,
    "speedup": lambda: readings("speedup"),
    "area": lambda: readings("area_efficiency"),
    "implied-areas": implied_areas,
    "energy": lambda: mappings("energy_efficiency"),
    "mapping-gemms": table(GEMM_HEADER)(gemm_energies),
    "mapping-designs": table(DESIGN_HEADER)(design_gains),
    "split": split,
    "tolerances": tolerances,
    "levels": levels,
    "memories": memories,
    "buffers": buffers,
    "shares": shares,
    "vector-units": vector_units,
    "weights": weight_formats,
    "idle-powers": idle_powers,
    "idle-modes": idle_modes,
    "backgrounds": backgrounds,
    "background-energies": background_energies,
}
"""Tables in Markdown, by the name that marks their place in the page."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or renew them in a page."""
    tables_command("Compare the machine with the published figures.", TABLES, arguments)


def _compared(ours: float, bar: float) -> Row:
    return f"{ours:.2f}", f"{bar:.2f}", _deviation(ours, bar)


def _deviation(ours: float, bar: float) -> str:
    return f"{100 * (ours / bar - 1):+.1f} %"


if __name__ == "__main__":
    main()
