"""Runs on arrays that are reshaped between phases, hold an operand, or stand beside others."""

import math

import pytest
from anda_codesign.formats import InputError
from anda_codesign.sim import (
    ModelSettings,
    Settings,
    explain,
    load_architecture,
    load_technology,
    not_modelled,
    prepare,
    run_inference,
    simulate,
    simulate_model,
)
from anda_codesign.sim.config.array import Array
from anda_codesign.sim.cost.energy import unit_costs
from anda_codesign.workloads import Gemm, Precision
from cases import each
from small_work import small_llama

PRECISION = Precision(7, 5, 6, 6)
FLOWS = ("weight-stationary", "input-stationary")


@each("level", ["analytical", "events"])
def test_a_reshaped_machine_has_the_shape_of_each_phase(level: str):
    """Prefill is that of 16 x 16, decode that of 1 x 256; a single pass in decode, too."""
    shape, asked = small_llama(), ModelSettings(batch=2)

    def run(array: str):
        return run_inference(shape, prepare("anda", Settings(level=level, array=array)), PRECISION, asked, 20, 4)

    both, prefill, decode = run("16x16/1x256"), run("16x16"), run("1x256")
    assert both.prefill.rows == prefill.prefill.rows
    assert both.decode is not None and decode.decode is not None and prefill.decode is not None
    assert both.decode.rows == decode.decode.rows
    assert both.decode.cycles != prefill.decode.cycles
    assert both.cycles == prefill.prefill.cycles + decode.decode.cycles
    single = simulate_model(
        shape, "anda", PRECISION, level, array="16x16/1x256", phase="decode", tokens=3, context=20, batch=2
    )
    assert single.cycles == decode.decode.cycles


@each("flow", FLOWS)
@each("level", ["analytical", "events"])
def test_parts_of_a_whole_model_sum_to_totals(flow: str, level: str):
    result = simulate_model(small_llama(), "anda", PRECISION, level, dataflow=flow, array="2x128", tokens=70, batch=2)
    rows = explain(result)
    totals = {
        what: math.fsum(row.total for row in rows if row.quantity == what)
        for what in ("cycles", "traffic", "energy", "area")
    }
    assert totals["cycles"] == pytest.approx(result.cycles)
    assert totals["traffic"] == pytest.approx(result.dram_bytes, rel=1e-4)
    assert totals["energy"] == pytest.approx(result.energy_pj.total)
    assert totals["area"] == pytest.approx(result.gemms.area_mm2)
    assert any(row.what == "partial sums, additions" for row in rows)
    assert any("registers of the operand" in line for line in not_modelled(result))


def test_area_and_work_of_several_arrays():
    """Four arrays have four times the elements, and nothing else more; wide ports let them take a quarter of the cycles."""
    one, four = (
        load_architecture("anda").model_copy(update={"array": Array(rows=16, columns=16, count=n)}) for n in (1, 4)
    )
    area, more = (unit_costs(machine, load_technology()).area_mm2 for machine in (one, four))
    assert more == {**area, "array": pytest.approx(4 * area["array"])}
    wide = four.weight_buffer.model_copy(update={"port_bits": 8192})
    gemm = Gemm("u", 256, 4096, 4096)
    alone = simulate([gemm], one, Precision.uniform(7))
    for split, buffer in (("output-channels", "weight_buffer"), ("tokens", "activation_buffer")):
        array = Array(rows=16, columns=16, count=4, split=split)  # type: ignore[arg-type]
        machine = four.model_copy(update={"array": array})
        shared = simulate([gemm], machine, Precision.uniform(7))
        freed = simulate([gemm], machine.model_copy(update={buffer: wide}), Precision.uniform(7))
        steps = 256 * 4096 * 4096 // (64 * 16 * 16 * 4)
        limit = 16 if split == "output-channels" else 32  # cycles of a step through the port of 1024 bit
        assert 0 <= shared.cycles - limit * steps < 200
        assert 0 <= freed.cycles - 8 * steps < 200
        assert alone.cycles > 4 * (freed.cycles - 200)
    with pytest.raises(InputError, match=r"^array.count: the circuit of level cycle has one array"):
        simulate([Gemm("u", 16, 64, 16)], four, Precision.uniform(7), level="cycle")


def test_adders_and_what_the_circuit_lacks():
    """An adder for each column: of 16, what 16 multiply-accumulates of FP-FP take, whose array has 1024 of them."""
    technology = load_technology()
    reference = unit_costs(load_architecture("fp-fp"), technology).area_mm2["array"]
    for flow in FLOWS:
        machine = prepare("anda", Settings(dataflow=flow)).machine  # type: ignore[arg-type]
        assert unit_costs(machine, technology).area_mm2["accumulators"] == pytest.approx(16 * reference / 1024)
        for text, settings in (
            ("array.dataflow: the circuit of level cycle holds outputs", {"level": "cycle"}),
            ("weights: the side unit of spqr-3 adds to outputs", {"weights": "spqr-3"}),
            ("group_cycles: they are of planes", {"group_cycles": {"u": 7.0}}),
            ("mapping: the rule model is for output-stationary", {"mapping": "model"}),
            ("mapping: activations alone is a mapping of", {"mapping": "activations:16"}),
            (f"mapping: the sums of a {flow} array leave it", {"mapping": "activations:16x256x64:double/double:array"}),
        ):
            with pytest.raises(InputError) as caught:
                simulate([Gemm("u", 16, 256, 64)], "anda", Precision.uniform(7), dataflow=flow, **settings)  # type: ignore[arg-type]
            assert str(caught.value).startswith(text)
            assert "\n" not in str(caught.value)
