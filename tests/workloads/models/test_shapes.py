import re

import pytest
from anda_codesign.formats import InputError
from anda_codesign.workloads import gemms, model_names, model_shape

# Parameters that the publications state, in billions: linear layers, embeddings (tied once), without norms and biases.
PUBLISHED_PARAMETERS = {
    "OPT-125M": 0.125,
    "OPT-1.3B": 1.3,
    "OPT-2.7B": 2.7,
    "OPT-6.7B": 6.7,
    "OPT-13B": 13.0,
    "OPT-30B": 30.0,
    "OPT-66B": 66.0,
    "LLaMA-7B": 6.7,
    "LLaMA-13B": 13.0,
    "LLaMA-30B": 32.5,
    "LLaMA-65B": 65.2,
    "LLaMA2-7B": 6.7,
    "LLaMA2-13B": 13.0,
    "LLaMA2-70B": 69.0,
    "LLaMA3-8B": 8.0,
    "LLaMA3-70B": 70.6,
    "SmolLM2-135M": 0.1345,
}


def test_names_are_the_published_ones():
    assert model_names() == list(PUBLISHED_PARAMETERS)


def test_parameters_match_the_publication():
    for name in PUBLISHED_PARAMETERS:
        shape = model_shape(name)
        linear = sum(g.in_channels * g.out_channels * g.repeat for g in gemms(shape, tokens=1))
        tied = shape.family == "opt" or name == "SmolLM2-135M"
        embedding = shape.vocabulary * shape.hidden * (1 if tied else 2)
        positions = (shape.max_length + 2) * shape.hidden if shape.family == "opt" else 0
        assert (linear + embedding + positions) / 1e9 == pytest.approx(PUBLISHED_PARAMETERS[name], rel=0.025)


def test_shapes_are_consistent():
    for name in PUBLISHED_PARAMETERS:
        shape = model_shape(name)
        assert shape.hidden == shape.heads * shape.head_dim
        assert shape.heads % shape.kv_heads == 0
        assert shape.gated == (shape.family == "llama")
        assert "arXiv" in shape.source


def test_case_does_not_matter():
    assert model_shape("llama-13b") is model_shape("LLaMA-13B")
    assert model_shape("LLAMA-13B").name == "LLaMA-13B"


def test_unknown_model_lists_those_that_exist():
    message = f"model: 'GPT-2' is unknown; choose one of {', '.join(model_names())}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        model_shape("GPT-2")
