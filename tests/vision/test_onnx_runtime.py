"""Does ONNX Runtime answer like the reference, without torch, and only from the file that was recorded?"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.exports import SIZE, ExportedModel
from vision.checkpoint import METADATA_KEY, CheckpointAltered, CheckpointFormat, CheckpointMissing
from vision.onnx_runtime import PIXELS, SCORE, OnnxRuntime
from vision.runtime import DeviceUnavailable, InvalidScore, Runtime
from vision.runtimes import EXPORTED, RUNTIMES, file_of, open_runtime


@pytest.fixture(params=EXPORTED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def file(exported_model: ExportedModel, name: str) -> Path:
    return file_of(name, exported_model.folder, exported_model.digest)


def test_a_score_does_not_depend_on_the_rest_of_the_batch(exported_model: ExportedModel, file: Path) -> None:
    runtime: Runtime = OnnxRuntime(file)
    pixels = exported_model.pixels
    together = runtime.score(pixels).scores
    alone = np.concatenate([runtime.score(pixels[row : row + 1]).scores for row in range(len(pixels))])
    reversed_ = runtime.score(np.ascontiguousarray(pixels[::-1])).scores[::-1]
    assert together.dtype == np.float32
    assert together.shape == (len(pixels),)
    assert alone == pytest.approx(together, abs=1e-6)
    assert reversed_ == pytest.approx(together, abs=1e-6)


def test_a_file_from_before_there_was_a_novelty_still_scores(exported_model: ExportedModel, tmp_path: Path) -> None:
    older = onnx.load(file_of("onnx", exported_model.folder, exported_model.digest))
    expected = OnnxRuntime(file_of("onnx", exported_model.folder, exported_model.digest)).score(exported_model.pixels)
    del older.graph.output[1]
    (tmp_path / "older.onnx").write_bytes(older.SerializeToString())
    answers = OnnxRuntime(tmp_path / "older.onnx").score(exported_model.pixels)
    assert answers.novelties is None
    assert answers.scores == pytest.approx(expected.scores, abs=1e-6)


def test_it_says_what_it_is_made_of(exported_model: ExportedModel, name: str) -> None:
    runtime = open_runtime(name, exported_model.folder, exported_model.digest)
    assert (runtime.engine, runtime.device) == ("onnxruntime", "cpu")
    assert runtime.precision == {"onnx": "fp32", "onnx-int8": "int8"}[name]
    assert runtime.preprocessing.size == SIZE
    buffer = runtime.buffer(3)
    assert buffer.shape == (3, 3, SIZE, SIZE)
    assert buffer.dtype == np.uint8


def test_it_never_loads_torch(exported_model: ExportedModel, name: str, repository_root: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from vision.runtimes import open_runtime\n"
        "runtime = open_runtime(sys.argv[1], Path(sys.argv[2]), sys.argv[3], device='cpu')\n"
        "pixels = runtime.buffer(2)\n"
        "pixels[:] = 100\n"
        "answers = runtime.score(pixels)\n"
        "print(len(answers.scores), [name for name in ('torch', 'onnx', 'sklearn') if name in sys.modules])\n"
    )
    words = [name, str(exported_model.folder), exported_model.digest]
    run = [sys.executable, "-c", code, *words]
    done = subprocess.run(run, cwd=repository_root, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("2 []\n", "")


def test_only_the_recorded_file_is_used(exported_model: ExportedModel, file: Path, name: str, tmp_path: Path) -> None:
    digest = next(exported.digest for exported in exported_model.files if exported.name == name)
    assert OnnxRuntime(file, digest).digest == digest
    altered = bytearray(file.read_bytes())
    altered[len(altered) // 2] ^= 1  # in the middle of the weights: it loads, and answers something else
    place = file_of(name, tmp_path, exported_model.digest)
    place.write_bytes(altered)
    OnnxRuntime(place)
    with pytest.raises(CheckpointAltered, match=place.name):
        open_runtime(name, tmp_path, exported_model.digest, digest)


def test_the_file_of_another_checkpoint_is_refused(exported_model: ExportedModel, file: Path, tmp_path: Path) -> None:
    (tmp_path / f"{'0' * 64}.onnx").write_bytes(file.read_bytes())
    with pytest.raises(CheckpointAltered, match="another checkpoint"):
        open_runtime("onnx", tmp_path, "0" * 64)


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing, match="inspectq models export"):
        open_runtime("onnx", tmp_path, "0" * 64)


def strange_network(metadata: dict[str, str]) -> bytes:
    """A sound network that inspectq did not write."""
    graph = helper.make_graph(
        [helper.make_node("Identity", [PIXELS], [SCORE])],
        "strange",
        [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [1])],
        [helper.make_tensor_value_info(SCORE, TensorProto.UINT8, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, metadata)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a network",
        strange_network({}),
        strange_network({METADATA_KEY: "{}", f"{METADATA_KEY}.checkpoint": "x"}),
    ],
    ids=["empty", "text", "without metadata", "with an empty description"],
)
def test_a_file_that_inspectq_has_not_exported_is_refused(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "strange.onnx").write_bytes(content)
    with pytest.raises(CheckpointFormat, match=r"strange\.onnx"):
        OnnxRuntime(tmp_path / "strange.onnx")
    assert capfd.readouterr() == ("", "")


def test_a_network_that_answers_nan_gives_no_verdict(exported_model: ExportedModel, tmp_path: Path) -> None:
    damaged = onnx.load(file_of("onnx", exported_model.folder, exported_model.digest))
    bias = next(tensor for tensor in damaged.graph.initializer if list(tensor.dims) == [2])
    bias.CopyFrom(numpy_helper.from_array(np.array([0, np.nan], dtype=np.float32), bias.name))
    (tmp_path / "damaged.onnx").write_bytes(damaged.SerializeToString())
    with pytest.raises(InvalidScore):
        OnnxRuntime(tmp_path / "damaged.onnx").score(exported_model.pixels)


def test_a_gpu_is_refused_in_a_sentence(exported_model: ExportedModel, name: str) -> None:
    with pytest.raises(DeviceUnavailable, match=f"{name} runs on the CPU, not on cuda"):
        open_runtime(name, exported_model.folder, exported_model.digest, device="cuda")


def test_a_missing_library_is_said_so(exported_model: ExportedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vision.onnx_runtime", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as import finds it where it is not installed
    with pytest.raises(DeviceUnavailable, match="needs the package onnxruntime"):
        open_runtime("onnx", exported_model.folder, exported_model.digest)


def test_every_runtime_knows_its_file(tmp_path: Path) -> None:
    assert {name: file_of(name, tmp_path, "ab").name for name in RUNTIMES} == {
        "torch": "ab.safetensors",
        "torch-bf16": "ab.safetensors",
        "onnx": "ab.onnx",
        "onnx-int8": "ab.int8.onnx",
    }
