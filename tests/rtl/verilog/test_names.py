"""Names in the RTLIL of every design, which Verilog and waveforms take over."""

import re

import pytest
from anda_codesign.rtl import create_design, design_names
from anda_codesign.rtl.rtlil import to_rtlil
from anda_codesign.rtl.verilog.emit import design_parameters

SMALL = {
    "accelerator": {
        "memory_bits": 256,
        "affine": True,
        "midpoint": True,
        "nearest": True,
        "skipping": True,
    },
    "matrix-engine": {"affine": True, "midpoint": True, "skipping": True},
    "matrix-unit": {"tree": "carry-save", "operand_isolation": True},
    "anda-pe-scaled": {"tree": "carry-save", "stages": 3, "adder_stages": 2},
    "fp-int-pe": {"stages": 4, "adder_stages": 2, "interleave": 2},
}
SIZES = {"rows": 2, "columns": 2, "lanes": 4, "outputs": 2}


@pytest.mark.parametrize("name", design_names())
def test_names_say_what_they_are(name: str) -> None:
    """No name has a ``$`` (``$signal``, ``port$3``) or a Python literal. Amaranth's own ``$1``, of expressions, stay."""
    sizes = {size: value for size, value in SIZES.items() if size in design_parameters(name)}
    modules = to_rtlil(create_design(name, **sizes, **SMALL.get(name, {})), name.replace("-", "_"))
    lines = [line for text in modules.values() for line in text.splitlines() if "attribute" not in line]
    found = {token for line in lines for token in re.findall(r"\\\S+", line)}
    assert found
    assert not [token for token in found if "$" in token or re.search("True|False|None", token)]
