"""A trained network as a folder that is of use without genas, on the disk and on a hub: what ``genas export`` does."""

from dataclasses import replace
from pathlib import Path

from genas.core.errors import ConfigError
from genas.data import Dataset
from genas.deploy.export import Exported
from genas.deploy.export import export as write_export
from genas.deploy.hub import push_to_hub
from genas.deploy.onnx import OnnxInput


def export(
    path: str | Path,
    out: str | Path,
    *,
    onnx: bool = False,
    onnx_input: OnnxInput = "normalised",
    licence: str = "other",
    data: str | type[Dataset] | Dataset | None = None,
    data_root: str | Path | None = None,
    push: str | None = None,
    private: bool = False,
) -> Exported:
    """Exports a trained network: weights, code that needs torch only, a model card and, if asked for, ONNX.

    Args:
        path: a run folder of ``genas search``, a folder of ``genas retrain``, an exported folder, or a file of weights.
        out: the folder to make; it must not exist, or be empty.
        onnx: also write ``model.onnx`` (needs ``genas[export]``).
        onnx_input: ``normalised`` images, or ``pixels`` with the normalisation inside the graph.
        licence: for the card's header, an identifier such as ``apache-2.0``.
        data: data set (a name, a `Dataset` subclass or an object of one) whose test images the export is checked on;
            None for the run's own.
        data_root: folder that holds the files of a named data set.
        push: ``OWNER/NAME`` on the Hugging Face hub, where the folder is pushed to; None for nowhere.
        private: make a new repository of the hub private.

    Returns:
        Where it lies and how it was checked.

    Raises:
        GenasError: no such network, `out` is in use, a check did not hold; nothing is left behind.
    """
    if private and push is None:
        raise ConfigError("--private is for --push-to-hub; give both or neither.")
    done = write_export(path, out, onnx=onnx, onnx_input=onnx_input, data=data, data_root=data_root, licence=licence)
    if push is None:
        return done
    return replace(done, pushed=push_to_hub(done.folder, push, private=private or None))
