"""Column loop of GPTQ and SpQR: quantise one input channel, then let the later channels compensate its error.

Sources: Frantar et al., GPTQ (arXiv 2210.17323), algorithm 1, and its released code. The update of the remaining weights
is that of the Optimal Brain Surgeon.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..checks import check_integer
from ..errors import InputError
from .base import check_statistic

BLOCK = 128
"""Number of channels whose updates are applied to the rest of the matrix at once."""

Scalar = TypeVar("Scalar", bound=np.generic)

QuantizeChannel = Callable[[int, NDArray[np.float64]], NDArray[np.float64]]
"""``(channel, work [in, out]) -> decoded [out]`` quantises row ``channel`` of the current weights."""


class HessianAccumulator:
    """Hessian ``(2 / N) * sum of x x^T`` over the tokens of the calibration data, in float64.

    Parameters
    ----------
    channels
        Number of input channels of the layer.
    """

    def __init__(self, channels: int) -> None:
        check_integer("channels", channels, 1)
        self._sum = np.zeros((channels, channels))
        self._weight = 0.0

    def add(self, x: NDArray[np.floating], token_weights: NDArray[np.floating] | None = None) -> None:
        """Add activations ``[tokens, channels]``; a token with weight v counts like v tokens (default 1).

        A larger weight for the first token of a sequence keeps the attention sink exact: it is one token of many in the
        sum, but it affects the attention of all. Products use the dtype of ``x``, the sum over calls is float64.

        Raises
        ------
        InputError
            ``x`` is not finite ``[tokens, channels]``, or the weights are not finite ``[tokens]`` of at least 0.
        """
        if x.ndim != 2 or x.shape[1] != len(self._sum) or not np.isfinite(x).all():
            raise InputError(f"x: has shape {list(x.shape)}; give finite activations [tokens, {len(self._sum)}]")
        if token_weights is None:
            self._sum += x.T @ x
            self._weight += len(x)
            return
        if token_weights.shape != (len(x),) or not (np.isfinite(token_weights) & (token_weights >= 0)).all():
            raise InputError(
                f"token_weights: have shape {list(token_weights.shape)}; give {len(x)} finite numbers of at least 0"
            )
        self._sum += (x * token_weights[:, None].astype(x.dtype)).T @ x
        self._weight += float(token_weights.sum())

    @property
    def hessian(self) -> NDArray[np.float64]:
        """Hessian of all tokens so far, ``[channels, channels]``, exactly symmetric."""
        if self._weight == 0:
            raise InputError("x: no tokens were added; call add() first")
        return (self._sum + self._sum.T) / self._weight


class PreparedWeights(NamedTuple):
    """Weights and factor of the inverse Hessian, with channels in the order in which they are quantised."""

    weights: NDArray[np.float64]
    """Weights ``[in, out]``; rows of dead channels are zero."""
    factor: NDArray[np.float64]
    """Upper triangular ``U`` ``[in, in]`` with ``U^T U = H^-1``."""
    order: NDArray[np.intp]
    """Channel of each row."""

    def restore(self, rows: NDArray[Scalar]) -> NDArray[Scalar]:
        """Sort rows back into the order of the channels."""
        return rows[np.argsort(self.order)]


def prepare(
    weights: NDArray[np.float64], hessian: NDArray[np.floating] | None, damping: float, act_order: bool
) -> PreparedWeights:
    """Clear dead channels, sort the channels, and damp and factorise the Hessian.

    Dead channels (``H_jj = 0``, never active in calibration) get weight 0. With ``act_order``, channels are quantised in
    decreasing ``H_jj``, dead ones last. ``damping`` times the mean of the diagonal is added to the diagonal. SpQR's released
    code then sets ``H_jj`` of dead channels to 1. Here it is the damping, or the mean if there is no damping: the result
    does not depend on the unit of the Hessian.

    Raises
    ------
    InputError
        The Hessian is missing, not finite, not symmetric or not positive definite after damping, or its shape is wrong.
    """
    channels = len(weights)
    h = check_statistic("hessian", hessian, (channels, channels))
    if not np.allclose(h, h.T, rtol=1e-5, atol=1e-8 * np.abs(h).max()):
        raise InputError("hessian: is not symmetric; give X^T X of the layer's input")
    diagonal = np.diag(h).copy()
    if (diagonal < 0).any():
        raise InputError("hessian: has negative diagonal elements; give X^T X of the layer's input")
    dead, mean = diagonal == 0, diagonal.mean()
    order = np.argsort(-diagonal, kind="stable") if act_order else np.arange(channels)
    damped = diagonal + damping * mean
    damped[damped == 0] = mean or 1
    np.fill_diagonal(h, damped)
    alive = np.where(dead[:, None], 0, weights)
    return PreparedWeights(alive[order], inverse_factor(h[np.ix_(order, order)]), order)


def inverse_factor(h: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper triangular ``U`` with ``U^T U = h^-1``, from one Cholesky factorisation.

    With rows and columns reversed, ``h = L L^T`` gives ``h^-1 = (L^-1)^T L^-1``, and ``L^-1`` reversed back is upper
    triangular. So only ``h`` must be positive definite in floating point, not its computed inverse.
    """
    try:
        lower = np.linalg.cholesky(h[::-1, ::-1])
    except np.linalg.LinAlgError:
        raise InputError(
            "hessian: is not positive definite after damping; use more damping or more calibration tokens"
        ) from None
    return np.triu(np.linalg.inv(lower)[::-1, ::-1]).astype(np.float64, copy=False)


def quantize_channels(prepared: PreparedWeights, group_size: int, quantize: QuantizeChannel) -> None:
    """Call ``quantize`` for each channel in order, and compensate its error in the later channels.

    The error of channel j is ``(w - decoded) / U_jj``. It is multiplied by ``U_jk`` and subtracted from the weights of
    each channel k > j. At the call for the first channel of a group, the whole group is up to date.
    """
    work, factor = prepared.weights.copy(), prepared.factor
    channels = len(work)
    aligned = BLOCK % group_size == 0 or group_size % BLOCK == 0
    block = BLOCK if aligned else group_size
    errors = np.empty_like(work)
    for start in range(0, channels, block):
        stop = min(start + block, channels)
        for j in range(start, stop):
            errors[j] = (work[j] - quantize(j, work)) / factor[j, j]
            work[j + 1 : stop] -= np.outer(factor[j, j + 1 : stop], errors[j])
        work[stop:] -= factor[start:stop, stop:].T @ errors[start:stop]
