"""Activation formats as a dimension of a sweep: numbers of `simulate`, and keys that follow the format."""

from pathlib import Path

from anda_codesign.experiments.simulation import simulate
from anda_codesign.experiments.sweep.run import run_sweep
from anda_codesign.experiments.sweep.spec import SweepSpec

FORMATS = ("own", "mxint8", "anda mantissa_bits=6")


def test_formats_of_the_memory_are_a_dimension(tmp_path: Path):
    spec = SweepSpec(
        models=("SmolLM2-135M",), archs=("anda", "fp-fp"), mantissa_bits=(5, 7), tokens=(16,), activations=FORMATS
    )
    frame = run_sweep(spec, tmp_path / "out")
    assert len(frame) == 2 + 2 + 1 + 2  # widths count where the format leaves them open
    assert frame["key"].is_unique
    for row in frame.to_dict("records"):
        asked = None if row["activations"] == "own" else row["activations"]
        found = simulate(
            model=row["model"], arch=row["arch"], precision=row["precision"], tokens=16, activations=asked
        ).to_dict()
        assert (row["cycles"], row["dram_bytes"]) == (found["cycles"], found["dram_bytes"])
        assert row["energy_total_pj"] == found["energy_pj"]["total"]
