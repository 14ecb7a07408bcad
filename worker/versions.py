"""By which code does this worker judge? As it is installed: nothing is loaded to find out."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

# A library may be installed under another name.
_ALSO = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu")}


@cache
def versions(engine: str) -> Mapping[str, str]:
    """Of inspectq, of the runtime's library, and of those that turn a file into pixels."""
    found = {}
    for name in ("inspectq", engine, "pillow", "numpy"):
        for installed in _ALSO.get(name, (name,)):
            try:
                found[name] = version(installed)
                break
            except PackageNotFoundError:
                continue
    return MappingProxyType(found)
