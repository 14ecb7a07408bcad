"""What of a photograph stays when it is saved anew, scaled or brightened: a small grey copy, to compare it by.

32 x 32 is what a perceptual hash by DCT is computed from (Zauner 2010). The grey values themselves are kept, and not
the signs of their frequencies: photographs of one kind of part agree in nearly every sign.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EDGE = 32  # pixels, whatever the picture's shape: a turned copy of it has the turned signature
BYTES = EDGE * EDGE


def signature(image: Image.Image) -> bytes:
    """The picture in 32 x 32 grey values, row by row, 1,024 bytes. It takes a fraction of what decoding took."""
    # reducing_gap: a coarse step first, which makes a large photograph several times cheaper.
    small = image.resize((EDGE, EDGE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return small.convert("L").tobytes()


def as_array(signatures: list[bytes]) -> NDArray[np.uint8]:
    """uint8 (n, 32, 32) of n signatures."""
    return np.frombuffer(b"".join(signatures), np.uint8).reshape(-1, EDGE, EDGE)
