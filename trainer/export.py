"""How does a checkpoint become a file that a worker runs without torch?

The exported graph is the whole way from uint8 pixels to P(defective). In int8, weights are quantised per output
channel and activations per tensor, with ranges seen on training images (static quantisation, QDQ).
"""

import io
import logging
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from vision.checkpoint import METADATA_KEY, POSITIVE_INDEX
from vision.onnx_runtime import CHECKPOINT_KEY, PIXELS, SCORE
from vision.preprocessing import Preprocessing
from vision.runtime import Pixels
from vision.saved_network import Checkpoint
from vision.whole_file import write_whole

OPSET = 20


class _FromPixels(nn.Module):
    """A network with its preprocessing and softmax."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self._network = network
        # (pixel / 255 - mean) / std as one multiplication and one addition
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("offset", -mean / std)

    def forward(self, pixels: Tensor) -> Tensor:
        logits = self._network(pixels.to(torch.float32) * self.scale + self.offset)
        return torch.softmax(logits, dim=1)[:, POSITIVE_INDEX]
