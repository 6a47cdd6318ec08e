"""The model beside the published figures: the tables of docs/calibration.md.

``python -m anda_codesign.sim.calibration``, at the root of the repository, prints them; with ``--update
docs/calibration.md`` it renews them in that file.
"""

import argparse
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..workloads import Gemm, Precision, gemms, model_shape
from .architecture import load_architecture
from .model import simulate_model
from .result import SimulationResult
from .simulate import simulate
from .technology import load_technology
from .weights import weight_format_names

PUBLISHED = Path("experiments/paper/anda_hpca2025.json")
SPLIT_MODEL = "LLaMA-13B"

Row = Sequence[str]


class Calibration:
    """Comparisons with a file of published figures."""

    def __init__(self, published: dict[str, Any]) -> None:
        self.published = published
        self.run = cache(self._run)

    def tables(self) -> dict[str, str]:
        """The tables in Markdown, by name."""
        return {
            "elements": self.elements(),
            "speedup": self.systems("speedup", "search"),
            "area": self.systems("area_efficiency", "search"),
            "energy-model-tile": self.systems("energy_efficiency", "model"),
            "energy-search": self.systems("energy_efficiency", "search"),
            "split": self.split(),
            "tolerances": self.tolerances(),
            "levels": levels(),
            "memories": memories(),
            "buffers": buffers(),
            "shares": shares(),
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

    def systems(self, quantity: str, tiling: str) -> str:
        """Fig. 16: geometric means over nine models, over FP-FP."""
        figure = self.published["fig16_geomean_over_9_models_wikitext2"]

        def rows() -> Iterator[Row]:
            for label, published in zip(figure["designs"], figure[quantity], strict=True):
                ratios = [self.ratio(model, label, quantity, tiling) for model in self._combinations("1%")]
                yield (label, *_compared(math.prod(ratios) ** (1 / len(ratios)), published))

        return _table(f"design,{quantity.replace('_', ' ')},published,deviation", rows())

    def split(self) -> str:
        """Fig. 17: compute, SRAM and DRAM energy of LLaMA-13B in percent of FP-FP's total."""
        figure = self.published["fig17_llama13b_energy_percent_of_fp_fp"]

        def rows() -> Iterator[Row]:
            for label in self.published["fig16_geomean_over_9_models_wikitext2"]["designs"]:
                shares = [self._shares(label, tiling) for tiling in ("model", "search")]
                yield (label, *shares, " / ".join(map(str, figure[label])))

        return _table("design,one tile per model,search,published", rows())

    def tolerances(self) -> str:
        """Fig. 18: LLaMA-13B at 0.1 %; the combination at 5 % is not published."""
        point = self.published["fig18_llama13b_over_fp_fp"]["0.1%"]
        rows = [
            (name.replace("_", " "), *_compared(self.ratio(SPLIT_MODEL, "Anda 0.1%", name, "model"), value))
            for name, value in point.items()
        ]
        return _table("LLaMA-13B at 0.1 %,ours,published,deviation", rows)

    def ratio(self, model: str, label: str, quantity: str, tiling: str) -> float:
        """A quantity of Fig. 16 for one model."""
        ours, base = self.run(model, label, tiling), self.run(model, "FP-FP", tiling)
        if quantity == "energy_efficiency":
            return base.energy_pj.total / ours.energy_pj.total
        speedup = base.cycles / ours.cycles
        return speedup if quantity == "speedup" else speedup * base.area_mm2 / ours.area_mm2

    def _shares(self, label: str, tiling: str) -> str:
        ours, base = (self.run(SPLIT_MODEL, name, tiling).energy_pj for name in (label, "FP-FP"))
        return " / ".join(f"{100 * part / base.total:.0f}" for part in (ours.compute, ours.sram, ours.dram))

    def _combinations(self, tolerance: str) -> dict[str, list[int]]:
        return self.published["wikitext2"][f"combination_{tolerance}"]

    def _run(self, model: str, label: str, tiling: str) -> SimulationResult:
        """One of the designs of Fig. 16, such as ``FIGNA`` or ``Anda 0.1%``, at 2048 tokens."""
        name, _, tolerance = label.partition(" ")
        precision = Precision(*self._combinations(tolerance or "1%")[model])
        return simulate(gemms(model_shape(model), tokens=2048), name.lower(), precision, tiling=tiling)


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
                    for level in ("closed", "events")
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
    return f"{ours:.2f}", f"{published:.2f}", f"{100 * (ours / published - 1):+.1f} %"


def _table(header: str, rows: Iterable[Row]) -> str:
    names = header.split(",")
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
