"""What does ONNX Runtime answer for a batch of pixels, without torch?

The file holds the whole way from uint8 pixels to P(defective) and novelty: normalisation, network, softmax, distances.
In its metadata lies the checkpoint's own description, so that nothing else has to be read.
"""

from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,
    RuntimeException,
)

from vision.checkpoint import EXPORT, METADATA_KEY, CheckpointFormat, CheckpointInfo, read_verified
from vision.runtime import Answers, Pixels, checked

CHECKPOINT_KEY = f"{METADATA_KEY}.checkpoint"  # the digest of the checkpoint that the network was exported from
PIXELS = "pixels"  # the graph's input
SCORE, NOVELTY = "score", "novelty"  # its outputs; files from before there was a novelty have the first alone
BATCH = 8
_NO_NETWORK = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)


class OnnxRuntime:
    """An exported network on the CPU. Each thread that asks computes its own batch, with itself alone."""

    engine = "onnxruntime"
    device = "cpu"
    batch_size = BATCH
    lanes = 0

    def __init__(self, path: Path, digest: str | None = None, precision: str = "fp32") -> None:
        """With `digest` only if the file is exactly the recorded one. Raises CheckpointError."""
        content, self.digest = read_verified(path, digest, anew=EXPORT)
        self.precision = precision
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal ones only: what is wrong with a file is said by the exception
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            described = self._session.get_modelmeta().custom_metadata_map
            document, self.checkpoint_digest = described[METADATA_KEY], described[CHECKPOINT_KEY]
        except (*_NO_NETWORK, KeyError) as error:
            raise CheckpointFormat(f"{path} is no network that inspectq has exported: {EXPORT}.") from error
        there = {output.name for output in self._session.get_outputs()}
        self._outputs = [SCORE, *({NOVELTY} & there)]
        self.preprocessing = CheckpointInfo.from_json(document, source=f"The network {path}").preprocessing

    def buffer(self, rows: int) -> Pixels:
        """Plain memory."""
        size = self.preprocessing.size
        return np.empty((rows, 3, size, size), dtype=np.uint8)

    def score(self, pixels: Pixels) -> Answers:
        """What the network says of each row."""
        said = dict(zip(self._outputs, self._session.run(self._outputs, {PIXELS: pixels}), strict=True))
        return checked(Answers(scores=said[SCORE], novelties=said.get(NOVELTY)))
