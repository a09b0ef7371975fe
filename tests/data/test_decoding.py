"""The one decoder: what a file shows is what comes out, or a sentence that names the file."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from genas.core.errors import DataError
from genas.data.decoding import BACKGROUND, MAX_PIXELS, at_size, check_image, decode, size_of, to_rgb

ORIENTATION = 0x0112
TURNS = {  # orientation: what makes the stored image out of the upright one
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def stored(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def grey(image):
    return np.asarray(image)[..., 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", TURNS)
def test_the_exif_orientation_is_applied_and_sizes_are_seen_turned(kind, orientation):
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8))
    turn = TURNS[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {}
    content = stored(upright if turn is None else upright.transpose(turn), kind, exif=exif, **lossless)
    assert np.array_equal(np.asarray(decode(content, "x")), np.asarray(upright))
    assert size_of(content, "x") == check_image(content, "x") == (6, 4)


def test_damaged_exif_data_do_not_hide_sound_pixels():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8))
    for exif in (b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"rubbish", b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff"):
        assert np.array_equal(np.asarray(decode(stored(image, exif=exif), "x")), np.asarray(image))


def test_sixteen_bit_levels_are_divided_by_256():
    levels = np.array([[0, 255, 256, 51_200, 65_535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        assert grey(decode(stored(Image.fromarray(levels), kind), "x")).tolist() == [[0, 0, 1, 200, 255]]
    pgm = b"P5 1 2 65535\n" + np.array([51_200, 65_535], ">u2").tobytes()
    assert grey(decode(pgm, "x")).tolist() == [[200], [255]]


def test_32_bit_integers_and_floats_keep_their_grey_levels_or_are_refused():
    def tiff(values, kind):
        return decode(stored(Image.fromarray(np.array([values], kind)), "TIFF"), "scan.tif")

    assert grey(tiff([0, 7, 200, 255], np.int32)).tolist() == [[0, 7, 200, 255]]
    assert grey(tiff([0, 51_200, 65_535], np.int32)).tolist() == [[0, 200, 255]]
    assert grey(tiff([0, 0.5, 1], np.float32)).tolist() == [[0, 128, 255]]
    assert grey(tiff([0, 2.9, 255], np.float32)).tolist() == [[0, 2, 255]]
    for values, kind in (
        ([-1, 5], np.int32),
        ([0, 70_000], np.int32),
        ([-0.5, 1], np.float32),
        ([0, 256], np.float32),
        ([0, np.nan], np.float32),
    ):
        with pytest.raises(DataError, match=r"Cannot read scan.tif \(.* levels from .* expected 0 to"):
            tiff(values, kind)


def test_transparency_is_composited_on_the_stated_background():
    shape = np.zeros((4, 4, 4), np.uint8)
    shape[1:3, 1:3, 3] = 255  # the shape is in the alpha channel alone
    for image, kind in (
        (Image.fromarray(shape), "PNG"),
        (Image.fromarray(shape), "WEBP"),
        (Image.fromarray(shape[..., [0, 3]]), "PNG"),
    ):
        seen = np.asarray(decode(stored(image, kind, **({"lossless": True} if kind == "WEBP" else {})), "x"))
        assert (seen[0, 0] == BACKGROUND).all()
        assert (seen[1:3, 1:3] == 0).all()
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    palette.putpalette([9, 9, 9, 0, 0, 0])
    assert np.asarray(decode(stored(palette, transparency=0), "x"))[0].tolist() == [list(BACKGROUND), [0, 0, 0]]
    key = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert np.asarray(decode(stored(key, transparency=(1, 2, 3)), "x"))[0].tolist() == [list(BACKGROUND), [4, 5, 6]]


def test_opaque_pixels_come_out_as_they_are_stored():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    assert np.array_equal(np.asarray(to_rgb(Image.fromarray(pixels))), pixels[..., :3])
    half = np.array([[[0, 0, 0, 128]]], np.uint8)
    assert np.asarray(to_rgb(Image.fromarray(half)))[0, 0].tolist() == [127, 127, 127]


def huge_png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 10_000), (32_000, 32_000), (178_956_971, 1)])
@pytest.mark.parametrize("read", [decode, size_of, check_image])
def test_too_many_pixels_are_refused_in_one_sentence_that_names_file_and_limit(size, read, tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(huge_png(*size))
    with pytest.raises(DataError) as caught:
        read(path, str(path))
    assert str(caught.value).startswith(f"{path} has too many pixels: expected at most {MAX_PIXELS:,}")


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {}), ("BMP", {}), ("WEBP", {}), ("TIFF", {})])
def test_the_check_finds_a_file_that_was_cut_short_and_passes_whole_ones(kind, options):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8))
    content = stored(image, kind, **options)
    assert check_image(content, "x") == (48, 64)
    for length in (0, 10, len(content) // 2, len(content) - 20):
        with pytest.raises(DataError, match="Cannot read cut"):
            check_image(content[:length], "cut")
    if kind == "JPEG":
        assert check_image(content + bytes(10_000), "x") == (48, 64)  # what follows the end marker does no harm
        with pytest.raises(DataError, match="Cannot read"):
            check_image(content[:-2000] + bytes(5000), "zeros")
    if kind == "PNG":
        damaged = bytearray(content)
        damaged[len(content) // 2] ^= 1
        with pytest.raises(DataError, match="Cannot read"):
            check_image(bytes(damaged), "flipped")


def test_the_first_frame_counts_and_no_ink_is_white():
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    assert grey(decode(stored(frames[0], "GIF", save_all=True, append_images=frames[1:]), "x")).max() == 10
    assert np.asarray(decode(stored(Image.new("CMYK", (2, 2)), "JPEG"), "x")).min() > 250


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1)])
@pytest.mark.parametrize("resizing", ["fit", "crop", "crop-aliased"])
def test_a_strip_is_not_enlarged_whole(size, resizing):
    """One side of 256 would make the other 25 million pixels long: 20 GB."""
    start = time.monotonic()
    assert at_size(Image.new("RGB", size, (1, 2, 3)), 224, 224, resizing).shape == (3, 224, 224)
    assert time.monotonic() - start < 2
