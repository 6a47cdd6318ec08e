"""The answer of the report: the recommended precision beside the baselines at equal loss, how sure it is, and what to run next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, TypeAlias

from ...workloads.evaluation.sequential import ERROR, LEAST_BLOCKS, blocks_needed, decide
from ...workloads.evaluation.statistics import Estimate
from .. import amounts

if TYPE_CHECKING:
    import pandas as pd

Row: TypeAlias = Mapping[Any, Any]
"""A row of the report's table."""

TOLERANCE = 0.01
VERDICTS = {"below": "below 1 % loss", "above": "above 1 % loss", "undecided": "undecided at 1 % loss"}
MOST_BLOCKS = 64
"""Most blocks that a further report is asked for; a search, which stops earlier, decides what needs more."""


@dataclass(frozen=True)
class Answer:
    """The answer that a table of points gives.

    Attributes
    ----------
    baseline
        The machine that all points are compared with.
    decided
        Precision with the fewest bit operations that is decided to be within the tolerance; None if no precision is.
    candidate
        Precision with fewer bit operations whose measured loss is within the tolerance, but not decided; None if there is none.
    rival
        Machine of fixed width that needs the least energy within the same tolerance; None if none is within it.
    """

    baseline: Row
    decided: Row | None
    candidate: Row | None
    rival: Row | None

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Answer:
        """Read the answer from the table of `points_frame`."""
        rows: Sequence[Row] = frame[frame["loss_percent"].notna()].to_dict("records")
        precisions = [row for row in rows if row["kind"] in ("uniform", "mixed")]
        precisions.sort(key=lambda row: row["bops_saving"], reverse=True)
        decided = next((row for row in precisions if verdict(row) == "below"), None)
        cheaper = precisions if decided is None else precisions[: precisions.index(decided)]
        candidate = next((row for row in cheaper if verdict(row) == "undecided" and _seems_within(row)), None)
        machines = [row for row in rows if row["kind"] == "architecture" and _seems_within(row)]
        rival = min(machines, key=lambda row: row["energy_pj"], default=None)
        baseline: Row = frame[frame["kind"] == "baseline"].iloc[0].to_dict()
        return cls(baseline, decided, candidate, rival)

    @property
    def recommended(self) -> Row | None:
        """The decided precision, or else the candidate."""
        return self.candidate if self.decided is None else self.decided

    def headline(self) -> str:
        """The recommended precision, its loss, and whether it is decided."""
        row = self.recommended
        if row is None:
            return "No measured precision has a loss below 1 %."
        sure = "below 1 %" if row is self.decided else f"not decided to be below 1 % with {row['blocks']} blocks"
        return f"Recommended precision: {precision_text(row)}, loss {loss_text(row)}, {sure}."

    def comparison(self) -> tuple[Sequence[str], list[tuple[str, ...]]]:
        """Columns and rows of a table: the recommended precision beside the baseline and the best machine of fixed width."""
        machines = [row for row in (self.recommended, self.baseline, self.rival) if row is not None]
        rows = [(label, *(read(row) for row in machines)) for label, read in _QUANTITIES.items()]
        return ("", *map(short_name, machines)), rows

    def sentences(self) -> list[str]:
        """The answer in sentences: the precision, its gains, the rival, what is undecided, and how sure a verdict is."""
        found: list[str] = []
        for row, text in (
            (self.decided, "below 1 % loss"),
            (self.candidate, "measured below 1 % but undecided"),
        ):
            if row is not None:
                found.append(f"Fewest bit operations {text}: {precision_text(row)}, {gains(row)}.")
        if not found:
            found.append(self.headline())
        if self.recommended is not None:
            found += self.against_rival()
        found.append(self.how_sure())
        return found

    def against_rival(self) -> list[str]:
        """The recommended precision compared with the best machine of fixed width at the same tolerance, if there is one."""
        row, rival = self.recommended, self.rival
        if row is None or rival is None:
            return []
        return [
            f"Against {rival['label']} (loss {loss_text(rival)}), the machine of fixed width with the least energy below 1 %: "
            f"{_ratio(rival['cycles'], row['cycles'])} the speed, {_ratio(rival['energy_pj'], row['energy_pj'])} less energy, "
            f"{row['area_mm2'] / rival['area_mm2']:.2f} of the area."
        ]

    def undecided(self) -> list[str]:
        """The cheaper precision that is not decided, beside a recommended one that is."""
        if self.candidate is None or self.decided is None:
            return []
        return [f"Cheaper, but not decided to be below 1 %: {precision_text(self.candidate)}, {gains(self.candidate)}."]

    def how_sure(self) -> str:
        """How sure verdicts are."""
        return (
            f"A verdict is wrong in {100 * ERROR:g} % of cases (Student's t on the differences of blocks); fewer than "
            f"{LEAST_BLOCKS} blocks give none."
        )

    def next_commands(self, model: str, shape: str) -> list[tuple[str, str]]:
        """Commands to run next, each with its reason.

        Parameters
        ----------
        model
            The model as the report was asked for it.
        shape
            The model as `anda simulate` takes it.
        """
        found: list[tuple[str, str]] = []
        if self.candidate is not None and (blocks := _blocks_to_decide(self.candidate)):
            command = f"anda report --model {model} --blocks {blocks} --out reports/more"
            found.append((command, f"decides {self.candidate['precision']}"))
        found.append((f"anda search --model {model}", "tries every module's width, with blocks until decided"))
        if self.recommended is not None:
            machines = ",".join(
                row["architecture"] for row in (self.recommended, self.baseline, self.rival) if row is not None
            )
            command = (
                f"anda simulate --model {shape} --precision {self.recommended['precision']} --arch {machines} --whole"
            )
            found.append((command, "attention, vector unit and head, too"))
        return found


def verdict(row: Row) -> str:
    """Compare a loss with the tolerance: ``below``, ``above`` or ``undecided``."""
    decision = decide(_estimate(row), 100 * TOLERANCE)
    return {"within": "below", "beyond": "above", "undecided": "undecided"}[decision]


def loss_text(row: Row) -> str:
    """A loss with its interval and what it rests on."""
    return f"{row['loss_percent']:+.2f} ± {_estimate(row).half_width():.2f} % (95 %, {row['blocks']} blocks)"


def gains(row: Row) -> str:
    """Loss of a point, and what it saves against the baseline."""
    return (
        f"loss {loss_text(row)}, {row['bops_saving']:.2f}x fewer bit operations, {row['speedup']:.2f}x the speed and "
        f"{row['energy_saving']:.2f}x less energy than FP-FP, at {row['area_ratio']:.2f} of its area"
    )


def precision_text(row: Row) -> str:
    """A precision as ``[8,6,8,7] mantissa bits for qkv, o, u, d``."""
    return f"[{row['precision']}] mantissa bits for qkv, o, u, d"


def short_name(row: Row) -> str:
    """Name of a point: a precision of Anda, an architecture or a format."""
    return f"anda {row['precision']}" if isinstance(row["precision"], str) else str(row["label"])


def _ratio(theirs: float, ours: float) -> str:
    return f"{theirs / ours:.2f}x"


_QUANTITIES: Mapping[str, Callable[[Row], str]] = {
    "loss": lambda row: f"{row['loss_percent']:+.2f} ± {_estimate(row).half_width():.2f} %",
    "blocks": lambda row: str(row["blocks"]),
    "time": lambda row: amounts.seconds(row["seconds"]),
    "energy": lambda row: amounts.energy(row["energy_pj"]),
    "area": lambda row: amounts.area(row["area_mm2"], " mm²"),
    "speed, FP-FP = 1": lambda row: f"{row['speedup']:.2f}",
    "energy, FP-FP = 1": lambda row: f"{1 / row['energy_saving']:.2f}",
    "area, FP-FP = 1": lambda row: f"{row['area_ratio']:.2f}",
}


def _estimate(row: Row) -> Estimate:
    return Estimate(row["loss_percent"], row["standard_error_percent"], int(row["blocks"]))


def _seems_within(row: Row) -> bool:
    """True if the measured loss is within the tolerance, whatever its interval."""
    return row["loss_percent"] <= 100 * TOLERANCE


def _blocks_to_decide(row: Row) -> int | None:
    """Blocks after which a verdict on a point is expected; None if these are more than `MOST_BLOCKS`."""
    estimate = _estimate(row)
    spread, distance = estimate.standard_error * sqrt(estimate.blocks), abs(estimate.value - 100 * TOLERANCE)
    needed = blocks_needed(spread, distance, looks=1)
    return needed if needed is not None and needed <= MOST_BLOCKS else None
