"""From picture files to pixels: decoding, colour modes, sizes.

Every failure to decode becomes a `DataError` that names the picture. Whatever the file holds (grey, palette, RGBA,
CMYK, 16-bit grey) comes out as 8-bit RGB.
"""

import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from genas.errors import DataError

#: Data sets whose pixels take no more than this many bytes are kept in memory.
RESIDENT_BYTES = 2**30

_SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")


class PictureSource(Protocol):
    """Anything with a length and numbered pictures, for example a map-style `torch.utils.data.Dataset`.

    An item is a PIL picture or a uint8 tensor [C, H, W], alone or as the first of a tuple; labels in it are ignored.
    """

    def __len__(self) -> int:
        """Number of pictures."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """The picture number `index`."""
        ...


def worker_count() -> int:
    """How many threads or processes decode pictures: the processors this process may use, at most 8."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 8)


def to_rgb(picture: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB.

    Args:
        picture: any mode. Sixteen-bit greys are scaled, not clipped; transparency is dropped.
    """
    if picture.mode == "RGB":
        return picture
    if picture.mode in _SIXTEEN_BITS:
        levels = np.asarray(picture).astype(np.int64)
        return Image.fromarray((levels >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode == "P" and "transparency" in picture.info:
        return picture.convert("RGBA").convert("RGB")
    return picture.convert("RGB")


def decode(file: Path | bytes, where: str) -> Image.Image:
    """Decodes one picture.

    Args:
        file: its path or its bytes.
        where: what to call the picture in an error.

    Returns:
        The picture in RGB, fully loaded.

    Raises:
        DataError: the picture cannot be read.
    """
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as picture:
            picture.load()
            return to_rgb(picture)
    except MemoryError:
        raise
    except Exception as error:  # the decoders raise OSError, SyntaxError, ValueError, struct.error and more
        reason = " ".join(str(error).split()) or type(error).__name__
        # Pillow names the in-memory file by its address, which helps nobody.
        reason = reason.partition(" <_io.")[0]
        raise DataError(f"Cannot read {where} ({reason}): replace or remove this picture.") from error


def square(picture: Image.Image, size: int) -> NDArray[np.uint8]:
    """Resizes the shorter side to `size` (bilinear with antialiasing) and cuts the centre.

    Args:
        picture: RGB.
        size: pixels.

    Returns:
        [3, size, size] uint8.
    """
    if picture.size != (size, size):
        # Crops to the shape first: the same result as resizing first, without a huge picture for a long strip.
        picture = ImageOps.fit(picture, (size, size), method=Image.Resampling.BILINEAR)
    return np.asarray(picture).transpose(2, 0, 1)


def load_all(load: Callable[[int], Image.Image], count: int, size: int) -> Tensor:
    """Loads all pictures into memory, on several threads.

    Args:
        load: gives the RGB picture of a number; called from several threads.
        count: number of pictures.
        size: side in pixels.

    Returns:
        [count, 3, size, size] uint8.

    Raises:
        DataError: from `load`; the first in stored order among those that were met.
    """
    pixels = np.empty((count, 3, size, size), dtype=np.uint8)
    stop = threading.Event()

    def fill(first: int) -> None:
        for index in range(first, min(first + 256, count)):
            if stop.is_set():
                return
            pixels[index] = square(load(index), size)

    with ThreadPoolExecutor(worker_count()) as pool:
        try:
            for _ in pool.map(fill, range(0, count, 256)):
                pass
        finally:
            stop.set()
    return torch.from_numpy(pixels)


def sample_numbers(count: int, most: int) -> list[int]:
    """At most `most` numbers below `count`, evenly spaced."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, most)).round()] if count else []
