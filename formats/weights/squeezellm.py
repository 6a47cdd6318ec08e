"""SqueezeLLM: a look-up table per output channel from sensitivity-weighted k-means, and a sparse matrix.

Source: Kim et al., SqueezeLLM (arXiv 2306.07629), and its released code; this follows the steps of the code.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_positive
from ..errors import InputError
from .base import Statistic, check_statistic, check_weights
from .bit_packing import check_codes, pack_codes, unpack_codes
from .dense_sparse import DenseSparseWeights, SparseWeights
from .grouped_int import check_code_bits
from .kmeans import Solver, nearest, weighted_kmeans
from .serialization import Image

__all__ = [
    "KMeans",
    "SqueezeLLM",
    "SqueezeLLMWeights",
    "average_bits",
    "iqr_multiplier",
    "iqr_threshold",
    "pack_codes",
    "unpack_codes",
]

COLUMN_BITS = 32
ROW_OFFSET_BITS = 32

SparseDtype = Literal["float16", "float32"]


def average_bits(in_channels: int, bits: int, sparse_fraction: float = 0.0, value_bits: int = 16) -> float:
    """Storage of a weight in bits: ``b + 16 * 2^b / in + (value_bits + 32) r + 32 / in``.

    The terms are the code, the FP16 table of the output channel, a value and a 32-bit column for each sparse entry (a
    share ``r`` of the weights), and the row offset. Without sparse entries there are no row offsets.

    >>> round(average_bits(4096, 3, 0.0045), 3)
    3.255
    """
    sparse = (value_bits + COLUMN_BITS) * sparse_fraction + (ROW_OFFSET_BITS / in_channels if sparse_fraction else 0)
    return bits + 16 * 2**bits / in_channels + sparse


@dataclass(frozen=True, eq=False)
class SqueezeLLMWeights(DenseSparseWeights):
    """Weight matrix of look-up tables and codes, and a sparse matrix that is added to it.

    Parameters
    ----------
    codes
        uint8 ``[in, out]``, in 0..2^bits - 1.
    tables
        float16 ``[out, 2^bits]``, finite.
    sparse_part
        Sparse part with uint32 columns.

    Raises
    ------
    InputError
        A dtype, shape or value does not fit.
    """

    name: ClassVar[str] = "squeezellm"
    source: ClassVar[str] = "Kim et al., SqueezeLLM (arXiv 2306.07629), section 4, and its released code"

    codes: NDArray[np.uint8]
    tables: NDArray[np.float16]
    sparse_part: SparseWeights

    def __post_init__(self) -> None:
        check_code_bits(self.bits)
        if check_codes("codes", self.codes, self.bits).shape != self.shape:
            raise InputError(
                f"codes: have shape {list(self.codes.shape)}; give the shape of the sparse part, {list(self.shape)}"
            )
        expected = (self.shape[1], 1 << self.bits)
        if self.tables.dtype != np.float16 or self.tables.shape != expected or not np.isfinite(self.tables).all():
            found = f"{self.tables.dtype} {list(self.tables.shape)}"
            raise InputError(f"tables: are {found}; give finite float16 {list(expected)}")

    @property
    def bits(self) -> int:
        """Width of a code."""
        return self.tables.shape[-1].bit_length() - 1

    @property
    def sparse(self) -> SparseWeights:
        """Sparse part."""
        return self.sparse_part

    @property
    def bits_per_weight(self) -> float:
        """Storage of a weight in bits, by `average_bits`."""
        return average_bits(self.shape[0], self.bits, self.sparse_fraction, 8 * self.sparse.values.itemsize)

    def dense(self) -> NDArray[np.float16]:
        """Table entries of the codes, float16 ``[in, out]``."""
        return self.tables[np.arange(self.shape[1]), self.codes]

    def pack(self) -> Image:
        """Pack codes into 32-bit words along the input channels (`pack_codes`), with tables and CSR arrays if not empty."""
        arrays: dict[str, NDArray[Any]] = {"codes": pack_codes(self.codes, self.bits), "tables": self.tables}
        if self.sparse.entries:
            arrays |= {"row_offsets": self.sparse.row_offsets, "columns": self.sparse.columns}
            arrays["values"] = self.sparse.values
        return Image({"channels": self.shape[0], "bits": self.bits, "values": str(self.sparse.values.dtype)}, arrays)

    @classmethod
    def unpack(cls, image: Image) -> Self:
        """Inverse of `pack`."""
        parameters, arrays = image
        codes = unpack_codes(arrays["codes"], parameters["bits"], parameters["channels"]).astype(np.uint8)
        shape = (codes.shape[0], codes.shape[1])
        if "row_offsets" in arrays:
            sparse = SparseWeights(shape, arrays["row_offsets"], arrays["columns"], arrays["values"])
        else:
            sparse = SparseWeights.empty(shape, np.uint32, np.dtype(parameters["values"]))
        return cls(codes, arrays["tables"], sparse)


@dataclass(frozen=True)
class SqueezeLLM:
    """SqueezeLLM quantiser: Fisher-weighted k-means of each output channel, without sensitive weights and outliers.

    Parameters
    ----------
    bits
        2 to 8; the paper uses 3 and 4.
    sensitive_fraction
        Share of the weights that goes to the sparse part because of the largest Fisher information.
    outlier_fraction
        Share of the weights that goes to the sparse part because of the largest magnitude, among the others.
    outlier_threshold
        Magnitude above which weights are outliers, in place of ``outlier_fraction`` (`iqr_threshold` gives it by the
        rule of the released code).
    solver
        Method of the k-means: ``"optimal"``, or ``"lloyd"`` as in the released code.
    values
        Type of the sparse values: ``"float16"`` as counted in the paper, or ``"float32"`` as in the released code.
    """

    name: ClassVar[str] = "squeezellm"
    source: ClassVar[str] = SqueezeLLMWeights.source
    statistic: ClassVar[Statistic] = "fisher"

    bits: int = 4
    sensitive_fraction: float = 0.0005
    outlier_fraction: float = 0.0040
    outlier_threshold: float | None = None
    solver: Solver = "optimal"
    values: SparseDtype = "float16"

    def __post_init__(self) -> None:
        check_code_bits(self.bits)
        check_choice("solver", self.solver, get_args(Solver))
        check_choice("values", self.values, get_args(SparseDtype))
        for name in ("sensitive_fraction", "outlier_fraction"):
            if not 0 <= getattr(self, name) < 0.5:
                raise InputError(f"{name}: {getattr(self, name)!r} is not valid; choose a number from 0 to below 0.5")
        if self.outlier_threshold is not None:
            check_positive("outlier_threshold", self.outlier_threshold)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name, as `weight_quantizer` takes them."""
        return asdict(self)

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight in bits; with an outlier threshold, outliers are not counted."""
        outliers = self.outlier_fraction if self.outlier_threshold is None else 0
        value_bits = 8 * np.dtype(self.values).itemsize
        return average_bits(in_channels, self.bits, self.sensitive_fraction + outliers, value_bits)

    @property
    def weight_config(self) -> dict[str, Any]:
        """Table, sparse part and decoded integers on the machine, as in ``sim/weights/squeezellm-3.yaml``; no scales along a channel."""
        sparse = self.sensitive_fraction + (self.outlier_fraction if self.outlier_threshold is None else 0)
        tables = {"bits": self.bits, "group_size": 1 << 20, "scale_bits": 0, "table_bits": 16 << self.bits, "digits": 2}
        if not sparse:
            return tables
        entry = {"sparse_bits": 8 * np.dtype(self.values).itemsize + COLUMN_BITS, "pointer_bits": ROW_OFFSET_BITS}
        return {**tables, **entry, "sparse_fraction": sparse, "sparse_lanes": 64}

    def quantize(self, w: NDArray[np.floating], fisher: NDArray[np.floating] | None = None) -> SqueezeLLMWeights:
        """Quantise a floating-point matrix ``[in, out]`` with the diagonal Fisher information ``[in, out]``.

        The Fisher information is the squared gradient of the loss, averaged over the calibration sequences; its scale
        does not matter. Zero weights and sparse weights do not move a centroid. The code of a sparse weight points to
        the table entry c0 nearest to zero, and its sparse value is ``w - c0``.

        Raises
        ------
        InputError
            ``w`` is not a finite matrix in the range of FP16, or the Fisher information is missing, negative, or does not
            fit.
        """
        weights = check_weights(w)
        information = check_statistic("fisher", fisher, (w.shape[0], w.shape[1]))
        if (information < 0).any():
            raise InputError("fisher: has negative elements; give mean squared gradients")
        apart = self._set_apart(weights, information)
        rest = np.where(apart, 0, weights).T
        centroids = weighted_kmeans(rest, np.where(rest != 0, information.T, 0), 1 << self.bits, self.solver)
        tables = centroids.astype(np.float16)
        codes = nearest(rest, tables)
        dense = np.take_along_axis(tables, codes.astype(np.intp), axis=1).T
        sparse = SparseWeights.from_mask(apart, weights - dense, np.uint32, np.dtype(self.values))
        return SqueezeLLMWeights(np.ascontiguousarray(codes.T), tables, sparse)

    def _set_apart(self, weights: NDArray[np.float64], information: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Mask of the sensitive weights and of the outliers among the others."""
        sensitive = _largest(information, int(weights.size * self.sensitive_fraction))
        magnitudes = np.where(sensitive, 0, np.abs(weights))
        if self.outlier_threshold is not None:
            return sensitive | (magnitudes > self.outlier_threshold)
        return sensitive | _largest(magnitudes, int(weights.size * self.outlier_fraction))


@dataclass(frozen=True)
class KMeans:
    """Plain k-means of each output channel, the baseline of SqueezeLLM's paper.

    Parameters
    ----------
    bits, outlier_fraction, solver
        See `SqueezeLLM`; the default has no outliers.
    """

    name: ClassVar[str] = "kmeans"
    source: ClassVar[str] = "Kim et al., SqueezeLLM (arXiv 2306.07629), section 4.1, baseline"
    statistic: ClassVar[Statistic] = "none"

    bits: int = 4
    outlier_fraction: float = 0.0
    solver: Solver = "optimal"

    def __post_init__(self) -> None:
        self._weighted()

    def _weighted(self) -> SqueezeLLM:
        return SqueezeLLM(self.bits, 0.0, self.outlier_fraction, solver=self.solver)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters by name, as `weight_quantizer` takes them."""
        return asdict(self)

    def average_bits(self, in_channels: int = 4096) -> float:
        """Storage of a weight in bits."""
        return self._weighted().average_bits(in_channels)

    @property
    def weight_config(self) -> dict[str, Any]:
        """Fields of the weight file of a machine: bits of a code and of the tables, share and bits of the sparse weights."""
        return self._weighted().weight_config

    def quantize(self, w: NDArray[np.floating], statistic: NDArray[np.floating] | None = None) -> SqueezeLLMWeights:
        """Quantise a floating-point matrix ``[in, out]``.

        Raises
        ------
        InputError
            ``w`` is not a finite matrix in the range of FP16, or a statistic is given.
        """
        if statistic is not None:
            raise InputError("statistic: is not used by plain k-means; leave it out")
        return self._weighted().quantize(w, np.ones(w.shape))


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Mask of the ``count`` largest values without zeros; the first of equal values counts."""
    mask = np.zeros(values.size, np.bool_)
    mask[np.argsort(-values.ravel(), kind="stable")[:count]] = True
    return mask.reshape(values.shape) & (values > 0)


def iqr_threshold(w: NDArray[np.floating], multiplier: float) -> float:
    """Outlier threshold of the released code: ``max(|q1 - r IQR|, |q3 + r IQR|)`` with the quartiles of ``w``."""
    first, third = np.quantile(check_weights(w), [0.25, 0.75])
    reach = multiplier * (third - first)
    return float(max(abs(first - reach), abs(third + reach)))


def iqr_multiplier(matrices: Sequence[NDArray[np.floating]], outlier_fraction: float, tolerance: float = 1e-3) -> float:
    """Multiplier r of `iqr_threshold` that makes ``outlier_fraction`` of all weights of a model outliers.

    It is the same for all matrices, as in the released code, and found by bisection to ``tolerance``.
    """
    if not 0 < outlier_fraction < 0.5:
        raise InputError(f"outlier_fraction: {outlier_fraction!r} is not valid; choose a number between 0 and 0.5")
    total = sum(w.size for w in matrices)
    low, high = 0.0, 1024.0
    while high - low > tolerance:
        middle = (low + high) / 2
        outliers = sum(int((np.abs(w) > iqr_threshold(w, middle)).sum()) for w in matrices)
        low, high = (middle, high) if outliers > outlier_fraction * total else (low, middle)
    return high
