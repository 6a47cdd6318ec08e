"""The model beside the published figures: the tables of docs/calibration.md.

``python -m anda_codesign.sim.calibration``, at the root of the repository, prints them; with ``--update
docs/calibration.md`` it renews them in that file.
"""

import argparse
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Literal

from ..workloads import Gemm, Precision, gemms, model_shape
from .config.architecture import load_architecture
from .config.technology import load_technology
from .config.weights import weight_format_names
from .models.whole_model import simulate_model
from .result import SimulationResult
from .simulate import simulate

PUBLISHED = Path("experiments/paper/anda_hpca2025.json")
SPLIT_MODEL = "LLaMA-13B"

HALF_DIGIT = 0.005
"""What the rounding of a printed number may hide."""

FIG16 = "fig16_geomean_over_9_models_wikitext2"

Row = Sequence[str]

Averaging = Literal["time", "modules"]
"""The speedup of a model: all its cycles over all its cycles, or the mean of its four modules' speedups, weighted by their
multiply-accumulates. Both are the same where every module has the same mantissa length."""

AVERAGINGS: dict[Averaging, str] = {"time": "time of all modules", "modules": "mean over the modules"}


class Calibration:
    """Comparisons with a file of published figures."""

    def __init__(self, published: dict[str, Any]) -> None:
        self.published = published
        self.run = cache(self._run)

    def tables(self) -> dict[str, str]:
        """The tables in Markdown, by name."""
        return {
            "elements": self.elements(),
            "speedup": self.averagings("speedup"),
            "area": self.averagings("area_efficiency"),
            "implied-areas": self.implied_areas(),
            "energy": self.tilings("energy_efficiency"),
            "split": self.split(),
            "tolerances": self.tolerances(),
            "levels": levels(),
            "memories": memories(),
            "buffers": buffers(),
            "shares": shares(),
            "vector-units": vector_units(),
            "weights": weight_formats(),
        }

    def elements(self) -> str:
        """Fig. 15: area and energy efficiency of one processing element over FP-FP's."""
        figure = self.published["fig15_pe_level_normalised_to_fp_fp"]
        technology, baseline = load_technology(), load_architecture("fp-fp").processing_element

        def rows() -> Iterator[Row]:
            for label, area in figure["area_efficiency"].items():
                name, bits = ("anda", int(label[6:])) if label.startswith("Anda") else (label.lower(), 16)
                speed = baseline.element_cycles(16) / load_architecture(name).processing_element.element_cycles(bits)
                element, power = technology.element(name), figure["energy_efficiency"][label]
                yield (
                    label,
                    *_compared(speed / element.area.value, area),
                    *_compared(speed / element.power.value, power),
                )

        return _table("element,area efficiency,published,deviation,energy efficiency,published,deviation", rows())

    def averagings(self, quantity: str) -> str:
        """Fig. 16 from all cycles of a model, and from the mean of its modules' speedups."""
        means = [[self.mean(label, quantity, "search", a) for label in self.designs] for a in AVERAGINGS]
        header = f"design,published,{','.join(f'{name},deviation' for name in AVERAGINGS.values())}"
        return self._beside(header, quantity, means)

    def implied_areas(self) -> str:
        """Areas over FP-FP's that Fig. 16 implies, speedup over area efficiency, beside those of Table III.

        Its rows are what the model takes; its total takes 0.04 mm^2 away from every design.
        """
        figure, total = self.published[FIG16], self.published["table3_area_mm2_power_mw"]["total"][0]
        areas = {label: self.run(SPLIT_MODEL, label, "search").area_mm2 for label in self.designs}
        surplus = areas["Anda 1%"] - total

        def rows() -> Iterator[Row]:
            base = areas["FP-FP"]
            for label, speedup, efficiency in zip(
                self.designs, figure["speedup"], figure["area_efficiency"], strict=True
            ):
                implied = speedup / efficiency
                ends = (
                    (speedup - HALF_DIGIT) / (efficiency + HALF_DIGIT),
                    (speedup + HALF_DIGIT) / (efficiency - HALF_DIGIT),
                )
                ratios = areas[label] / base, (areas[label] - surplus) / (base - surplus)
                compared = [cell for ratio in ratios for cell in (f"{ratio:.3f}", _deviation(ratio, implied))]
                yield (label, f"{implied:.3f}", f"{ends[0]:.3f} to {ends[1]:.3f}", *compared)

        header = "design,published speedup / area efficiency,within printed digits,rows of Table III,deviation,its total,deviation"
        return _table(header, rows())

    def tilings(self, quantity: str) -> str:
        """Fig. 16 with one token tile for a model, and with a search for each GeMM."""
        means = [[self.mean(label, quantity, tiling) for label in self.designs] for tiling in ("model", "search")]
        return self._beside("design,published,one tile per model,deviation,search,deviation", quantity, means)

    def _beside(self, header: str, quantity: str, means: Sequence[Sequence[float]]) -> str:
        published = self.published[FIG16][quantity]

        def rows() -> Iterator[Row]:
            for label, figure, *ours in zip(self.designs, published, *means, strict=True):
                cells = [cell for value in ours for cell in (f"{value:.2f}", _deviation(value, figure))]
                yield (label, f"{figure:.2f}", *cells)

        return _table(header, rows())

    @property
    def designs(self) -> list[str]:
        """Labels of Fig. 16."""
        return self.published[FIG16]["designs"]

    def mean(self, label: str, quantity: str, tiling: str, averaging: Averaging = "time") -> float:
        """Geometric mean over the nine models of a quantity over FP-FP's."""
        ratios = [self.ratio(model, label, quantity, tiling, averaging) for model in self._combinations("1%")]
        return math.prod(ratios) ** (1 / len(ratios))

    def split(self) -> str:
        """Fig. 17: compute, SRAM and DRAM energy of LLaMA-13B in percent of FP-FP's total."""
        figure = self.published["fig17_llama13b_energy_percent_of_fp_fp"]

        def rows() -> Iterator[Row]:
            for label in self.designs:
                shares = [self._shares(label, tiling) for tiling in ("model", "search")]
                yield (label, *shares, " / ".join(map(str, figure[label])))

        return _table("design,one tile per model,search,published", rows())

    def tolerances(self) -> str:
        """Fig. 18: LLaMA-13B at 0.1 %, and at 5 %, whose combination is not published.

        In its place: every combination that is nowhere longer than that of 1 % and whose speedup rounds to the published
        one in either averaging, apart by the token tile that fits.
        """
        figure = self.published["fig18_llama13b_over_fp_fp"]

        def rows() -> Iterator[Row]:
            point = figure["0.1%"]
            for averaging, name in AVERAGINGS.items():
                speedup = self.ratio(SPLIT_MODEL, "Anda 0.1%", "speedup", "model", averaging)
                yield (f"0.1 %, speedup, {name}", *_compared(speedup, point["speedup"]))
            energy = self.ratio(SPLIT_MODEL, "Anda 0.1%", "energy_efficiency", "model")
            yield ("0.1 %, energy efficiency", *_compared(energy, point["energy_efficiency"]))
            for averaging in AVERAGINGS:
                yield from self._unknown_combination(figure["5%"], averaging)

        return _table("LLaMA-13B,ours,published,deviation", rows())

    def _unknown_combination(self, point: dict[str, float], averaging: Averaging) -> Iterator[Row]:
        limits = self._combinations("1%")[SPLIT_MODEL]
        base, found = self.run(SPLIT_MODEL, "FP-FP", "model"), defaultdict[int, dict[str, float]](dict)
        for bits in product(*(range(3, limit + 1) for limit in limits)):
            ours = self._simulate(SPLIT_MODEL, "anda", Precision(*bits), "model")
            if round(_speedup(base, ours, averaging), 2) == point["speedup"]:
                found[ours.runs[0].tiling.tokens][str(ours.precision)] = base.energy_pj.total / ours.energy_pj.total
        published = point["energy_efficiency"]
        for tokens, ratios in sorted(found.items()):
            what = f"5 %, energy efficiency at {point['speedup']} ({AVERAGINGS[averaging]}): {'; '.join(ratios)}"
            ends = sorted({min(ratios.values()), max(ratios.values())})
            ours, deviations = (f"{end:.2f}" for end in ends), (_deviation(end, published) for end in ends)
            yield f"{what} (tiles of {tokens} tokens)", " to ".join(ours), f"{published:.2f}", " to ".join(deviations)

    def ratio(self, model: str, label: str, quantity: str, tiling: str, averaging: Averaging = "time") -> float:
        """A quantity of Fig. 16 for one model; see `Averaging` for speedup and area efficiency."""
        ours, base = self.run(model, label, tiling), self.run(model, "FP-FP", tiling)
        if quantity == "energy_efficiency":
            return base.energy_pj.total / ours.energy_pj.total
        speedup = _speedup(base, ours, averaging)
        return speedup if quantity == "speedup" else speedup * base.area_mm2 / ours.area_mm2

    def _shares(self, label: str, tiling: str) -> str:
        ours, base = (self.run(SPLIT_MODEL, name, tiling).energy_pj for name in (label, "FP-FP"))
        return " / ".join(f"{100 * part / base.total:.0f}" for part in (ours.compute, ours.sram, ours.dram))

    def _combinations(self, tolerance: str) -> dict[str, list[int]]:
        return self.published["wikitext2"][f"combination_{tolerance}"]

    def _run(self, model: str, label: str, tiling: str) -> SimulationResult:
        """One of the designs of Fig. 16, such as ``FIGNA`` or ``Anda 0.1%``, at 2048 tokens."""
        name, _, tolerance = label.partition(" ")
        return self._simulate(model, name.lower(), Precision(*self._combinations(tolerance or "1%")[model]), tiling)

    def _simulate(self, model: str, name: str, precision: Precision, tiling: str) -> SimulationResult:
        return simulate(gemms(model_shape(model), tokens=2048), name, precision, tiling=tiling)


def _speedup(base: SimulationResult, ours: SimulationResult, averaging: Averaging) -> float:
    if averaging == "time":
        return base.cycles / ours.cycles
    pairs = zip(base.runs, ours.runs, strict=True)
    return sum(run.gemm.total_macs * one.cycles / run.cycles for one, run in pairs) / ours.macs


def levels() -> str:
    """Cycles of single GeMMs at both levels, at infinite and at the published bandwidth."""
    technologies = (load_technology().with_bandwidth(math.inf), load_technology())
    work = [*gemms(model_shape("LLaMA-7B"), tokens=2048), Gemm("u", 1, 4096, 22016), Gemm("o", 33, 1000, 130)]

    def rows() -> Iterator[Row]:
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

    header = "GeMM,architecture,closed (infinite),events (infinite),closed (256 GB/s),events (256 GB/s),stalls"
    return _table(header, rows())


def memories() -> str:
    """One GeMM on constant bandwidth and on HBM2 with rows, refresh and turnaround, at two token counts."""

    def rows() -> Iterator[Row]:
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

    return _table("GeMM,architecture,flat,hbm2,bandwidth used,row hits", rows())


def buffers() -> str:
    """Buffers of Anda as published and from CACTI."""
    work = gemms(model_shape(SPLIT_MODEL), tokens=2048)

    def rows() -> Iterator[Row]:
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

    header = "technology,activation and exponents mm^2,weights mm^2,read / write pJ/bit,leakage pJ/cycle,SRAM share"
    return _table(header, rows())


BUFFERS = (("activation_buffer", "exponent_buffer"), ("weight_buffer",))


def shares() -> str:
    """Fig. 2: multiply-accumulates of the FP-INT GeMMs over those of a prefill, causal attention included."""
    tokens = (1024, 2048, 4096, 8192)

    def rows() -> Iterator[Row]:
        for name in ("OPT-1.3B", "OPT-2.7B", "OPT-6.7B", "OPT-13B", "OPT-30B", "LLaMA-7B", "LLaMA-13B", "LLaMA3-8B"):
            runs = [simulate_model(model_shape(name), "fp-fp", Precision.uniform(16), tokens=t) for t in tokens]
            anda = simulate_model(model_shape(name), "anda", Precision.uniform(7), tokens=2048)
            times = [f"{100 * run.cycle_share('fp-int'):.1f} %" for run in (runs[1], anda)]
            yield (name, *(f"{100 * run.fp_int_share:.1f} %" for run in runs), *times)

    header = "model," + ",".join(f"{t} tokens" for t in tokens) + ",cycles of FP-FP at 2048,cycles of Anda at 2048"
    return _table(header, rows())


def vector_units() -> str:
    """LLaMA-7B on Anda at M = 7, prefill of 2048 tokens: the vector unit in FP16 and in I-LLM's integers."""

    def rows() -> Iterator[Row]:
        for unit in ("fp16", "integer"):
            run = simulate_model(model_shape("LLaMA-7B"), "anda", Precision.uniform(7), vector_unit=unit)
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

    return _table("vector unit,G operations,ms,share of time,mJ,share of energy", rows())


def weight_formats() -> str:
    """LLaMA-7B on Anda at M = 7, prefill of 2048 tokens and one decoded token."""
    shape = model_shape("LLaMA-7B")

    def rows() -> Iterator[Row]:
        for name in weight_format_names():
            prefill = simulate(gemms(shape, tokens=2048), "anda", Precision.uniform(7), weights=name)
            decode = simulate(gemms(shape, "decode", 1), "anda", Precision.uniform(7), weights=name)
            bits = sum(run.traffic.tensor_bits["weights"] * run.gemm.repeat for run in decode.runs)
            count = sum(run.gemm.in_channels * run.gemm.out_channels * run.gemm.repeat for run in decode.runs)
            yield (
                name,
                f"{bits / count:.3f}",
                *(f"{1e3 * run.seconds:,.0f}" for run in (prefill, decode)),
                *(f"{run.energy_pj.total / 1e12:.3f}" for run in (prefill, decode)),
            )

    return _table("weights,bits,prefill ms,decode ms,prefill J,decode J", rows())


def updated(text: str, tables: dict[str, str]) -> str:
    """A document with the tables between its ``<!-- table: NAME -->`` and ``<!-- end -->`` marks renewed."""

    def renew(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{tables[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- table: (\S+) -->\n.*?<!-- end -->", renew, text, flags=re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or renew them in a document."""
    parser = argparse.ArgumentParser(description="Compare the machine with the published figures.")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="JSON of published figures")
    parser.add_argument("--update", type=Path, help="document whose tables to renew")
    options = parser.parse_args(arguments)
    tables = Calibration(json.loads(options.published.read_text("utf-8"))).tables()
    if options.update:
        options.update.write_text(updated(options.update.read_text("utf-8"), tables), "utf-8")
        return
    for name, table in tables.items():
        print(f"{name}\n\n{table}\n")


def _compared(ours: float, published: float) -> Row:
    return f"{ours:.2f}", f"{published:.2f}", _deviation(ours, published)


def _deviation(ours: float, published: float) -> str:
    return f"{100 * (ours / published - 1):+.1f} %"


def _table(header: str, rows: Iterable[Row]) -> str:
    names = header.split(",")
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
