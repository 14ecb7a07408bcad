"""Where do photographs of machined parts come from when a person has none at hand?

From here: this package draws them. Every photograph follows from its seed and index alone, so a set can be
drawn in any order and of any length. It needs numpy and Pillow, never torch.
"""

from vision.samples.odd_files import ODD_FILES, OddFile
from vision.samples.photograph import DEFECTIVE, OK, Photograph, draw_photograph
from vision.samples.sample_set import SampleSet, draw_sample_set, files_to_draw

__all__ = [
    "DEFECTIVE",
    "ODD_FILES",
    "OK",
    "OddFile",
    "Photograph",
    "SampleSet",
    "draw_photograph",
    "draw_sample_set",
    "files_to_draw",
]
