import csv
from pathlib import Path

import pytest
import yaml
from anda_codesign.formats import InputError
from anda_codesign.sim import architecture_names, load_architecture, load_technology, simulate
from anda_codesign.sim.config.architecture import BufferConfig
from anda_codesign.sim.config.sram import SramTable
from anda_codesign.sim.cost.cacti import DEVICES, FIELDS, TABLE, configurations, main
from anda_codesign.sim.cost.energy import unit_costs
from anda_codesign.workloads import Gemm, Precision, gemms, model_shape

WORK = [Gemm("u", 64, 1024, 512)]
UNIFORM = Precision.uniform(7)


def rows() -> list[dict[str, str]]:
    return list(csv.DictReader(TABLE.read_text().splitlines()))


def table() -> SramTable:
    sram = load_technology("cacti-16nm").sram
    assert sram is not None
    return sram


def test_one_energy_per_bit_for_all_sizes_is_noted():
    """The published powers are of one size; the built-in machines have it, with or without an exponent buffer."""
    for name in architecture_names():
        assert unit_costs(load_architecture(name), load_technology()).notes == ()
    anda = load_architecture("anda")
    small = anda.model_copy(update={"weight_buffer": anda.weight_buffer.model_copy(update={"capacity_bytes": 1 << 19})})
    [note] = unit_costs(small, load_technology()).notes
    assert note.startswith("weight_buffer: technology paper-16nm has one energy per bit for buffers of all sizes")
    assert not any("one energy" in note for note in unit_costs(small, load_technology("cacti-16nm")).notes)


def test_the_table_has_every_configuration():
    keys = [(row["device"], int(row["port_bits"]), int(row["capacity_bytes"])) for row in rows()]
    assert keys == list(configurations())
    assert list(rows()[0]) == list(FIELDS)


def test_a_row_of_the_table_comes_back_scaled():
    row = next(r for r in rows() if r["device"] == "itrs-lop" and r["capacity_bytes"] == str(1 << 20))
    macro = table().macro("weight_buffer", 1 << 20, 1024)
    assert macro.area_mm2 == pytest.approx(float(row["area_mm2"]) * 16 / 22, rel=1e-3)
    assert macro.read_pj == pytest.approx(float(row["read_pj"]) * (16 / 22) ** 0.5, rel=1e-3)
    assert macro.write_pj == pytest.approx(float(row["write_pj"]) * (16 / 22) ** 0.5, rel=1e-3)
    assert macro.leakage_mw == pytest.approx(float(row["leakage_mw"]) * 0.79 * (16 / 22) ** 0.5, rel=1e-3)


def test_between_two_rows_logarithms_are_interpolated():
    low, middle, high = (table().macro("weight_buffer", int(2**e), 1024) for e in (19, 19.5, 20))
    for field in ("area_mm2", "read_pj", "write_pj", "leakage_mw"):
        expected = (getattr(low, field) * getattr(high, field)) ** 0.5
        assert getattr(middle, field) == pytest.approx(expected, rel=1e-3)


def test_larger_memories_are_larger_and_cost_more():
    macros = [table().macro("weight_buffer", 1 << e, 1024) for e in range(14, 24)]
    for field in ("area_mm2", "read_pj", "leakage_mw"):
        values = [getattr(macro, field) for macro in macros]
        assert values == sorted(values)


def test_costs_of_a_machine():
    anda, technology = load_architecture("anda"), load_technology("cacti-16nm")
    costs, published = unit_costs(anda, technology), unit_costs(anda, load_technology())
    activation = table().macro("activation_buffer", 1 << 20, 1024)
    exponents = table().macro("exponent_buffer", 1 << 17, 80)
    assert costs.sram.activation_read_pj_per_bit == activation.read_pj / 1024
    assert costs.sram.weight_write_pj_per_bit == activation.write_pj / 1024
    leakage = 2 * activation.leakage_mw + exponents.leakage_mw
    assert costs.sram.leakage_pj_per_cycle == pytest.approx(leakage * 1e-3 / 285e6 * 1e12)
    assert costs.area_mm2["exponent_buffer"] == exponents.area_mm2
    for part in ("array", "compressor", "vector_unit", "controller"):
        assert costs.area_mm2[part] == published.area_mm2[part]


def test_only_buffers_differ_from_the_base():
    published, cacti = (simulate(WORK, "anda", UNIFORM, technology=t) for t in ("paper-16nm", "cacti-16nm"))
    assert cacti.cycles == published.cycles
    assert cacti.energy_pj.compute == published.energy_pj.compute
    assert cacti.energy_pj.dram == published.energy_pj.dram
    assert cacti.energy_pj.sram > published.energy_pj.sram


def test_leakage_costs_in_every_cycle():
    slow, fast = (load_technology("cacti-16nm").with_bandwidth(b) for b in (0.5, 256))
    runs = [simulate(WORK, "anda", UNIFORM, technology=technology) for technology in (slow, fast)]
    per_cycle = unit_costs(load_architecture("anda"), slow).sram.leakage_pj_per_cycle
    assert runs[0].energy_pj.sram - runs[1].energy_pj.sram == pytest.approx(
        per_cycle * (runs[0].cycles - runs[1].cycles)
    )


def test_all_kinds_of_machines_find_their_buffers():
    for name in ("anda", "fp-fp", "figna-m8"):
        result = simulate(gemms(model_shape("OPT-1.3B")), name, UNIFORM, technology="cacti-16nm")
        assert result.area_mm2 > simulate(WORK, name, UNIFORM).area_mm2


def test_memories_that_the_table_does_not_have():
    cases = (
        ({"capacity": "1 MiB", "port": "2048 bit"}, "weight_buffer.port: 2048 bit .*64 bit, 80 bit, 128 bit, 256 bit"),
        ({"capacity": "8 KiB", "port": "1024 bit"}, "weight_buffer.capacity: 8192 B .*16384 to 8388608 B"),
    )
    for buffer, expected in cases:
        machine = load_architecture("fp-fp").model_copy(update={"weight_buffer": BufferConfig(**buffer)})  # type: ignore[arg-type]
        with pytest.raises(InputError, match=f"^{expected}"):
            simulate(WORK, machine, UNIFORM, technology="cacti-16nm")


def mine(folder: Path, **changes: object) -> Path:
    source = Path(__file__).parents[3] / "sim" / "technology" / "cacti-16nm.yaml"
    data = yaml.safe_load(source.read_text())
    data["sram"] |= {key: value for key, value in changes.items() if key in data["sram"]}
    data |= {key: value for key, value in changes.items() if key not in data["sram"]}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_bad_tables(tmp_path: Path):
    cases = (
        ({"table": "none.csv"}, "sram.table: .*'none.csv'.* sram-cacti-22nm.csv"),
        ({"table": "../technology/sram-cacti-22nm.csv"}, "sram.table: there is no '../technology/.*"),
        ({"device": "hp"}, "sram.device: 'hp' .*itrs-lop, itrs-lstp"),
        ({"base": "3nm"}, "technology mine.yaml: base: '3nm' .*asap7, cacti-16nm, osu018, paper-16nm, sky130"),
    )
    for changes, expected in cases:
        with pytest.raises(InputError, match=f"^{expected}"):
            simulate(WORK, "anda", UNIFORM, technology=mine(tmp_path, **changes))


def test_the_script_runs_cacti_for_every_row(tmp_path: Path):
    """With a stand-in for CACTI that answers with the size it was asked for."""
    program = tmp_path / "obj_opt" / "cacti"
    program.parent.mkdir()
    header = "Area (mm2), Dynamic read energy (nJ), Dynamic write energy (nJ), Standby leakage per bank(mW)"
    program.write_text(
        "#!/bin/sh\n"
        "size=$(sed -n 's/^-size (bytes) //p' $2)\n"
        f'echo "{header}, Random cycle time (ns)" > $2.out\n'
        'echo "$size, 0.5, 0.25, 3, 2" >> $2.out\n'
    )
    program.chmod(0o755)
    out = tmp_path / "table.csv"
    main(["--cacti", str(tmp_path), "--out", str(out)])
    written = list(csv.DictReader(out.read_text().splitlines()))
    assert [(r["device"], int(r["port_bits"]), int(r["capacity_bytes"])) for r in written] == list(configurations())
    assert {r["device"] for r in written} == set(DEVICES)
    assert all((r["read_pj"], r["write_pj"], r["leakage_mw"]) == ("500", "250", "3") for r in written)
    whole_rows = [-(-int(r["capacity_bytes"]) * 8 // int(r["port_bits"])) * int(r["port_bits"]) // 8 for r in written]
    assert [float(r["area_mm2"]) for r in written] == [float(f"{size:.5g}") for size in whole_rows]


def test_the_script_needs_a_built_cacti(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        main(["--cacti", str(tmp_path)])
    assert str(caught.value).startswith(f"cacti: {str(tmp_path)!r} has no obj_opt/cacti")


def test_interpolation_and_slowness_are_noted():
    """1 MiB is a row of the table and fast enough; 1.5 MiB is neither a row, nor fast enough at twice the clock."""
    fast, between = table().macro("weight_buffer", 1 << 20, 1024), table().macro("weight_buffer", 3 << 19, 1024)
    assert fast.notes("weight_buffer", 285_000_000) == []
    assert between.between == (1 << 20, 1 << 21)
    interpolated = "weight_buffer: interpolated between memories of 1048576 and 2097152 B"
    row = {
        int(r["capacity_bytes"]): float(r["cycle_ns"])
        for r in rows()
        if r["device"] == "itrs-lop" and r["port_bits"] == "1024"
    }
    assert row[1 << 20] < between.cycle_ns < row[1 << 21]
    slow = f"weight_buffer: takes {between.cycle_ns:.2f} ns a cycle, more than the 1.00 ns of the clock; lower the clock or the capacity"
    assert between.notes("weight_buffer", 10**9) == [interpolated, slow]
