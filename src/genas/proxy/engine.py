"""Evaluation by ONNX Runtime, and which engine a run takes.

The network is folded (`genas.proxy.folding`), its graph built once (`genas.space.graph`), and a session made of it for
each set of weights: with the weights as constants ONNX Runtime lays them out in blocks beforehand, which is worth more
than what making the session costs. Weights as inputs, swapped without making it again, and threads inside the
operators were measured slower (``benchmarks/engines.py``). Batches run side by side on the threads of torch instead.
"""

import importlib.util
import math
import random
import statistics
import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from genas.device import Fabric
from genas.errors import ConfigError, GenasError
from genas.proxy.folding import Folded
from genas.space.base import Space
from genas.space.graph import IMAGES, Graph

Engine = Literal["auto", "fast", "plain", "onnxruntime"]
EvaluationPrecision = Literal["run", "bf16"]
Runner = Callable[[Tensor], Tensor]

NEEDED = ("onnx", "onnxruntime")
TOLERANCE = 1e-5  # relative difference of a mean loss
_TRIALS = 3  # architectures that ``auto`` tries
_ROUNDS = 3
_TRIAL_IMAGES = (64, 3, 32, 32)


def check_engine(engine: Engine, fabric: Fabric, precision: EvaluationPrecision = "run") -> None:
    """Refuses an engine that this machine or precision does not have.

    Args:
        engine: the engine of an evaluation.
        fabric: device and precision of the run.
        precision: of the evaluation.

    Raises:
        ConfigError: with what to do instead.
    """
    mode = fabric.precision.mode
    if precision == "bf16" and mode not in ("32-true", "bf16-mixed"):
        raise ConfigError(
            f"proxy.evaluation.precision=bf16: expected a run of precision 32 or bf16, got {mode.partition('-')[0]}; "
            "use proxy.evaluation.precision=run."
        )
    if engine != "onnxruntime":
        return
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"proxy.evaluation.engine=onnxruntime: expected the packages {' and '.join(NEEDED)}, got none of the name "
            f"{' and '.join(missing)}; install them with: pip install 'genas[engine]', or use "
            "proxy.evaluation.engine=fast."
        )
    if fabric.device.type != "cpu" or mode != "32-true" or precision == "bf16":
        got = "bf16" if precision == "bf16" else mode.partition("-")[0]
        raise ConfigError(
            "proxy.evaluation.engine=onnxruntime: expected device cpu and precision 32, got device "
            f"{fabric.device.type} and precision {got}; use "
            "proxy.evaluation.engine=fast."
        )


def packages_of(engine: Engine) -> tuple[str, ...]:
    """Packages beyond those of every run that decide how an engine rounds."""
    return ("onnxruntime",) if engine == "onnxruntime" else ()


class OnnxRuntime:
    """A network's evaluation mode by ONNX Runtime, in single precision on the CPU.

    Args:
        source: the network whose weights `refresh` takes; never changed.
        image_shape: C, H, W.

    Raises:
        UnsupportedNetwork: no graph can be built of it.
    """

    def __init__(self, source: nn.Module, image_shape: tuple[int, int, int]) -> None:
        self.source = source
        self._folded = Folded(source, torch.contiguous_format)
        self._graph = Graph(self._folded.refresh(), image_shape)

    def refresh(self) -> Runner:
        """What computes logits [B, classes] of images [B, C, H, W] with the source's present weights and statistics."""
        import onnxruntime

        self._folded.refresh()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            self._graph.model().SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {IMAGES: images.contiguous().numpy()})[0])

        return run


def check_equal(engine: Runner, network: nn.Module, images: Tensor, labels: Tensor) -> float | None:
    """Compares the mean loss of an engine with the network's own.

    Args:
        engine: what `OnnxRuntime.refresh` gave.
        network: in evaluation mode.
        images: [B, C, H, W] float32 on the CPU.
        labels: [B].

    Returns:
        The relative difference; None where the network's own loss is not finite and nothing can be compared.

    Raises:
        GenasError: the losses differ by more than `TOLERANCE`.
    """
    with torch.inference_mode():
        ours, theirs = (functional.cross_entropy(one(images).double(), labels).item() for one in (engine, network))
    if not math.isfinite(theirs):
        return None
    difference = abs(ours - theirs) / max(abs(theirs), 1e-6)
    if not difference <= TOLERANCE:
        raise GenasError(
            f"expected the loss of ONNX Runtime to equal torch's to {TOLERANCE:g}, got {ours:.9g} and {theirs:.9g}; "
            "use proxy.evaluation.engine=fast, or another version of onnxruntime."
        )
    return difference


def choose_engine(space: Space, fabric: Fabric, precision: EvaluationPrecision = "run") -> Engine:
    """What ``auto`` stands for here: ``onnxruntime`` where a trial shows it equal and faster, else ``fast``.

    The trial takes random architectures of the space with fresh weights and random images, one batch of 64 of 32x32.

    Args:
        space: the search space.
        fabric: device and precision of the run.
        precision: of the evaluation.
    """
    try:
        check_engine("onnxruntime", fabric, precision)
        return "onnxruntime" if _is_equal_and_faster(space) else "fast"
    except Exception:  # whatever a custom space or a foreign library raises: `fast` works with everything
        return "fast"


@torch.inference_mode()
def _is_equal_and_faster(space: Space) -> bool:
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(_TRIAL_IMAGES, generator=generator), torch.arange(_TRIAL_IMAGES[0]) % 10
    laid_out = images.contiguous(memory_format=torch.channels_last)
    ratios = []
    for seed in range(_TRIALS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = space.network(10, space.sample(random.Random(seed)), _TRIAL_IMAGES[1]).eval()
        engine, folded = OnnxRuntime(network, _TRIAL_IMAGES[1:]).refresh(), Folded(network).refresh()
        if check_equal(engine, network, images, labels) is None:
            return False
        engine(images), folded(laid_out)
        for _ in range(_ROUNDS):
            ratios.append(_seconds(folded, laid_out) / _seconds(engine, images))
    return statistics.median(ratios) > 1


def _seconds(run: Runner | nn.Module, images: Tensor) -> float:
    begun = time.perf_counter()
    run(images)
    return time.perf_counter() - begun
