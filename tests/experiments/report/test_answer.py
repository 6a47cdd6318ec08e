"""The answer of the report on made-up points: what is recommended, beside which machine, and what to run next."""

import dataclasses

import pytest
from anda_codesign.experiments.report.answer import Answer, loss_text
from anda_codesign.experiments.report.machine import machine_points
from anda_codesign.experiments.report.plan import plan_points
from anda_codesign.experiments.report.points import SweepPoint, points_frame
from anda_codesign.experiments.report.table import rows_that_matter
from synthetic import points


def losses(**changed: tuple[float, float]) -> list[SweepPoint]:
    """The made-up points with other losses and standard errors in percent, by label without separators."""

    def new(point: SweepPoint) -> SweepPoint:
        name = "".join(filter(str.isalnum, point.label)).lower()
        if name not in changed or point.loss is None:
            return point
        loss, error = changed[name]
        return dataclasses.replace(
            point, loss=dataclasses.replace(point.loss, loss=loss / 100, standard_error=error / 100)
        )

    return [new(point) for point in points()]


def test_the_cheapest_decided_precision_beside_the_best_machine_at_equal_loss():
    answer = Answer.of(points_frame(points()))
    assert answer.decided is not None and answer.decided["precision"] == "8,6,8,7"
    assert answer.rival is not None and answer.rival["label"] == "figna-m8", "the least energy below 1 %"
    columns, rows = answer.comparison()
    assert columns == ("", "anda 8,6,8,7", "fp-fp", "figna-m8")
    table = {row[0]: row[1:] for row in rows}
    assert table["energy, FP-FP = 1"] == ("0.50", "1.00", "0.55")
    assert "1.10x the speed, 1.10x less energy" in answer.against_rival()[0]


def test_a_machine_beyond_the_tolerance_is_no_rival():
    answer = Answer.of(points_frame(losses(fignam8=(3.0, 0.1))))
    assert answer.rival is not None and answer.rival["label"] == "figna-m11"


@pytest.mark.parametrize(
    ("loss", "error", "candidate"), [(1.2, 0.3, False), (1.8, 0.6, False), (0.9, 0.25, True), (3.0, 0.1, False)]
)
def test_a_loss_measured_beyond_the_tolerance_is_not_within_reach(loss: float, error: float, candidate: bool):
    answer = Answer.of(points_frame(losses(**{"7576": (loss, error), "m7": (9.0, 0.1)})))
    assert (answer.candidate is not None) == candidate
    sentences = "\n".join(answer.sentences())
    assert ("measured below 1 % but undecided" in sentences) == candidate


def test_what_to_run_next_decides_the_candidate():
    answer = Answer.of(points_frame(losses(**{"7576": (0.7, 0.2), "m7": (9.0, 0.1)})))
    commands = [command for command, _ in answer.next_commands("smollm2-135m", "SmolLM2-135M")]
    assert commands[0].startswith("anda report --model smollm2-135m --blocks ")
    assert commands[1] == "anda search --model smollm2-135m"
    assert "--precision 8,6,8,7 --arch anda,fp-fp,figna-m8" in commands[2]


def test_without_a_precision_below_the_tolerance_there_is_no_recommendation():
    high = dict.fromkeys(("m7", "m8", "m9", "m10", "m11", "m13", "7576", "8687"), (20.0, 0.1))
    answer = Answer.of(points_frame(losses(**high)))
    assert answer.recommended is None
    assert answer.sentences()[0] == "No measured precision has a loss below 1 %."
    assert list(answer.comparison()[0]) == ["", "fp-fp", "figna-m8"]


def test_a_dozen_rows_on_the_screen():
    shown = rows_that_matter(points_frame(points()))
    assert len(shown) == 12 and "one module" not in set(shown["kind"])
    assert {"M = 6", "M = 7", "M = 8", "M = 9", "fp-fp", "figna-m8", "8,6,8,7"} <= set(shown["label"])


def test_machines_of_fixed_width_take_the_blocks_of_the_precision_with_their_values():
    machines = {point.arch: point for point in machine_points()}
    uniform = {point.precision[0]: point for point in plan_points() if point.kind == "uniform" and point.precision}
    assert next(iter(machines)) == "fp-fp" and "anda" not in machines
    for arch, bits in (("figna-m8", 8), ("figna-m11", 11), ("figna", 13)):
        assert machines[arch].hook == uniform[bits].hook
        assert machines[arch].blocks == uniform[bits].blocks
    assert machines["fp-fp"].hook == machines["fp-int"].hook
    assert (
        loss_text({"loss_percent": 0.0, "standard_error_percent": 0.0, "blocks": 8})
        == "+0.00 ± 0.00 % (95 %, 8 blocks)"
    )
