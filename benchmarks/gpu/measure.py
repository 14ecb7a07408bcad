"""How close to what a GPU machine can do is an inspection from JPEG files to scores?

    python benchmarks/gpu/measure.py [--device cuda:0] [--seconds S] [--count SMALL FULLHD LARGE] [--checkpoint FILE]

Needs torch, torchvision, Pillow, numpy and safetensors; no database, no queue. Measures what the GPU computes when
nobody has to feed it, what the CPU cores decode when nobody waits for the GPU, what nvJPEG decodes, and then the whole
way through `vision.pipeline`, from files in the page cache, as a share of the smaller of the first two. Prints JSON,
then a table in Markdown. Exit code 2: there is no CUDA device here.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # started as a script, outside of any environment

import torch
import torchvision
from torchvision.io import ImageReadMode, decode_jpeg

from benchmarks.gpu.same_scores import BATCH_SIZES as COMPARED
from benchmarks.gpu.same_scores import Agreement, compare, make_checkpoint
from benchmarks.photographs import KINDS, draw
from vision.cores import usable_cores
from vision.decode import DEFAULT_LIMITS, decode_file
from vision.pipeline import Group, score_groups
from vision.preprocessing import Preprocessing
from vision.reading import read_file
from vision.runtime import Runtime
from vision.saved_network import load_checkpoint
from vision.torch_runtime import TorchRuntime

PRECISIONS = ("bf16", "fp32")
BATCH_SIZES = (32, 64, 128, 256, 512)
NVJPEG_BATCH = 64
COUNTS = (2048, 512, 128)  # different files of each kind, in whole batches; they are inspected again and again
REPEATS = 3
START_SECONDS = 300.0  # until the last decoding process is up
CHUNK = 4  # files that a decoding process is handed at a time


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What was found about one kind of image. Images per second."""

    decode_cores: float  # Pillow at reduced scale, a process per core
    nvjpeg: float | None
    end_to_end: dict[str, float]  # by precision
    spread: dict[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All of it."""

    device: str
    cores: int
    versions: dict[str, str]
    model: dict[str, dict[int, float]]  # images per second by precision and batch size
    folders: dict[str, Folder] = field(default_factory=dict)
    nvjpeg_missing: str = ""
    agreement: Agreement | None = None

    def model_ceiling(self, precision: str) -> float:
        return max(self.model[precision].values())

    def share(self, kind: str, precision: str) -> float:
        """Of the smaller ceiling."""
        folder = self.folders[kind]
        return folder.end_to_end[precision] / min(self.model_ceiling(precision), folder.decode_cores)


def main() -> int:
    options = parse()
    if not torch.cuda.is_available():
        print("There is no CUDA device here that torch can use: nothing was measured.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="inspectq-gpu-") as name:
        folder = Path(name)
        checkpoint = options.checkpoint or make_checkpoint(folder / "model.safetensors")
        findings = measure(options, folder, checkpoint, torch.cuda.get_device_name(options.device))
    print(json.dumps(asdict(findings), indent=2))
    print(table(findings))
    return 0 if findings.agreement is None or findings.agreement.proven else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure")
    parser.add_argument("--count", type=int, nargs=3, default=COUNTS, metavar=("SMALL", "FULLHD", "LARGE"))
    parser.add_argument("--checkpoint", type=Path, help="[default: random weights]")
    parser.add_argument("--processes", type=int, default=usable_cores(), help="that decode for the cores' ceiling")
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: Path, checkpoint: Path, device_name: str) -> Findings:
    """Everything, in order."""
    device: str = options.device
    precisions = PRECISIONS if device != "cpu" else ("fp32",)
    preprocessing = load_checkpoint(checkpoint).info.preprocessing
    folders: dict[str, Folder] = {}
    missing = ""
    model = {p: {n: model_alone(checkpoint, device, p, n, options.seconds) for n in BATCH_SIZES} for p in precisions}
    runtimes = {p: TorchRuntime(load_checkpoint(checkpoint), device, p) for p in precisions}
    for kind, count in zip(KINDS, options.count, strict=True):
        paths = sorted(draw(folder / kind, kind, count).iterdir())
        contents = [path.read_bytes() for path in paths]  # and into the page cache
        try:
            nvjpeg: float | None = decoded_on_gpu(contents, device, options.seconds)
        except RuntimeError as error:
            nvjpeg, missing = None, str(error).splitlines()[0]
        del contents
        runs = {
            p: [end_to_end(paths, runtime, options.seconds) for _ in range(REPEATS)] for p, runtime in runtimes.items()
        }
        folders[kind] = Folder(
            decode_cores=decoded_on_cores(paths, preprocessing, options.processes, options.seconds),
            nvjpeg=nvjpeg,
            end_to_end={p: statistics.median(rates) for p, rates in runs.items()},
            spread={p: (min(rates), max(rates)) for p, rates in runs.items()},
        )
    return Findings(
        device=device_name,
        cores=len(os.sched_getaffinity(0)),
        versions={"torch": torch.__version__, "torchvision": torchvision.__version__},
        model=model,
        folders=folders,
        nvjpeg_missing=missing,
        agreement=compare(checkpoint, folder / "compared", device),
    )


def model_alone(checkpoint: Path, device: str, precision: str, batch_size: int, seconds: float) -> float:
    """Images per second from uint8 pixels that lie on the device to scores that stay there."""
    loaded = load_checkpoint(checkpoint)
    preprocessing = loaded.info.preprocessing
    network = loaded.network.to(device=device, memory_format=torch.channels_last).eval()
    shape = (batch_size, 3, preprocessing.size, preprocessing.size)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)

    def forward() -> None:
        normalised = preprocessing.normalise(pixels).contiguous(memory_format=torch.channels_last)
        torch.softmax(network(normalised).float(), dim=1)

    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False, fp32_precision="ieee"),
        torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bf16"),
    ):
        forward()
        return batch_size * _times_per_second(forward, device, seconds)


def _times_per_second(act: Callable[[], object], device: str, seconds: float) -> float:
    _wait(device)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(4):  # the queue of the GPU never runs dry between two looks at the clock
            act()
        done += 4
        _wait(device)
    return done / (time.perf_counter() - began)


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def decoded_on_cores(paths: list[Path], preprocessing: Preprocessing, processes: int, seconds: float) -> float:
    """Images per second from files to the network's pixels, with a process per core."""
    chunks = cycle([(paths[start : start + CHUNK], preprocessing) for start in range(0, len(paths), CHUNK)])
    context = multiprocessing.get_context("spawn")
    all_up = context.Barrier(processes + 1)
    with context.Pool(processes, initializer=all_up.wait) as pool:
        all_up.wait(START_SECONDS)
        began, done = time.perf_counter(), 0
        waiting = deque(pool.apply_async(_decode, (next(chunks),)) for _ in range(processes * 2))
        while waiting:
            done += waiting.popleft().get()
            if time.perf_counter() - began < seconds:
                waiting.append(pool.apply_async(_decode, (next(chunks),)))
        return done / (time.perf_counter() - began)


def _decode(task: tuple[list[Path], Preprocessing]) -> int:
    paths, preprocessing = task
    for path in paths:
        file = read_file(path, DEFAULT_LIMITS.max_bytes)
        seen = decode_file(file, DEFAULT_LIMITS, edge=preprocessing.edge)
        preprocessing.apply(seen.image, (seen.width, seen.height))
    return len(paths)


def decoded_on_gpu(contents: list[bytes], device: str, seconds: float) -> float:
    """Images per second that nvJPEG decodes in full, from bytes in memory to pixels on the GPU.

    Raises RuntimeError where torchvision was built without it.
    """
    if device == "cpu":
        raise RuntimeError("no GPU")
    encoded = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]
    batches = cycle([encoded[start : start + NVJPEG_BATCH] for start in range(0, len(encoded), NVJPEG_BATCH)])
    decode_jpeg(next(batches), mode=ImageReadMode.RGB, device=device)
    _wait(device)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        done += len(decode_jpeg(next(batches), mode=ImageReadMode.RGB, device=device))
        _wait(device)
    return done / (time.perf_counter() - began)


def end_to_end(paths: list[Path], runtime: Runtime, seconds: float) -> float:
    """Images per second through the pipeline, once the first batch is through."""
    began, done, first = time.perf_counter(), 0, None

    def groups() -> Iterator[Group[None]]:
        while time.perf_counter() - began < seconds:
            yield Group(of=None, paths=paths)

    for _, outcomes in score_groups(groups(), runtime):
        if any(outcome.score is None for outcome in outcomes):
            raise RuntimeError("an image got no score")
        if first is None:
            first = time.perf_counter()
        else:
            done += len(outcomes)
    return done / (time.perf_counter() - (first or began))


def table(findings: Findings) -> str:
    """The findings in Markdown."""
    libraries = ", ".join(f"{name} {number}" for name, number in findings.versions.items())
    lines = [f"\n{findings.device}, {findings.cores} cores; {libraries}.\n"]
    lines += ["| model alone, images/s | " + " | ".join(f"batch {n}" for n in BATCH_SIZES) + " |"]
    lines += ["| --- |" + " ---: |" * len(BATCH_SIZES)]
    lines += [
        f"| {p} | " + " | ".join(f"{rate:,.0f}" for rate in rates.values()) + " |"
        for p, rates in findings.model.items()
    ]
    lines += ["", "| | decoded by the cores | by nvJPEG | end to end | least, most | of the smaller ceiling |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
    for kind, folder in findings.folders.items():
        for precision, rate in folder.end_to_end.items():
            least, most = folder.spread[precision]
            nvjpeg = f"{folder.nvjpeg:,.0f}" if folder.nvjpeg else "–"
            lines.append(
                f"| {KINDS[kind].width} × {KINDS[kind].height}, {precision} | {folder.decode_cores:,.0f} | {nvjpeg} "
                f"| {rate:,.0f} | {least:,.0f}, {most:,.0f} | {findings.share(kind, precision):.0%} |"
            )
    if findings.nvjpeg_missing:
        lines += ["", f"nvJPEG: {findings.nvjpeg_missing}"]
    if (agreement := findings.agreement) is not None:
        said = "the same scores as the CPU" if agreement.proven else "OTHER SCORES THAN THE CPU"
        lines += ["", f"{agreement.files} files in batches of {', '.join(map(str, COMPARED))}: {said} "]
        lines[-1] += f"(largest difference {agreement.largest_difference:.1e}, {agreement.wrong} wrong)."
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
