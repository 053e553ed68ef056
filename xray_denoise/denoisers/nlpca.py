"""Poisson non-local PCA: patches that look alike share a few factors of their log intensity.

    counts       y = max(0, eta f + (eta sigma)^2)
    clusters     k-means of patches, divergence sum_i c_i - y_i log c_i of the Poisson distribution
    factors      Y ~ Poisson(exp(U V)) in each cluster: U (patches x rank), V (rank x pixels of a patch)
    Newton       alternately each row of U and each column of V, on sum exp(U V) - Y * (U V)
    image        g = (mean over the patches of a pixel of exp(U V) - (eta sigma)^2) / eta

The method knows photons only. Read noise is brought in by the shift (eta sigma)^2: the counts then have a mean equal
to their variance, as Poisson's have (Snyder's approximation). Values below -eta sigma^2 are lost to the clip.

Patches start at every `STRIDE`-th pixel, so that each pixel is an average over about (SIDE / STRIDE)^2 of them. A part
of the patches, evenly spread, finds the clusters and V; U of all follows in blocks, which bounds the memory to a
few times SAMPLED * SIDE^2 floats: 105 MiB for 1024x1024, which takes 15 s of one core.

References:
    Salmon, Harmany, Deledalle, Willett, Poisson noise reduction with non-local PCA, Journal of Mathematical Imaging
    and Vision 48, 2014.
    Snyder, Helstrom, Lanterman, Faisal, White, Compensation for readout noise in CCD images, JOSA A 12, 1995.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xray_denoise.denoisers.base import Denoised, Denoiser
from xray_denoise.physics.framing import mirrored
from xray_denoise.physics.level_estimate import estimate_level
from xray_denoise.physics.profile import Noise, as_level
from xray_denoise.scale import GREY_MAX

Matrix = NDArray[np.float32]

SIDE = 20
"""Side of a patch, pixels."""
CLUSTERS, RANK, NEWTON_STEPS = 14, 4, 20
STRIDE = 2
"""Pixels between patches along each axis."""
FITTED = 6000
"""Patches of a cluster that its factors are fitted to, and patches that are worked on at a time."""
SAMPLED, ROUNDS = 20_000, 15
"""Patches that k-means sees, and its rounds."""
MOST_CHANGE = 1.0
"""No Newton step changes a log intensity by more: far from the optimum the exponential would run away."""
DAMPING = 1e-3
"""Added to the diagonal of each Hessian, relative to its mean: keeps factors that no patch needs at rest."""
LEAST_QUANTUM_SHARE = 0.01
"""At least this share of the variance at white is taken for photon noise, or the counts would be without bound."""


@dataclass(frozen=True, slots=True)
class NonLocalPca(Denoiser):
    """The method with the parameters of its paper."""

    clusters: int = CLUSTERS
    rank: int = RANK
    """Factors per cluster."""
    newton_steps: int = NEWTON_STEPS
    name: str = field(default="nl-pca", init=False)

    def __call__(self, noisy: NDArray[np.floating], level: Noise | None = None) -> Denoised:
        """Remove the noise of a 2-D image in grey levels; see `Denoiser`."""
        image = np.asarray(noisy, dtype=np.float32)
        level = as_level(level) or estimate_level(image)
        if math.isinf(level.eta) and level.sigma == 0:
            return Denoised.of(image, image, level)
        eta = min(level.eta, GREY_MAX / LEAST_QUANTUM_SHARE / max(level.sigma, 1e-6) ** 2)
        shift = (eta * level.sigma) ** 2
        counts = np.maximum(eta * image + np.float32(shift), 0).astype(np.float32)
        intensity = self._intensity(mirrored(counts, (SIDE, SIDE)))[: image.shape[0], : image.shape[1]]
        return Denoised.of(image, (intensity - shift).clip(0) / eta, level)

    def _intensity(self, counts: Matrix) -> NDArray[np.float64]:
        """Expected counts of every pixel."""
        patches = Patches.of(counts)
        cluster = self._cluster(patches)
        total, weight = np.zeros(counts.shape), np.zeros(counts.shape)
        for index in range(self.clusters):
            members = np.flatnonzero(cluster == index)
            if not members.size:
                continue
            V = fit_factors(patches.take(_spread(members, FITTED)), self.rank, self.newton_steps)
            for part in _parts(members):
                Y = patches.take(part)
                patches.add(part, np.exp(fit_scores(Y, V, self.newton_steps) @ V), total, weight)
        return total / weight

    def _cluster(self, patches: "Patches") -> NDArray[np.intp]:
        """The cluster of each patch, 0 .. clusters - 1; k-means starts from patches sorted by brightness."""
        sample = patches.take(_spread(np.arange(len(patches)), SAMPLED))
        by_brightness = sample[np.argsort(sample.sum(axis=1), kind="stable")]
        centres = np.stack([part.mean(axis=0) for part in np.array_split(by_brightness, self.clusters) if len(part)])
        for _ in range(ROUNDS):
            nearest = _nearest(sample, centres)
            kept = [sample[nearest == index] for index in range(len(centres))]
            centres = np.stack([own.mean(axis=0) if len(own) else c for own, c in zip(kept, centres, strict=True)])
        return np.concatenate([_nearest(patches.take(part), centres) for part in _parts(np.arange(len(patches)))])


@dataclass(frozen=True, slots=True)
class Patches:
    """The square patches of an image; every pixel lies in at least one."""

    windows: NDArray[np.float32]
    """(H - SIDE + 1, W - SIDE + 1, SIDE, SIDE), a view of the image."""
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    """Where each patch starts."""

    @classmethod
    def of(cls, image: Matrix) -> "Patches":
        """All patches at every `STRIDE`-th pixel and at the far ends."""
        starts = [np.unique(np.append(np.arange(0, n - SIDE + 1, STRIDE), n - SIDE)) for n in image.shape]
        rows, columns = (grid.ravel() for grid in np.meshgrid(*starts, indexing="ij"))
        return cls(np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE)), rows, columns)

    def __len__(self) -> int:
        return self.rows.size

    def take(self, which: NDArray[np.intp]) -> Matrix:
        """(len(which), SIDE^2): patches as rows."""
        return np.asarray(self.windows[self.rows[which], self.columns[which]].reshape(which.size, SIDE**2))

    def add(
        self,
        which: NDArray[np.intp],
        values: Matrix,
        total: NDArray[np.float64],
        weight: NDArray[np.float64],
    ) -> None:
        """Put patches back: add `values` to `total`, and 1 to `weight`, at their pixels."""
        rows, columns = self.rows[which], self.columns[which]
        for pixel in range(SIDE**2):
            at = (rows + pixel // SIDE, columns + pixel % SIDE)  # no pixel twice: all patches start elsewhere
            total[at] += values[:, pixel]
            weight[at] += 1


def fit_factors(Y: Matrix, rank: int, steps: int) -> Matrix:
    """V (rank, pixels) of Y (patches, pixels) ~ Poisson(exp(U V)); starts from the principal axes of log(Y + 1/2)."""
    logs = np.log(Y + np.float32(0.5))
    _, axes = np.linalg.eigh(logs.T @ logs)
    V = np.ascontiguousarray(axes[:, : -rank - 1 : -1].T)
    U = logs @ V.T
    for _ in range(steps):
        U = _newton_step(Y, U, V)
        V = _newton_step(Y.T, V.T, U.T).T
    return V


def fit_scores(Y: Matrix, V: Matrix, steps: int) -> Matrix:
    """U (patches, rank) for given factors V, a convex problem."""
    U = np.log(Y + np.float32(0.5)) @ np.linalg.pinv(V)
    for _ in range(steps):
        U = _newton_step(Y, U, V)
    return np.asarray(U)


def _newton_step(Y: Matrix, U: Matrix, V: Matrix) -> Matrix:
    """One Newton step for each row u of U on sum exp(u V) - y * (u V): gradient (exp(u V) - y) V', Hessian V D V'."""
    rank = len(V)
    expected = np.exp(U @ V)
    gradient = (expected - Y) @ V.T
    products = (V[:, None] * V[None]).reshape(rank**2, -1)
    hessian = (expected @ products.T).reshape(-1, rank, rank)
    scale = np.trace(hessian, axis1=1, axis2=2) / rank
    hessian += (np.float32(DAMPING) * scale + np.float32(1e-12))[:, None, None] * np.eye(rank, dtype=np.float32)
    step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    change = abs(step @ V).max(axis=1, keepdims=True)
    return np.asarray(U - step * np.minimum(1, MOST_CHANGE / np.maximum(change, 1e-12)), dtype=np.float32)


def _nearest(Y: Matrix, centres: Matrix) -> NDArray[np.intp]:
    """For each row of Y the centre of least Poisson divergence."""
    centres = np.maximum(centres, np.float32(1e-6))
    return np.asarray((centres.sum(axis=1) - Y @ np.log(centres).T).argmin(axis=1))


def _spread(members: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most so many of them, evenly spread."""
    return members if members.size <= most else members[np.linspace(0, members.size - 1, most).astype(np.intp)]


def _parts(members: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """All of them, `FITTED` at a time."""
    return (members[start : start + FITTED] for start in range(0, members.size, FITTED))
