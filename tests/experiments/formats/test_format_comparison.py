"""Formats side by side: the ratio's definition, the records, the figure, and both commands."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from anda_codesign.experiments.cli import main
from anda_codesign.experiments.formats.format_comparison import (
    FormatComparison,
    comparison_figure,
    format_label,
    load_activations,
    measure_formats,
    published_formats,
    published_weight_methods,
    snr_db,
    trace_activations,
)
from anda_codesign.formats import InputError
from anda_codesign.formats.activations.registry import activation_format, activation_formats
from anda_codesign.formats.weight_registry import weight_quantizers
from anda_codesign.workloads import MODULES, Trace


def make_trace(seed=0, layers=(0, 3), channels=96):
    """A trace without weights: normal activations, one channel 30 times larger."""
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in layers:
        for module in MODULES:
            x = random.normal(size=(5, channels))
            x[:, 7] *= 30
            tensors[f"activations.{layer}.{module}"] = x.astype(np.float16)
    metadata = {"layers": list(layers), "linears": [], "weight_group_size": 32, "capture_version": 1, "tokens": 5}
    metadata |= {"model": "none", "model_sha256": "", "text_sha256": "", "dtype": "float16"}
    return Trace(metadata, tensors)


@pytest.fixture
def trace_file(tmp_path):
    path = tmp_path / "trace.safetensors"
    make_trace().save(path)
    return path


@pytest.fixture(scope="module")
def comparisons():
    return measure_formats(trace_activations([make_trace()]))


def test_the_ratio_is_signal_energy_over_noise_energy():
    x = np.array([[1.0, 1.25, 0, 0]], np.float16)
    # Two mantissa bits keep 1 and cut 1.25 to 1: the noise is 0.0625, the signal 1 + 1.5625.
    fmt = activation_format("anda", mantissa_bits=2, group_size=8)
    assert snr_db(fmt, [x]) == pytest.approx(10 * np.log10(2.5625 / 0.0625))


def test_layers_count_alike_however_large_their_values():
    fmt = activation_format("anda", mantissa_bits=4)
    x = np.random.default_rng(3).normal(size=(4, 64)).astype(np.float16)
    y = (np.random.default_rng(4).normal(size=(4, 64)) * 2.0**8).astype(np.float16)
    noise = [10 ** (-snr_db(fmt, [tensor]) / 10) for tensor in (x, y)]
    assert snr_db(fmt, [x, y]) == pytest.approx(-10 * np.log10(np.mean(noise)))


def test_exact_formats_have_an_infinite_ratio_and_no_number_in_json(comparisons):
    fp16 = comparisons[0]
    assert fp16.format.name == "fp16"
    assert set(fp16.snr_db.values()) == {float("inf")}
    assert set(fp16.record()["snr_db"].values()) == {None}
    assert snr_db(activation_format("mxfp4"), [np.zeros((2, 64), np.float16)]) == float("inf")


def test_every_format_is_compared_on_every_module(comparisons):
    assert [c.format for c in comparisons] == published_formats()
    assert {c.format.name for c in comparisons} == set(activation_formats())
    assert all(tuple(c.snr_db) == MODULES for c in comparisons)


def test_the_order_that_more_bits_must_give(comparisons):
    by_label = {format_label(c.format): c.snr_db for c in comparisons}
    for module in MODULES:
        anda = [by_label[f"anda {m}"][module] for m in range(1, 17)]
        assert anda == sorted(anda)
        assert by_label["figna 8"][module] == by_label["anda 8"][module]
        assert by_label["mxfp4"][module] <= by_label["mxfp6-e2m3"][module]
        assert by_label["fast 2"][module] <= by_label["fast 4"][module]


def test_a_module_without_activations_is_refused():
    with pytest.raises(InputError, match=r"^activations: qkv .*\[tokens, channels\]"):
        measure_formats({"qkv": []})


def test_a_folder_stands_for_all_its_traces(tmp_path, trace_file):
    make_trace(seed=1, layers=(5,)).save(tmp_path / "more.safetensors")
    activations = load_activations(tmp_path)
    assert {module: len(tensors) for module, tensors in activations.items()} == dict.fromkeys(MODULES, 3)
    assert len(load_activations(trace_file)["d"]) == 2


def test_a_folder_without_traces_is_refused(tmp_path):
    with pytest.raises(InputError, match=rf"^trace: {re.escape(str(tmp_path))} .*\.safetensors.*`anda trace capture`$"):
        load_activations(tmp_path)


def test_the_figure_shows_what_is_below_its_limit(comparisons):
    figure = comparison_figure(comparisons)
    assert [axes.get_title() for axes in figure.axes] == list(MODULES)
    for axes, module in zip(figure.axes, MODULES, strict=True):
        lines = axes.get_lines()
        assert [line.get_label() for line in lines] == activation_formats()
        for line in lines:
            shown = [c for c in comparisons if c.format.name == line.get_label() and c.snr_db[module] <= 100]
            np.testing.assert_array_equal(line.get_xdata(), [c.format.bits_per_value for c in shown])
            np.testing.assert_array_equal(line.get_ydata(), [c.snr_db[module] for c in shown])
    looks = {(line.get_marker(), line.get_markerfacecolor() == "white") for line in figure.axes[0].get_lines()}
    assert len(looks) == len(activation_formats())


def test_the_figure_of_a_format_that_is_exact_is_empty():
    comparison = FormatComparison(activation_format("fp16"), {"qkv": float("inf")})
    (line,) = comparison_figure([comparison]).axes[0].get_lines()
    assert len(line.get_xdata()) == 0


def test_the_command_lists_every_format(capsys):
    assert main(["formats", "--json", "-"]) == 0
    records = json.loads(capsys.readouterr().out)
    activation = [record for record in records if record["kind"] == "activation"]
    assert [record["name"] for record in activation] == [fmt.name for fmt in published_formats()]
    fast = [record for record in activation if record["name"] == "fast"]
    assert [record["bits_per_value"] for record in fast] == [3.3125, 6.3125]
    assert fast[0]["parameters"] == {"mantissa_bits": 2, "group_size": 16, "rounding": "truncate"}
    spqr = [record for record in records if record["name"] == "spqr"]
    assert [record["bits_per_weight"] for record in spqr] == [3.625, 3.875, 4.625]
    illm = [record for record in records if record["name"] == "illm"]
    assert [record["bits_per_weight"] for record in illm] == [8 + 24 / 4096, 6 + 24 / 4096, 4 + 24 / 4096]
    assert all(record["source"] for record in records)
    assert len(records) == len(activation) + len(published_weight_methods()) + len(illm)
    assert main(["formats"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in [*activation_formats(), *weight_quantizers()])


def test_the_command_compares_prints_and_plots(capsys, trace_file, tmp_path):
    assert main(["formats", "compare", "--trace", str(trace_file), "--json", "-"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert len(records) == len(published_formats())
    plot = tmp_path / "plot.svg"
    assert main(["formats", "compare", "--trace", str(trace_file), "--plot", str(plot)]) == 0
    assert plot.read_text().startswith("<?xml")
    printed = capsys.readouterr().out
    by_name = {record["name"]: record for record in records}
    row = next(line.split() for line in printed.splitlines() if line.split()[:1] == ["nvfp4"])
    ratios = [f"{by_name['nvfp4']['snr_db'][module]:.1f}" for module in MODULES]
    assert row == ["nvfp4", "4.500", "4", *ratios]
    assert "exact" in printed


def test_the_command_refuses_a_trace_that_is_not_there(capsys, tmp_path):
    path = tmp_path / "none.safetensors"
    assert main(["formats", "compare", "--trace", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"anda: error: trace: {path} does not exist")


@pytest.mark.slow
@pytest.mark.model
def test_the_table_in_the_docs_is_what_a_capture_gives(tmp_path):
    trace = tmp_path / "trace.safetensors"
    assert main(["trace", "capture", "--out", str(trace)]) == 0
    measured = {format_label(c.format): c for c in measure_formats(load_activations(trace))}
    text = (
        (Path(__file__).parents[3] / "docs" / "activation_formats.md").read_text().split("```text")[1].split("```")[0]
    )
    documented = [line.split() for line in text.splitlines() if len(line.split()) in (7, 8) and "SNR" not in line]
    assert [" ".join(row[:-6]) for row in documented] == list(measured)
    for *label, bits, cycles, qkv, o, u, d in documented:
        comparison = measured[" ".join(label)]
        assert (float(bits), int(cycles)) == (
            round(comparison.format.bits_per_value, 3),
            comparison.format.cycles_per_group,
        )
        ratios = [float("inf") if ratio == "exact" else float(ratio) for ratio in (qkv, o, u, d)]
        # Sums in another order may move a rounding by a unit in the last place.
        assert list(comparison.snr_db.values()) == pytest.approx(ratios, abs=0.2)
