"""Weight formats by the text of a registered quantisation method, such as ``gptq bits=3 group_size=64``, as memory and array see them.

Beside the members of `WeightQuantizer`, a method may state fields of the machine's weight format, `sim.config.weights.WeightConfig`, under
``weight_config``: ``{"bits": 3, "table_bits": 128, "digits": 2, "decode_cycles": 4}``. The others follow from the method itself:

* ``bits`` of a code: its attribute ``bits``, or the whole part of ``average_bits()``.
* ``group_size``: its attribute ``group_size``, or 128.
* ``scale_bits``: the rest of ``average_bits()``, of a group.

A user's own method is held to its bits: a sample is quantised, and its packed bytes are compared with what the machine would store.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from .errors import InputError
from .own_classes import TOLERANCE, attempt, build, is_built_in, read_member
from .plugins import load_entry_points
from .weight_registry import methods, packed_formats
from .words import Plain, name_and_parameters

EXAMPLE = "gptq bits=3"
CHANNELS = 4096
"""Input channels for which ``average_bits()`` is taken apart."""
GROUP_SIZE = 128
LOWEST = {"bits": 1, "group_size": 1, "table_bits": 0, "pointer_bits": 0, "sparse_bits": 0}
"""Lowest values of the fields that ``scale_bits`` follows from."""
SAMPLE = (512, 64)
"""Input and output channels of the matrix that a method of a user's own quantises."""


@dataclass(frozen=True)
class NamedWeights:
    """A quantisation method, read once from its text.

    Attributes
    ----------
    text
        The text, as columns show it.
    name
        Name in the registry.
    parameters
        Names and values of its parameters.
    """

    text: str
    name: str
    parameters: tuple[tuple[str, Plain], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name and parameters; `InputError` for a word that is no parameter."""
        return cls(" ".join(text.split()), *name_and_parameters(EXAMPLE, "weights", text))

    @property
    def registered(self) -> Any:
        """The class of the method; None if none is registered under the name.

        Raises
        ------
        InputError
            The name is that of a packed format.
        """
        if self.name not in methods.names():
            load_entry_points()
        if self.name in methods.names():
            return methods.find(self.name)
        if self.name in packed_formats.names():
            raise InputError(
                f"weights: {self.name} is a packed format, which has no bits without weights; name the method that makes it"
            )
        return None

    def build(self) -> Any:
        """The method; `InputError` if a parameter is wrong."""
        return build("weights", self.text, self.registered, dict(self.parameters))

    def config(self) -> dict[str, Any]:
        """Fields of the machine's weight format.

        Raises
        ------
        InputError
            A member fails, is of a wrong type, or contradicts another.
        """
        method = self.build()
        stated = read_member("weights", method, "weight_config", {})
        if not isinstance(stated, Mapping) or not all(isinstance(name, str) for name in stated):
            raise InputError(f"weights: weight_config of {self.name} is {stated!r}; return a dict of fields")
        average = self._average(method)
        config: dict[str, Any] = {
            "name": self.text,
            "title": f"{self.text}, by a registered method",
            "source": str(read_member("weights", method, "source")),
            "method": self.text,
            "bits": read_member("weights", method, "bits", math.floor(average)),
            "group_size": read_member("weights", method, "group_size", GROUP_SIZE),
            **stated,
        }
        return {"scale_bits": self._scale_bits(config, average), **config}

    def _scale_bits(self, config: Mapping[str, Any], average: float) -> int:
        """Bits of a group beside its codes: what the average leaves after all that is stated."""
        for name, lowest in LOWEST.items():
            value = config.get(name, lowest)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise InputError(f"weights: {name} of {self.name} is {value!r}; state a whole number in weight_config")
        sparse = config.get("sparse_fraction", 0.0)
        if isinstance(sparse, bool) or not isinstance(sparse, int | float) or not 0 <= sparse <= 1:
            raise InputError(f"weights: sparse_fraction of {self.name} is {sparse!r}; state a share from 0 to 1")
        rest = (average - config["bits"]) * CHANNELS - config.get("table_bits", 0) - config.get("pointer_bits", 0)
        rest -= math.ceil(CHANNELS * sparse) * config.get("sparse_bits", 0)
        if rest < -TOLERANCE * average * CHANNELS and "scale_bits" not in config:
            raise InputError(
                f"weights: average_bits of {self.name} is {average:.4g}, less than its codes, tables and sparse weights take; correct "
                "average_bits, or state scale_bits in weight_config"
            )
        return max(math.ceil(rest / -(-CHANNELS // config["group_size"]) - 1e-6), 0)

    def _average(self, method: Any) -> float:
        average = attempt("weights", method, "average_bits", lambda: method.average_bits())  # noqa: PLW0108 - to look it up may fail, too
        if isinstance(average, bool) or not isinstance(average, int | float) or not 1 <= average <= 64:
            raise InputError(
                f"weights: average_bits of {self.name} is {average!r}; return a number of bits from 1 to 64"
            )
        return float(average)

    def check_honest(self, channel_bits: Callable[[int], Any]) -> None:
        """Check the packed bytes of a user's own method on a sample; methods of this package pass.

        Parameters
        ----------
        channel_bits
            Bits of an output channel of so many input channels, as the machine stores it.

        Raises
        ------
        InputError
            It fails, its packed bytes do not hold the weights, or they are more than it says.
        """
        if not is_built_in(self.registered):
            self._verify(channel_bits)

    def _verify(self, channel_bits: Callable[[int], Any]) -> None:
        rng, method = np.random.default_rng(0), self.build()
        w = rng.standard_normal(SAMPLE, np.float32)
        inputs = rng.standard_normal((2 * SAMPLE[0], SAMPLE[0]))
        statistics = {
            "hessian": (inputs.T @ inputs / len(inputs),),
            "fisher": (np.square(rng.standard_normal(SAMPLE)),),
        }
        try:
            packed = method.quantize(w, *statistics.get(method.statistic, ()))
            image = packed.pack()
            taken = 8 * sum(array.nbytes for array in image.arrays.values()) / w.size
            decoded, unpacked = np.asarray(packed.decode()), np.asarray(type(packed).unpack(image).decode())
        except Exception as error:  # the method may do anything
            raise InputError(
                f"weights: {self.name} cannot quantise and pack a sample of {list(SAMPLE)} weights ({type(error).__name__}: {error}); "
                "fix quantize, pack and unpack"
            ) from None
        if decoded.shape != SAMPLE or decoded.dtype.kind != "f" or not np.isfinite(decoded).all():
            raise InputError(
                f"weights: {self.name} decodes {list(SAMPLE)} to {decoded.dtype} {list(decoded.shape)}; return finite float32 weights "
                "of that shape"
            )
        if not np.array_equal(decoded, unpacked):
            raise InputError(
                f"weights: {self.name} packs bytes that unpack to other weights; let pack keep all that decode needs"
            )
        said = channel_bits(SAMPLE[0]) / SAMPLE[0]
        if taken > said * (1 + TOLERANCE):
            raise InputError(
                f"weights: {self.name} packs {taken:.4g} bits a weight and says {said:.4g}; correct average_bits and weight_config, or pack"
            )
