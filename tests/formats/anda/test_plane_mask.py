"""Zero-plane skipping: which planes are sent, against the mantissas."""

import numpy as np
import pytest
from anda_codesign.formats import AndaFormat, InputError
from anda_codesign.formats.anda.plane_mask import mean_group_cycles, plane_counts, sent_planes
from cases import each


@each("mantissa_bits", range(1, 17))
@pytest.mark.parametrize("group_size", [8, 64, 128])
@each("rows", [1, 3, 16])
def test_planes_that_are_sent_are_those_in_which_a_mantissa_has_a_one(
    mantissa_bits: int, group_size: int, rows: int
) -> None:
    rng = np.random.default_rng(mantissa_bits)
    x = rng.standard_normal((2, 5, 2 * group_size)) * 2.0 ** rng.integers(-12, 3, (2, 5, 2 * group_size))
    x[rng.random(x.shape) < 0.9] = 0
    tensor = AndaFormat(mantissa_bits, group_size).encode(x.astype(np.float16))
    mantissas = tensor.mantissas().reshape(10, 2, group_size)
    sent = sent_planes(tensor, rows)
    assert sent.shape == (-(-10 // rows), 2, mantissa_bits)
    for block, group, plane in np.ndindex(sent.shape):
        bits = mantissas[block * rows : (block + 1) * rows, group] >> (mantissa_bits - 1 - plane) & 1
        assert sent[block, group, plane] == (plane == 0 or bits.any())


def test_a_tensor_of_zeros_sends_the_first_plane_of_each_group() -> None:
    tensor = AndaFormat(7, 8).encode(np.zeros((4, 16), np.float16))
    assert plane_counts(tensor, 2).tolist() == [[1, 1], [1, 1]]
    assert mean_group_cycles(tensor, 2) == 4
    assert mean_group_cycles(tensor, 2, weight_load_cycles=1) == 2


def test_the_mean_takes_the_weights_time_group_by_group() -> None:
    x = np.zeros((1, 16), np.float16)
    x[0, 8], x[0, 9] = 1, 1 + 2**-6
    tensor = AndaFormat(7, 8).encode(x)
    assert plane_counts(tensor, 16).tolist() == [[1, 2]]
    assert mean_group_cycles(tensor, 16) == 4
    assert mean_group_cycles(tensor, 16, weight_load_cycles=2) == 2.5


def test_blocks_need_tokens() -> None:
    tensor = AndaFormat(7, 8).encode(np.zeros((4, 16), np.float16))
    with pytest.raises(InputError) as error:
        sent_planes(tensor, 0)
    assert str(error.value).startswith("rows: 0")
