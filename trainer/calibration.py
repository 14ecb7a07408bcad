"""Does a score of 0.7 mean that seven of ten such parts are defective?

A trained network is surer than it should be. Dividing its logits by one number, the temperature, fitted on images that
it has not learned from, mends most of that and changes no ranking and no verdict at 0.5 (Guo et al. 2017, "On
Calibration of Modern Neural Networks"). The head's weights are divided by it, so that every runtime's scores are
calibrated without knowing of it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from trainer.reliability import expected_calibration_error
from vision.checkpoint import POSITIVE_INDEX
from vision.network import Network

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# As natural logarithms: from 1/20 to 20. Images that are all ranked rightly would ask for zero.
_COLDEST, _HOTTEST = -3.0, 3.0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was fitted, on how many images, and what it did to the expected calibration error there."""

    temperature: float
    images: int
    ece_before: float
    ece_after: float


def calibrate(margins: Floats, truth: Bools) -> Calibration:
    """Fit the temperature to margins (n,), the logit of defective less that of good, and truth (n,), n >= 1."""
    signs = np.where(truth, 1.0, -1.0)

    def loss(logarithm: float) -> float:
        return float(np.logaddexp(0, -signs * margins / np.exp(logarithm)).mean())

    fitted = minimize_scalar(loss, bounds=(_COLDEST, _HOTTEST), method="bounded")
    temperature = float(np.exp(fitted.x))
    return Calibration(
        temperature=temperature,
        images=len(truth),
        ece_before=expected_calibration_error(truth, expit(margins)),
        ece_after=expected_calibration_error(truth, expit(margins / temperature)),
    )


def margins_of(logits: torch.Tensor) -> Floats:
    """float64 (n,) of logits (n, 2)."""
    both = logits.detach().double().cpu().numpy()
    margins: Floats = both[:, POSITIVE_INDEX] - both[:, 1 - POSITIVE_INDEX]
    return margins


def cool(network: Network, temperature: float) -> None:
    """Divide the network's logits by the temperature, in its head's weights."""
    with torch.no_grad():
        network.fc.weight.div_(temperature)
        network.fc.bias.div_(temperature)
