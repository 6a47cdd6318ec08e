"""Sweeps over shapes and dataflows of the array give the numbers of single simulations, by the kernel and without it."""

from pathlib import Path

from anda_codesign.experiments.sweep.spec import SweepSpec

import anda_codesign


def rows_of(spec: SweepSpec, folder: Path) -> list[dict[str, object]]:
    return anda_codesign.sweep(file=spec, out=folder).to_frame().to_dict("records")  # pyright: ignore


def test_shapes_and_dataflows_as_fields(tmp_path: Path):
    spec = SweepSpec(
        models=("OPT-125M",),
        archs=("anda",),
        precisions=("7,5,6,6",),
        phases=("decode",),
        tokens=(1,),
        contexts=(100,),
        architecture={
            "array.dataflow": ("output-stationary", "weight-stationary", "input-stationary"),
            "array": ("16x16", "1x256", "16x16/1x256"),
            "array.count": (1, 2),
            "weight_buffer.port": ("1024 bit", "16384 bit"),
        },
    )
    rows = rows_of(spec, tmp_path / "out")
    assert len(rows) == 36
    wide = {
        (row["array_dataflow"], row["array"], row["array_count"]): row
        for row in rows
        if row["weight_buffer_port"] == 1024
    }
    for flow, shape, count in wide:
        row = wide[flow, shape, count]
        if count == 1:
            alone = anda_codesign.simulate(
                model="OPT-125M",
                arch="anda",
                precision="7,5,6,6",
                phase="decode",
                tokens=1,
                context=100,
                array=shape,
                dataflow=flow,
            )
            assert (row["cycles"], row["energy_total_pj"]) == (alone.cycles, alone.energy_pj.total)
        if "/" in str(shape):
            assert row["cycles"] == wide[flow, "1x256", count]["cycles"]
