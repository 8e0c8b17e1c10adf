"""A log density ratio for y = A x + noise, whatever the distribution of the noise.

What linear regression leaves of y is turned until its features are as independent as they can be made
(Hyvärinen 1999), and so is y itself; each feature has a density of its own. Correlations say how large the
noise is; edges, peaks and tails of its density say more.

Shapes: N rows, D features, P pairs, C cells of a grid.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from mmsa.information.copula import Array
from mmsa.information.copula_critics import whitening
from mmsa.information.groups import Rows

_CELLS, _BEYOND = 400, 0.25
"""Cells of a grid, and how far it reaches beyond the values, in units of their range."""
_STEPS = 100


def additive_noise_ratios(
    x_ND: Array, y_ND: Array, known_K: Rows, x_rows: Rows, y_rows: Rows, seed: int
) -> Array:
    """Log ratios (P,) of pairs, up to a constant, learnt from the known rows."""
    design = np.hstack([np.ones((len(x_ND), 1)), x_ND])
    predicted_ND = design @ np.linalg.lstsq(design[known_K], y_ND[known_K], rcond=None)[0]
    noise = _IndependentFeatures(y_ND[known_K] - predicted_ND[known_K], seed)
    own = _IndependentFeatures(y_ND[known_K], seed)
    ratios_P: Array = noise.log_density(y_ND[y_rows] - predicted_ND[x_rows]) - own.log_density(y_ND)[y_rows]
    return ratios_P


class _IndependentFeatures:
    """The density of features (N, D) that become independent when they are turned."""

    def __init__(self, values_ND: Array, seed: int):
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        self._mean_D, self._weights = values_ND.mean(0), whitening(values_ND)
        white_ND = (values_ND - self._mean_D) @ self._weights
        turn = FastICA(whiten=False, max_iter=_STEPS, tol=1e-3, random_state=seed % 2**32)
        if not white_ND.shape[1]:  # constants
            self._densities: list[_GridDensity] = []
            return
        with warnings.catch_warnings():
            # Turned not quite far enough, it is a density too; of normal features every turn is as good.
            warnings.simplefilter("ignore", ConvergenceWarning)
            turned_ND = turn.fit_transform(white_ND)
        self._weights = self._weights @ turn.components_.T
        self._densities = [_GridDensity(values_N) for values_N in turned_ND.T]

    def log_density(self, values_ND: Array) -> Array:
        """(N,)."""
        turned_ND = (values_ND - self._mean_D) @ self._weights
        parts = [density(values_N) for density, values_N in zip(self._densities, turned_ND.T, strict=True)]
        volume = 0.5 * float(np.linalg.slogdet(self._weights.T @ self._weights).logabsdet)
        total_N: Array = sum(parts, np.full(len(values_ND), volume))
        return total_N


class _GridDensity:
    """Log density of one variable: a histogram of many cells, smoothed."""

    def __init__(self, values_N: Array):
        from scipy.ndimage import gaussian_filter1d

        low, high = values_N.min(), values_N.max()
        margin = _BEYOND * (high - low)
        counts_C, edges = np.histogram(values_N, _CELLS, (low - margin, high + margin))
        self._centres = (edges[1:] + edges[:-1]) / 2
        width = float(edges[1] - edges[0])
        quartiles = np.quantile(values_N, (0.25, 0.75))
        # Narrower than Silverman's for normal variables, whose density has no edges and peaks.
        bandwidth = 0.5 * float(np.diff(quartiles)[0]) / 1.349 * len(values_N) ** -0.2
        smooth_C = gaussian_filter1d(counts_C.astype(np.float64), max(0.5, bandwidth / width), truncate=6)
        self._least = math.log(0.1 / (len(values_N) * (high - low)))
        self._log_C = np.log(np.maximum(smooth_C / (len(values_N) * width), math.exp(self._least)))

    def __call__(self, values_N: Array) -> Array:
        """(N,)."""
        log_N: Array = np.interp(values_N, self._centres, self._log_C, left=self._least, right=self._least)
        return log_N
