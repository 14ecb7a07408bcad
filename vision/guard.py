"""How is a file decoded that may crash, hang or swallow memory, so that it takes nothing else with it?

In a process of its own, with limits of memory and time (vision/guarded_decoder.py). The file's bytes go
there, and the pixels come back, through shared memory; the process opens no image file itself. One that
dies is replaced. An image that ends several of them in a row is at fault; one alone may have met a kill
from outside.
"""

import json
import os
import select
import signal
import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vision.decode import Limits
from vision.faults import Reason, StorageTrouble, Unreadable
from vision.preprocessing import Preprocessing

START_SECONDS = 60.0  # until the process has imported Pillow and numpy
DEATHS_PROVE = 2  # of one image in a row
KILLS_PROVE = 4  # an operator's or the system's kill is less of a proof than a crash
_KILLED = (signal.SIGKILL, signal.SIGTERM)
_SLICE_SECONDS = 0.2
_LONGEST_ANSWER = 64 * 1024  # bytes
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "PYTHONDONTWRITEBYTECODE")


class _Died(Exception):
    """The decoding process ended without an answer."""

    def __init__(self, code: int) -> None:
        self.proves = KILLS_PROVE if -code in _KILLED else DEATHS_PROVE
        super().__init__("by signal " + signal.Signals(-code).name if code < 0 else f"with code {code}")


class Guard:
    """A decoding process, started with the first image. Not for use by two threads at once. Close it after use."""

    def __init__(self, preprocessing: Preprocessing, limits: Limits) -> None:
        self._preprocessing = preprocessing
        self._limits = limits
        self._content = os.memfd_create("content")
        self._pixels = os.memfd_create("pixels")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        os.close(self._content)
        os.close(self._pixels)

    def decode(self, content: bytes) -> tuple[NDArray[np.uint8], int, int]:
        """(pixels of shape (squares, 3, size, size), width, height in pixels) of a file's bytes: see `squares`.

        Raises `Unreadable`, also for what ended, outlasted or outgrew the process; `StorageTrouble` where no
        process can be started.
        """
        deaths, answer = 0, None
        while answer is None:
            try:
                answer = self._ask(content)
            except _Died as died:
                deaths += 1
                if deaths >= died.proves:
                    detail = f"the decoding process ended {died}, {deaths} times"
                    raise Unreadable(Reason.CRASHED_WORKER, detail) from died
        if "reason" in answer:
            raise Unreadable(Reason(answer["reason"]), str(answer["detail"]))
        if "out_of_memory" in answer:
            detail = f"more memory than the limit of {self._limits.decode_memory} bytes"
            raise Unreadable(Reason.DECODE_MEMORY, detail)
        shape = (int(answer["squares"]), 3, self._preprocessing.size, self._preprocessing.size)
        pixels = np.empty(shape, dtype=np.uint8)
        with open(self._pixels, "rb", closefd=False) as shared:
            shared.seek(0)
            if shared.readinto(pixels.data) != pixels.nbytes:
                raise StorageTrouble(None, "the guarded decoder has handed over less than it said")
        os.ftruncate(self._pixels, 0)
        return pixels, int(answer["width"]), int(answer["height"])

    def _ask(self, content: bytes) -> dict[str, Any]:
        process = self._process or self._start()
        try:
            os.ftruncate(self._content, 0)
            with open(self._content, "wb", closefd=False) as shared:
                shared.seek(0)
                shared.write(content)
        except OSError as error:
            raise StorageTrouble(error.errno, "no memory to hand the file to the guarded decoder") from error
        request = {
            "max_pixels": self._limits.max_pixels,
            "preprocessing": self._preprocessing.to_dict(),
            "seconds": self._limits.decode_seconds,
        }
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            raise self._death() from None
        line = self._line(process, self._limits.decode_seconds)
        if line is None:
            self._end()
            raise Unreadable(Reason.DECODE_TIMEOUT, f"not decoded within {self._limits.decode_seconds:g} seconds")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise self._death() from None
        return answer

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
        """One line from the process, or None. Time is counted in slices: while we are stopped, none passes."""
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        descriptor, line = process.stdout.fileno(), b""
        for _ in range(int(seconds / _SLICE_SECONDS) + 1):
            if not select.select([descriptor], [], [], _SLICE_SECONDS)[0]:
                continue
            part = os.read(descriptor, _LONGEST_ANSWER)
            line += part
            if line.endswith(b"\n"):
                return line
            if not part or len(line) > _LONGEST_ANSWER:
                raise self._death()
        return None

    def _start(self) -> subprocess.Popen[bytes]:
        """A process that has said that it is ready: one that cannot start says nothing about any image."""
        numbers = [str(number) for number in (self._content, self._pixels, self._limits.decode_memory)]
        # Not our whole environment: what decodes a stranger's file need not know the database's password.
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
        try:
            process = self._process = subprocess.Popen(  # noqa: S603 - this interpreter and numbers
                [sys.executable, "-m", "vision.guarded_decoder", *numbers],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(self._content, self._pixels),
                env=environment,
            )
            ready = self._line(process, START_SECONDS)
        except _Died as died:
            raise StorageTrouble(None, f"the guarded decoder ended while it started, {died}") from died
        except OSError as error:
            raise StorageTrouble(error.errno, f"the guarded decoder cannot be started: {error}") from error
        if ready is None:
            self._end()
            raise StorageTrouble(None, f"the guarded decoder was not ready within {START_SECONDS:g} seconds")
        return process

    def _death(self) -> _Died:
        return _Died(self._end())

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # what was not written is of no use to a dead process
                    continue
        try:
            # At the end of its input it leaves by itself; a dead one has a code already.
            return process.wait(timeout=_SLICE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
