"""Metrics of a user's own in sweeps: the example of docs/sweeps.md, formulas over them, keys, and what is refused."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anda_codesign.experiments.sweep.run import run_sweep, sweep_name
from anda_codesign.experiments.sweep.space.sampling import Sampling
from anda_codesign.experiments.sweep.spec import SweepSpec
from anda_codesign.formats import InputError
from anda_codesign.formats.plugins import load_plugin, load_plugins, registered
from cases import each

PAGE = Path(__file__).parents[3] / "docs/sweeps.md"
FILE = next(text for text in re.findall(r"```py\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "measure" in text)
NAME, COLUMN = "penalised-energy", "penalised_energy"
FIELDS: dict[str, Any] = {"models": ("OPT-125M",), "archs": ("anda",), "mantissa_bits": (6, 7, 8), "tokens": (16, 64)}


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    yield
    load_plugins(())


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], None]:
    def load(text: str) -> None:
        (tmp_path / "my_metric.py").write_text(text)
        load_plugin(tmp_path / "my_metric.py")

    return load


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[SweepSpec], str]:
    def refusal(spec: SweepSpec) -> str:
        with pytest.raises(InputError) as error:
            run_sweep(spec, tmp_path / "refused")
        assert "\n" not in str(error.value)
        return str(error.value)

    return refusal


def test_a_metric_is_a_column_that_formulas_use(load: Callable[[str], None], tmp_path: Path):
    load(FILE)
    spec = SweepSpec(
        **FIELDS, metrics=(NAME,), derived={"double": f"2 * {COLUMN}"}, constraints=(f"{COLUMN} > 0", "tokens > 16")
    )
    frame = run_sweep(spec, tmp_path / "out")
    assert len(frame) == 3
    assert list(frame[COLUMN]) == list(frame["energy_total_pj"] * 1e-12 / frame["tokens"])
    assert list(frame["double"]) == list(2 * frame[COLUMN])


def test_any_number_of_workers_gives_the_same(load: Callable[[str], None], tmp_path: Path):
    load(FILE)
    spec = SweepSpec(**FIELDS, metrics=(NAME,))
    one, two = (run_sweep(spec, tmp_path / f"{workers}", workers) for workers in (1, 2))
    assert one.equals(two)


def test_a_search_minimises_a_metric(load: Callable[[str], None], tmp_path: Path):
    load(FILE)
    sampling = Sampling(method="search", points=6, minimise=(COLUMN,))
    frame = run_sweep(SweepSpec(**FIELDS, metrics=(NAME,), sampling=sampling), tmp_path / "out")
    assert frame[COLUMN].min() > 0


def test_a_changed_metric_is_computed_anew(load: Callable[[str], None], tmp_path: Path):
    spec = SweepSpec(**FIELDS, metrics=(NAME,))
    load(FILE)
    name, before = sweep_name(spec, spec.points()[0]), run_sweep(spec, tmp_path / "out")
    load(FILE.replace("1e-12", "2e-12"))
    assert sweep_name(spec, spec.points()[0]) != name
    assert list(run_sweep(spec, tmp_path / "out")[COLUMN]) == list(2 * before[COLUMN])


def test_none_is_blank(load: Callable[[str], None], tmp_path: Path):
    load(FILE.replace("return row", "return None if row['tokens'] == 16 else row"))
    assert run_sweep(SweepSpec(**FIELDS, metrics=(NAME,)), tmp_path / "out")[COLUMN].isna().sum() == 3


@each(
    "case",
    [
        ("return row", "return 1 / 0 + row", "fails (ZeroDivisionError: division by zero)"),
        ('row["tokens"]', 'row["nothing"]', "fails (KeyError: 'nothing'); its row has the columns key, model"),
        ("return row", "return 'x' or row", "returns 'x'; return a number"),
        ("    def measure", "    def __init__(self, x): ...\n\n    def measure", "cannot be built"),
        (NAME, "cycles", "the column of cycles cannot be named cycles"),
    ],
)
def test_a_metric_that_fails_is_one_line(
    load: Callable[[str], None], refusal: Callable[[SweepSpec], str], case: tuple[str, str, str]
):
    right, wrong, reason = case
    load_plugins(())
    load(FILE.replace(right, wrong))
    (name,) = (found.name for found in registered() if found.kind == "metric")
    message = refusal(SweepSpec(**FIELDS, metrics=(name,)))
    assert message.startswith("metrics: ")
    assert reason in message


def test_a_metric_that_is_not_registered_is_one_line(refusal: Callable[[SweepSpec], str]):
    assert refusal(SweepSpec(**FIELDS, metrics=("os:system",))).startswith("metrics: 'os:system' is not registered; ")
