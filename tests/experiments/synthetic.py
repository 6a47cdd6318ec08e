"""Made-up report points with the shape of real ones: for tests of tables, figures and pages, never shown as results."""

from collections.abc import Sequence

from anda_codesign.experiments.report.points import PointKind, SweepPoint
from anda_codesign.workloads import MODULES, PairedLoss, Precision

UNIFORM = {4: 750.0, 5: 52.0, 6: 8.0, 7: 0.8, 8: -0.4, 9: -0.43, 10: -0.24, 11: -0.13, 13: -0.02}
SINGLE = {"qkv": (137.0, 25.0, 4.0), "o": (5.4, 0.75, -0.07), "u": (301.0, 33.0, 7.0), "d": (24.0, 7.3, 2.1)}
FIXED = {
    "fp-int": (0.8, 0.0),
    "ifpu": (0.7, 0.0),
    "figna": (0.65, -0.02),
    "figna-m11": (0.6, -0.13),
    "figna-m8": (0.55, -0.4),
}
"""Scale and loss of the machines of fixed width."""


def point(
    kind: PointKind, architecture: str, precision: Precision | None, loss: float | None, scale: float
) -> SweepPoint:
    paired = None
    if loss is not None:
        error = 0.001 + abs(loss) / 5000 if loss else 0.0
        paired = PairedLoss(loss / 100, error, 20 * (1 + loss / 100), 20.0, 4088, blocks=8)
    record = {
        "bops_saving": 1 / scale,
        "cycles": int(1e8 * scale),
        "seconds": 0.3 * scale,
        "dram_bytes": int(1e8 * scale),
        "sram_bytes": int(4e8 * scale),
        "energy_pj": {"compute": 4.2e10 * scale, "sram": 1.1e10 * scale, "dram": 4.8e10 * scale},
        "area_mm2": 3.5 * (0.6 if architecture == "anda" else 1.0),
        "level": "analytical",
    }
    return SweepPoint(kind, architecture, precision, paired, record)


def points() -> Sequence[SweepPoint]:
    rows = [point("baseline", "fp-fp", None, 0.0, 1.0)]
    rows += [point("architecture", name, None, loss, scale) for name, (scale, loss) in FIXED.items()]
    rows += [point("uniform", "anda", Precision.uniform(m), loss, (m + 1) / 17) for m, loss in UNIFORM.items()]
    for module, losses in SINGLE.items():
        for bits, loss in zip((4, 5, 6), losses, strict=True):
            precision = Precision(*(bits if name == module else 16 for name in MODULES))
            rows.append(point("one module", "anda", precision, loss, 0.9 + bits / 100))
    rows.append(point("mixed", "anda", Precision(7, 5, 7, 6), 1.2, 0.44))
    rows.append(point("mixed", "anda", Precision(8, 6, 8, 7), -0.2, 0.5))
    return rows
