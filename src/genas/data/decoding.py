"""From image files to pixels: the one decoder of all data sets. Its rules are listed in ``docs/data.md``.

Whatever a file holds comes out upright as 8-bit RGB: the EXIF orientation is applied, transparency is composited on
white, grey levels of more than 8 bits are scaled by `to_rgb`'s rule. An image that no rule covers, that is damaged or
that has more than `MAX_PIXELS` ends in a `DataError` that names it.
"""

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps
from torch import Tensor

from genas.core.errors import DataError
from genas.core.executors import Threads

#: Data sets whose pixels take no more than this many bytes are kept in memory.
RESIDENT_BYTES = 2**30

#: Larger images are refused before their pixels are read.
MAX_PIXELS = 178_956_970
#: Ways of bringing an image to a size; see `at_size`.
RESIZINGS = ("fit", "crop", "crop-aliased")
#: What shows through transparent pixels.
BACKGROUND = (255, 255, 255)

_CHUNK = 32  # images that a thread loads before it looks whether it is still to go on
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright, 5 to 8 exchange width and height
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_JPEG_END = b"\xff\xd9"
_STRIP = 64  # images this many times as long as wide are cut to that before they are resized
_JPEG_TAIL = 4096  # bytes at the end of a JPEG file that are searched for its end marker

# Pillow warns from half of `MAX_PIXELS` on; such images are read, and nobody can act on the warning.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageSource(Protocol):
    """Anything with a length and numbered images, for example a map-style `torch.utils.data.Dataset`.

    An item is a PIL image or a uint8 tensor [C, H, W], alone or as the first of a tuple; labels in it are ignored.
    """

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """The image number `index`."""
        ...


def worker_count() -> int:
    """How many threads or processes decode images: the processors this process may use, at most 8."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 8)


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as 8-bit RGB.

    Args:
        image: any mode. 16-bit levels are divided by 256. 32-bit integers are taken as 8-bit levels where none is
            above 255, as 16-bit ones where none is above 65,535. Floats are taken as fractions where all are within
            0 to 1, as 8-bit levels where all are within 0 to 255. Transparency is composited on `BACKGROUND`.

    Raises:
        ValueError: levels outside those ranges, or a mode that Pillow cannot convert.
    """
    if image.mode in _SIXTEEN_BITS:
        return _grey(np.asarray(image).astype(np.int64) >> 8)
    if image.mode == "I":
        levels = np.asarray(image).astype(np.int64)
        least, most = int(levels.min()), int(levels.max())
        if least < 0 or most > 65_535:
            raise ValueError(f"32-bit integer levels from {least} to {most}: expected 0 to 255 or 0 to 65535")
        return _grey(levels if most <= 255 else levels >> 8)
    if image.mode == "F":
        values = np.asarray(image)
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 255):  # also where a value is not a number
            raise ValueError(f"float levels from {low:g} to {high:g}: expected 0 to 1 or 0 to 255")
        return _grey((values * 255).round()) if high <= 1 else image.convert("RGB")
    if image.has_transparency_data:
        return _on_background(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey(levels: NDArray[Any]) -> Image.Image:
    return Image.fromarray(levels.astype(np.uint8)).convert("RGB")


def _on_background(image: Image.Image) -> Image.Image:
    coloured = image.convert("RGBA")
    if coloured.getchannel("A").getextrema() == (
        255,
        255,
    ):  # nothing shows through: exactly the colours that are stored
        return coloured.convert("RGB")
    background = Image.new("RGBA", coloured.size, (*BACKGROUND, 255))
    return Image.alpha_composite(background, coloured).convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the EXIF data are damaged."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data raise nearly anything; the pixels may be sound
        return 1
    return found if found in range(1, 9) else 1


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; the very same one where it is upright already."""
    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


@contextmanager
def _opened(file: Path | bytes, where: str) -> Iterator[Image.Image]:
    """An image whose header is read; every failure within the context becomes a `DataError` that names it."""
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except (MemoryError, DataError):
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{where} has too many pixels: expected at most {MAX_PIXELS:,}; make the image smaller or remove it."
        ) from error
    except Exception as error:  # the decoders raise OSError, SyntaxError, ValueError, struct.error and more
        reason = " ".join(str(error).split()) or type(error).__name__
        # Pillow names the in-memory file by its address, which helps nobody.
        reason = reason.partition(" <_io.")[0]
        raise DataError(f"Cannot read {where} ({reason}): replace or remove this image.") from error


def decode(file: Path | bytes, where: str) -> Image.Image:
    """Decodes one image; of several frames or pages the first.

    Args:
        file: its path or its bytes.
        where: what to call the image in an error.

    Returns:
        The image, upright, in RGB, fully loaded.

    Raises:
        DataError: the image cannot be read, no rule covers its levels, or it has more than `MAX_PIXELS`.
    """
    with _opened(file, where) as image:
        image.load()
        return to_rgb(upright(image))


def size_of(file: Path | bytes, where: str) -> tuple[int, int]:
    """Width and height of the upright image, from its header.

    Raises:
        DataError: the header cannot be read, or says more than `MAX_PIXELS`.
    """
    with _opened(file, where) as image:
        return _turned_size(image)


def highest_level(file: Path | bytes, where: str) -> int | None:
    """The highest level of a 16-bit image, of all its colours; None for every other kind.

    Of several channels Pillow keeps the upper 8 bits alone: the lower ones count as if they were set.

    Raises:
        DataError: as `decode`.
    """
    with _opened(file, where) as image:
        if image.mode in _SIXTEEN_BITS:
            return int(np.asarray(image).max())
        if not _stored_in_16_bits(image):
            return None
        colours = [band for band in image.getbands() if band != "A"]
        return max(int(np.asarray(image.getchannel(band)).max()) for band in colours) << 8 | 0xFF


def _stored_in_16_bits(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet has channels of 16 bits in its file, by Pillow's raw mode."""
    for _, _, _, arguments in image.tile if isinstance(image, ImageFile.ImageFile) else ():
        raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
        if isinstance(raw, str) and raw.partition(";")[2].startswith("16"):
            return True
    return False


def check_image(file: Path | bytes, where: str) -> tuple[int, int]:
    """Looks for damage without decoding where that is possible.

    A PNG has checksums. A JPEG file that was cut short has no end marker; damage in its middle does not keep it from
    being decoded. Everything else is decoded.

    Returns:
        Width and height of the upright image.

    Raises:
        DataError: as `decode`.
    """
    with _opened(file, where) as image:
        plain = image.mode in ("RGB", "L")
        if plain and image.format == "PNG":
            size = _turned_size(image) if "exif" in image.info else image.size
            image.verify()
            return size
        if plain and image.format == "JPEG" and _JPEG_END in _tail(file):
            return _turned_size(image)
    return decode(file, where).size


def _turned_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    # Pillow's own TIFF reader turns the image, and says its size turned from the start.
    turned = width != height and image.format != "TIFF" and _orientation(image) >= 5
    return (height, width) if turned else (width, height)


def _tail(file: Path | bytes) -> bytes:
    if isinstance(file, bytes):
        return file[-_JPEG_TAIL:]
    with file.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _JPEG_TAIL))
        return stream.read()


def shorter_side(height: int, width: int, resizing: str) -> int:
    """Side that `at_size` resizes the shorter side of an image to: of all of it, or with "fit" of the part it keeps."""
    return round(max(height, width) * 256 / 224) if resizing != "fit" else min(height, width)


def at_size(image: Image.Image, height: int, width: int, resizing: str = "fit") -> NDArray[np.uint8]:
    """Brings an image to a size, bilinear, with antialiasing but for ``crop-aliased``.

    Args:
        image: RGB.
        height: pixels.
        width: pixels.
        resizing: ``fit`` cuts the largest centred part of that shape and resizes it, as images in memory are;
            ``crop`` resizes the shorter side to `shorter_side` and cuts the centre, as ImageNet is evaluated and
            streamed images are; ``crop-aliased`` does so without antialiasing, from the four nearest pixels, as the
            code of RLNAS and GeNAS does through OpenCV.

    Returns:
        [3, height, width] uint8.
    """
    if resizing != "fit":
        image = _centre_of_strip(image)
        side, (across, down) = shorter_side(height, width, resizing), image.size
        short, long = sorted(image.size)
        if short != side:
            aliased = resizing == "crop-aliased"
            longer = int(side * long / short + 0.5) if aliased else int(side * long / short)
            size = (side, longer) if across <= down else (longer, side)
            image = _aliased(image, *size) if aliased else image.resize(size, Image.Resampling.BILINEAR)
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        image = image.crop((left, top, left + width, top + height))
    elif image.size != (width, height):
        # Crops to the shape first: the same result as resizing first, without a huge image for a long strip.
        image = ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def _centre_of_strip(image: Image.Image) -> Image.Image:
    """The middle of a very long image, whose shorter side alone could not be resized without filling the memory."""
    across, down = image.size
    longest = _STRIP * min(across, down)
    if max(across, down) <= longest:
        return image
    left, top = max(0, (across - longest) // 2), max(0, (down - longest) // 2)
    return image.crop((left, top, left + min(across, longest), top + min(down, longest)))


def _aliased(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image at another size, each pixel bilinear between the four that are nearest to its centre."""
    levels = np.asarray(image).astype(np.float32)
    for axis, size in ((0, height), (1, width)):
        side = levels.shape[axis]
        places = ((np.arange(size) + 0.5) * (side / size) - 0.5).clip(0, side - 1)
        first = places.astype(np.int64)
        share = (places - first).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        before, after = (np.take(levels, which, axis) for which in (first, np.minimum(first + 1, side - 1)))
        levels = before + share * (after - before)
    return Image.fromarray(np.rint(levels).astype(np.uint8))


def square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """See `at_size`; [3, size, size] uint8."""
    return at_size(image, size, size)


def load_all(load: Callable[[int], Image.Image], count: int, size: int, resizing: str = "fit") -> Tensor:
    """Loads all images into memory, on several threads.

    Args:
        load: gives the RGB image of a number; called from several threads.
        count: number of images.
        size: side in pixels.
        resizing: see `at_size`.

    Returns:
        [count, 3, size, size] uint8.

    Raises:
        DataError: from `load`; the first in stored order among those that were met.
    """
    pixels = np.empty((count, 3, size, size), dtype=np.uint8)

    def fill(first: int) -> None:
        for index in range(first, min(first + _CHUNK, count)):
            pixels[index] = at_size(load(index), size, size, resizing)

    for _ in Threads(worker_count()).map(fill, range(0, count, _CHUNK)):
        pass
    return torch.from_numpy(pixels)


def sample_numbers(count: int, most: int) -> list[int]:
    """At most `most` numbers below `count`, evenly spaced."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, most)).round()] if count else []
