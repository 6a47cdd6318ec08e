"""The registry of weight quantisation methods."""

import subprocess
import sys

import numpy as np
import pytest
from anda_codesign.formats import InputError
from anda_codesign.formats.weight_registry import (
    read_weights,
    weight_quantizer,
    weight_quantizer_modes,
    weight_quantizers,
)
from anda_codesign.formats.weights import serialization as weight_file
from anda_codesign.formats.weights.base import WeightQuantizer
from anda_codesign.formats.weights.spqr.format import SpQRWeights


def test_every_name_builds_with_its_defaults() -> None:
    assert weight_quantizers() == ["rtn", "q4_1", "q8_0", "gptq", "kmeans", "squeezellm", "spqr"]
    for name in weight_quantizers():
        quantizer = weight_quantizer(name)
        assert quantizer.name == name
        assert quantizer.parameters.get("bits", 4) in (3, 4)
        assert weight_quantizer(name, **quantizer.parameters) == quantizer


def test_bad_names() -> None:
    with pytest.raises(InputError) as error:
        weight_quantizer("awq")
    assert str(error.value).startswith("method: 'awq' is not valid; choose one of rtn, ")
    with pytest.raises(InputError) as error:
        weight_quantizer("rtn", damping=1)
    assert str(error.value).startswith("damping: is not a parameter of rtn")
    with pytest.raises(InputError) as error:
        weight_quantizer("q8_0", bits=3)
    assert str(error.value).startswith("bits: is not a parameter of q8_0")


def test_import_does_not_load_the_compiler() -> None:
    program = (
        "import sys, anda_codesign.formats.weight_registry as methods\n"
        "methods.weight_quantizer('squeezellm')\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "quantizer", [q for name in weight_quantizers() for q in weight_quantizer_modes(name)], ids=repr
)
def test_published_settings_and_their_size(quantizer: WeightQuantizer) -> None:
    w = np.random.default_rng(0).standard_t(5, (576, 64))
    statistic = {"none": None, "hessian": np.eye(576), "fisher": np.ones(w.shape)}[quantizer.statistic]
    packed = quantizer.quantize(w, statistic)
    outliers = 32 * packed.sparse_fraction if isinstance(packed, SpQRWeights) else 0
    assert packed.bits_per_weight == pytest.approx(quantizer.average_bits(576) + outliers, abs=0.002)
    again = read_weights(packed.to_bytes())
    assert type(again) is type(packed)
    np.testing.assert_array_equal(again.decode(), packed.decode())


def test_unknown_format_in_a_file() -> None:
    with pytest.raises(InputError) as error:
        read_weights(weight_file.write("awq", weight_file.Image({}, {})))
    assert str(error.value).startswith("data: holds 'awq' weights")


def test_settings_of_an_unknown_method() -> None:
    with pytest.raises(InputError, match=r"^method: 'awq' "):
        weight_quantizer_modes("awq")
