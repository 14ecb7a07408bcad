"""Which images of a data set show the very same photograph, though their bytes differ?

Photographs of one kind of part under one lamp are alike as a whole, so a plain perceptual hash calls all of them twins.
Here they are compared by what sets each one apart from the others. Of a signature (vision/signature.py) the 255 lowest
frequencies of its DCT are taken, with the contrast evened out; the mean of all images is subtracted; and what varies
among the images is whitened, so that no single thing that many of them share (the kind of part, the lamp, the place in
the fixture) makes two alike. What encoders, scaling, and a shift or crop by about a hundredth do to an image counts as
noise: its covariance is added before whitening, the shift and the scale by their derivatives (tangent distance, Simard
et al. 1993). Similarity is the cosine, the largest over the eight ways to mirror and turn one of the two.

Cost: n * n / 2 * 8 products of 255 numbers, in blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vision.signature import EDGE

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

# From this similarity on two images are twins. Found of 100 copies of parts drawn by vision/samples, of parts drawn at
# two stations, of solar cells (elpv) and of castings, 300 or 320 pixels wide:
#   saved as JPEG 70, scaled by 0.5 or 1.5, a tenth brighter or of more contrast, mirrored, turned   100  100  100  100
#   cropped by a hundredth                                                                           100   70   92  100
#   shifted by up to two pixels, with new noise                                                      100   78   87  100
#   shifted by up to four pixels                                                                      70   28   53   73
#   cropped by three hundredths                                                                       24    3   24   24
# Of different drawn parts no pair reached 0.83 (45,000 pairs). Of a million pairs of solar cells 290 reach 0.9, of
# castings 360. By eye: the same cell photographed twice, wafers of one block, castings mirrored and turned; but also
# cells without any mark, and, below 0.95, good castings in the same light, which join clusters of up to 321.
ALIKE = 0.9

_FREQUENCIES = 16  # lowest ones, in either direction
_NOISE = 8.0  # grey values by which an encoder or a scaling changes a pixel of a signature
_SHIFT = 0.6  # pixels of a signature, two hundredths of the picture
_FLAT = 1.0  # grey values of standard deviation below which there is nothing to compare
_ROWS = 1024  # compared at a time with all others
_MOST = 16  # twins of one image that are told; others of its cluster are found as twins of those
_FEWEST = 3  # images: of two alone it cannot be told what sets them apart


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images, by their places in what was compared."""

    first: int
    second: int
    similarity: float  # ALIKE to 1


def near_twins(signatures: Grey) -> list[Pair]:
    """Every pair of twins among uint8 (n, 32, 32), first < second, sorted; each image with its 16 nearest at most."""
    if len(signatures) < _FEWEST:
        return []
    apart = _Apart(signatures)
    told = apart.told(signatures)
    pairs: dict[tuple[int, int], float] = {}
    for start in range(0, len(signatures), _ROWS):
        for row, other, similarity in _nearest(apart, signatures[start : start + _ROWS], told, start):
            pairs[min(row, other), max(row, other)] = similarity
    return [Pair(first=first, second=second, similarity=pairs[first, second]) for first, second in sorted(pairs)]


def nearest_twins(signatures: Grey, others: Grey) -> list[Pair]:
    """For each image of `signatures` that has a twin among `others`, the most similar one, in order."""
    both = np.concatenate([signatures, others])
    if len(both) < _FEWEST or not len(others):
        return []
    apart = _Apart(both)
    told = apart.told(others)
    found = []
    for start in range(0, len(signatures), _ROWS):
        alike = apart.similarities(signatures[start : start + _ROWS], told)
        best = alike.argmax(1)
        for row, other in enumerate(best.tolist()):
            if alike[row, other] >= ALIKE:
                found.append(Pair(first=start + row, second=other, similarity=float(alike[row, other])))
    return found


def clusters(images: int, pairs: list[tuple[int, int]]) -> list[int]:
    """For each of `images` the number of its cluster: what is joined by pairs, over others if need be, is one."""
    if not pairs:
        return list(range(images))
    rows, columns = np.array(pairs).T
    joined = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(images, images))
    numbers: list[int] = connected_components(joined, directed=False)[1].tolist()
    return numbers


def _nearest(apart: "_Apart", rows: Grey, told: Floats, start: int) -> Iterator[tuple[int, int, float]]:
    """(row, other, similarity) of the twins of rows start, start + 1, … among the images from there on."""
    alike = apart.similarities(rows, told[start:])
    for row, line in enumerate(alike):
        line[: row + 1] = -1.0  # itself, and the pairs that were told
        found = np.flatnonzero(line >= ALIKE)
        if len(found) > _MOST:
            found = found[np.argsort(-line[found], kind="stable")[:_MOST]]
        for other in found.tolist():
            yield start + row, start + other, float(line[other])


class _Apart:
    """What sets images apart, learned from all that are compared."""

    def __init__(self, signatures: Grey) -> None:
        coefficients, contrasts = _coefficients(signatures)
        self._mean = coefficients.mean(0)
        centred = coefficients - self._mean
        covariance = centred.T @ centred / len(centred)
        usual = max(float(np.median(contrasts)), _FLAT * EDGE)  # most images may be blank
        noise = np.eye(covariance.shape[0]) * (_NOISE / usual) ** 2
        root = cholesky(covariance + noise + _SHIFT**2 * _movement(signatures), lower=True)
        # Any root of the inverse whitens; this one costs a tenth of the symmetric one.
        self._whiten = solve_triangular(root, np.eye(len(root)), lower=True).T.astype(np.float32)

    def told(self, signatures: Grey) -> Floats:
        """float32 (n, 255), of length 1; zeros where there is nothing to see."""
        return self._white(*_coefficients(signatures))

    def similarities(self, rows: Grey, told: Floats) -> Floats:
        """(rows, told): each of `rows` in the most similar of its eight positions."""
        coefficients, contrasts = _coefficients(rows)
        best = np.full((len(rows), len(told)), -1.0, np.float32)
        for turned in _positions(coefficients):
            np.maximum(best, self._white(turned, contrasts) @ told.T, out=best)
        return best

    def _white(self, coefficients: Floats, contrasts: Floats) -> Floats:
        white: Floats = (coefficients - self._mean) @ self._whiten
        white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-6)
        white[contrasts < _FLAT * EDGE] = 0.0
        return white


def _low(images: NDArray[Any]) -> Floats:
    """The lowest frequencies of (n, 32, 32), without the mean brightness: (n, 255)."""
    low = dctn(images.astype(np.float32), axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES]
    flat: Floats = low.reshape(len(images), -1)[:, 1:]
    return flat


def _coefficients(signatures: Grey) -> tuple[Floats, Floats]:
    """(n, 255) of length 1 each, and the lengths they had: 32 times the standard deviation in grey values."""
    low = _low(signatures)
    contrasts = np.linalg.norm(low, axis=1)
    return low / np.maximum(contrasts, _FLAT * EDGE)[:, None], contrasts


def _movement(signatures: Grey) -> NDArray[np.float64]:
    """The covariance that shifts by one pixel, either way, and a scale that moves the borders by one pixel give."""
    total = np.zeros((_FREQUENCIES**2 - 1,) * 2)
    across = np.linspace(-1.0, 1.0, EDGE)
    for start in range(0, len(signatures), _ROWS):
        block = signatures[start : start + _ROWS].astype(np.float32)
        contrasts = np.maximum(_coefficients(signatures[start : start + _ROWS])[1], _FLAT * EDGE)[:, None]
        down, right = np.gradient(block, axis=(1, 2))  # of the lines, of the columns
        for moved in (down, right, down * across[:, None] + right * across):
            change = _low(np.asarray(moved)) / contrasts
            total += change.T @ change
    return total / len(signatures)


def _positions(coefficients: Floats) -> Iterator[Floats]:
    """The eight ways to mirror and turn: a mirrored image has the odd frequencies' signs turned round."""
    flat = np.zeros((len(coefficients), _FREQUENCIES**2), np.float32)
    flat[:, 1:] = coefficients
    square = flat.reshape(-1, _FREQUENCIES, _FREQUENCIES)
    odd = np.where(np.arange(_FREQUENCIES) % 2, -1.0, 1.0).astype(np.float32)
    for shape in (square, square.transpose(0, 2, 1)):
        for upright in (np.ones_like(odd), odd):
            for straight in (np.ones_like(odd), odd):
                yield (shape * upright[:, None] * straight).reshape(len(shape), -1)[:, 1:]
