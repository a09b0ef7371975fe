"""ImageNet16-120 (Dong and Yang 2020, arXiv:2001.00326): the first 120 ImageNet classes at 16 x 16 pixels.

The set comes as Python pickles, which can run any code when they are opened. Here they are read by an unpickler that
knows NumPy arrays of numbers, lists, numbers and strings and refuses everything else. An array takes its values from
the file's own bytes, so no shape that a file states can fill the memory.
"""

import pickle
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genas.core.errors import DataError
from genas.data.augment import Augmentation
from genas.data.base import Dataset, Splits
from genas.data.loader import ResidentImages
from genas.data.normalisation import IMAGENET16
from genas.data.split import make_splits

_NUMBER = re.compile(r"[|<>=]?[biuf][1248]")
_RECONSTRUCT: Any = np.empty(0, np.uint8).__reduce__()[0]
_CLASSES = 120
_SIZE = 16  # pixels
_TRAIN_FILES = tuple(f"train_data_batch_{number}" for number in range(1, 11))
_TEST_FILE = "val_data"


class ImageNet16_120(Dataset):
    """ImageNet16-120: 120 classes, 3 x 16 x 16; published normalisation, crop padding of 2 and flip.

    Args:
        root: the folder that holds ``train_data_batch_1`` to ``train_data_batch_10`` and ``val_data``.
    """

    name = "imagenet16-120"

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser()

    def splits(self, seed: int) -> Splits:
        """Divides the training images into class-balanced halves by `seed`.

        Raises:
            DataError: a file is missing, malformed, or holds anything but arrays.
        """
        train, test = self._loaded
        return make_splits(
            train,
            test,
            seed,
            normalisation=IMAGENET16,
            class_names=tuple(str(number) for number in range(1, _CLASSES + 1)),
            augmentation=Augmentation(crop_padding=2, flip=True),
        )

    @cached_property
    def _loaded(self) -> tuple[ResidentImages, ResidentImages]:
        missing = [name for name in (*_TRAIN_FILES, _TEST_FILE) if not (self.root / name).is_file()]
        if missing:
            raise DataError(
                f"ImageNet16-120 lacks {', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''} in "
                f"{self.root.absolute()}: put the ten training batches and {_TEST_FILE} there."
            )
        parts = [_read_batch(self.root / name) for name in _TRAIN_FILES]
        pixels, labels = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        train = ResidentImages(pixels, labels, IMAGENET16)
        return train, ResidentImages(*_read_batch(self.root / _TEST_FILE), IMAGENET16)


def load_arrays(path: Path) -> Any:
    """Reads a pickle of plain containers and NumPy arrays; never runs code from it.

    Args:
        path: the file.

    Raises:
        DataError: the file is damaged or refers to anything but NumPy arrays.
    """
    try:
        with path.open("rb") as file:
            # Latin-1 maps bytes to characters one to one, which is how Python 2 pickles keep arrays.
            return _ArrayUnpickler(file, encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"Cannot read {path} ({error.strerror}).") from error
    except Exception as error:  # a malformed pickle can raise nearly anything
        raise DataError(f"{path} is not a readable batch file ({type(error).__name__}): fetch it again.") from error


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stands in for `codecs.encode`, which could also be told to unpack a compression bomb."""
    if encoding not in ("latin1", "latin-1"):
        raise DataError(f"refused, it asks for the encoding {encoding!r}, and a batch file only needs latin1.")
    return text.encode("latin1")


class _ArrayClass:
    """Stands in for `numpy.ndarray`, which could be called with any shape and would fill the memory."""


def _empty_array(kind: Any, shape: Any, code: Any) -> Any:
    """Stands in for NumPy's ``_reconstruct``: the empty array that a pickle's state then fills from its bytes."""
    if kind is not _ArrayClass or tuple(shape) != (0,):
        raise DataError(f"refused, it asks for an array of shape {shape}, and pickled arrays begin empty.")
    return _RECONSTRUCT(np.ndarray, (0,), code)


def _number_type(code: Any, *options: Any) -> Any:
    """Stands in for `numpy.dtype`: of plain numbers only, whose size is small and known."""
    if not isinstance(code, str) or not _NUMBER.fullmatch(code):
        raise DataError(f"refused, it asks for values of the type {str(code)[:20]!r}, and a batch file holds numbers.")
    return np.dtype(code)


def _allowed() -> dict[tuple[str, str], Any]:
    array = np.empty(0, np.uint8)
    from_buffer = array.__reduce_ex__(5)[0]
    scalar = np.uint8(0).__reduce__()[0]
    allowed: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _ArrayClass,
        ("numpy", "dtype"): _number_type,
        ("_codecs", "encode"): _encode,
        ("codecs", "encode"): _encode,
    }
    for core in ("numpy.core", "numpy._core"):  # the module's name before and after NumPy 2
        allowed[core + ".multiarray", "_reconstruct"] = _empty_array
        allowed[core + ".multiarray", "scalar"] = scalar
        allowed[core + ".numeric", "_frombuffer"] = from_buffer
    return allowed


class _ArrayUnpickler(pickle._Unpickler):
    # The one written in Python: the other gives a list of as many places as a file says, 34 GB for one of 8 bytes.
    _ALLOWED = _allowed()

    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise DataError(f"refused, it asks for {module}.{name}, and a batch file only holds arrays.") from None


def _read_batch(path: Path) -> tuple[Tensor, Tensor]:
    """Images [N, 3, 16, 16] uint8 and labels [N] from 0 of the first 120 classes of one batch file."""
    batch = load_arrays(path)
    try:
        pixels, labels = batch["data"], batch["labels"]
        # Lists within lists can refer to one another and grow without bound when they become an array.
        if not isinstance(pixels, np.ndarray):
            raise TypeError(f"data are of the type {type(pixels).__name__}, not an array")
        if not isinstance(labels, np.ndarray) and not all(isinstance(label, int | np.integer) for label in labels):
            raise TypeError("labels are not numbers")
        labels = np.asarray(labels).astype(np.int64)
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3 * _SIZE * _SIZE):
            raise ValueError(f"data are {list(pixels.shape)} {pixels.dtype} for {len(labels)} labels")
        if len(labels) and labels.min() < 1:
            raise ValueError(f"a label is {labels.min()}, they start at 1")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path} is not an ImageNet16 batch ({error}): fetch it again.") from error
    kept = labels <= _CLASSES
    images = torch.from_numpy(pixels[kept].reshape(-1, 3, _SIZE, _SIZE))
    return images, torch.from_numpy(labels[kept] - 1)
