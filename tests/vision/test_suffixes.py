"""Does the list of endings match what the decoder reads?"""

from PIL import Image

from vision.decode import FORMATS
from vision.suffixes import IMAGE_SUFFIXES


def test_every_ending_belongs_to_a_format_that_is_decoded() -> None:
    Image.init()
    registered = Image.registered_extensions()
    named = {registered[suffix] for suffix in IMAGE_SUFFIXES}
    assert named - {"DIB"} == set(FORMATS)  # a .dib on disk is nearly always a BMP, header and all
