"""What does the model say about these files? The one answer that evaluation and workers share."""

import contextlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from itertools import islice

from vision.decode import DEFAULT_LIMITS, Limits
from vision.pipeline import AnyPath, Group, ImageScore, score_groups
from vision.runtime import Runtime

_GROUP = 256  # paths taken at a time


def score_images(
    paths: Iterable[AnyPath],
    runtime: Runtime,
    *,
    limits: Limits = DEFAULT_LIMITS,
    batch_size: int | None = None,
    threads: int | None = None,
    on_image: Callable[[], None] | None = None,
) -> Generator[ImageScore, None, None]:
    """Exactly one `ImageScore` per path, in order; `on_image` is called as each one is handed out.

    Paths are taken as they are needed. Raises what `score_groups` raises.
    """
    remaining = iter(paths)
    chunks = iter(lambda: list(islice(remaining, batch_size or _GROUP)), [])
    starts = (Group(of=number, paths=chunk) for number, chunk in enumerate(chunks))
    scored = score_groups(starts, runtime, limits=limits, batch_size=batch_size, threads=threads)
    index = 0
    with contextlib.closing(scored):  # whoever stops early stops the decoding threads too
        for _, outcomes in scored:
            for outcome in outcomes:
                if on_image is not None:
                    on_image()
                yield replace(outcome, index=index)
                index += 1
