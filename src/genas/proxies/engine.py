"""Evaluation by ONNX Runtime or OpenVINO, and which engine a run takes.

The network is folded (`genas.proxies.folding`), its graph built once (`genas.spaces.graph`), and a session made of it
for each set of weights: with the weights as constants the library lays them out in blocks beforehand, which is worth
more than what making the session costs. Pieces of a batch run side by side on the threads of torch, small enough that
activations stay in the cache of a core: as fast as threads inside the operators on a quiet machine, and faster on a
busy one (``benchmarks/engines.py``). The size of the pieces does not enter the losses: in evaluation mode images do
not know one another.
"""

import math
import random
import statistics
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from genas.core.device import Fabric
from genas.core.errors import ConfigError, GenasError
from genas.core.lazy import check_extra
from genas.proxies.folding import Folded
from genas.spaces.base import Space
from genas.spaces.graph import IMAGES, Graph

Engine = Literal["auto", "fast", "plain", "onnxruntime", "openvino"]
EvaluationPrecision = Literal["run", "bf16"]
Runner = Callable[[Tensor], Tensor]

PIECE = 16  # images: activations of a small network fit the cache of a core
TOLERANCES = {"run": 1e-5, "bf16": 0.05}  # relative difference of a mean loss; of bf16, against gross faults
_TRIALS = 3  # architectures that ``auto`` tries
_TRIAL_BATCH = (64, 3, 32, 32)  # two for each thread


class Served(ABC):
    """A network's evaluation mode by a library of serving, on the CPU.

    Args:
        source: the network whose weights `refresh` takes; never changed.
        image_shape: C, H, W.
        precision: ``run`` is single precision here.

    Raises:
        UnsupportedNetwork: no graph can be built of it.
    """

    packages: ClassVar[tuple[str, ...]]
    precisions: ClassVar[tuple[EvaluationPrecision, ...]] = ("run",)

    def __init__(
        self, source: nn.Module, image_shape: tuple[int, int, int], precision: EvaluationPrecision = "run"
    ) -> None:
        self.source, self.precision = source, precision
        self._folded = Folded(source, torch.contiguous_format)
        self._graph = Graph(self._folded.refresh(), image_shape)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(1)  # its thread begins with the first work and ends with this object

    def refresh(self) -> Runner:
        """What computes logits [B, classes] of images [B, C, H, W] with the source's present weights and statistics."""
        return self.make(self._model(), self._threads)

    def begin(self) -> Runner:
        """As `refresh`; made beside what goes on, and waited for by the first call."""
        making = self._pool.submit(self.make, self._model(), self._threads)
        return lambda images: making.result()(images)

    def _model(self) -> bytes:
        self._folded.refresh()
        return bytes(self._graph.model().SerializeToString())

    @abstractmethod
    def make(self, model: bytes, threads: int) -> Runner:
        """What computes an ONNX model; may be called by that many threads at once."""


class OnnxRuntime(Served):
    """By ONNX Runtime, in single precision."""

    packages = ("onnx", "onnxruntime")

    def make(self, model: bytes, threads: int) -> Runner:
        """See `Served.make`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {IMAGES: images.contiguous().numpy()})[0])

        return run


class OpenVino(Served):
    """By OpenVINO, in single precision or bfloat16; made in several times the time of ONNX Runtime."""

    packages = ("onnx", "openvino")
    precisions = ("run", "bf16")
    _core: ClassVar[Any] = None

    def make(self, model: bytes, threads: int) -> Runner:
        """See `Served.make`."""
        # OpenVINO then imports a stub; the package writes into the home folder and reports its use
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        if OpenVino._core is None:
            OpenVino._core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
        }
        compiled = OpenVino._core.compile_model(OpenVino._core.read_model(model), "CPU", settings)
        own = threading.local()  # a request serves one thread

        def run(images: Tensor) -> Tensor:
            if not hasattr(own, "request"):
                own.request = compiled.create_infer_request()
            return torch.from_numpy(own.request.infer({0: images.contiguous().numpy()}, share_inputs=True)[0].copy())

        return run


@dataclass(frozen=True)
class Frozen:
    """A network's evaluation mode with the weights of one moment, whatever they become."""

    run: Runner


SERVED: dict[Engine, type[Served]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}
EXTRAS = {"onnxruntime": "engine", "openvino": "openvino"}


def in_pieces(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels, `PIECE` of a batch at a time."""
    for images, labels in batches:
        yield from zip(torch.split(images, PIECE), torch.split(labels, PIECE), strict=True)


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
    if engine not in SERVED:
        return
    served = SERVED[engine]
    check_extra(served.packages, EXTRAS[engine], ", or use proxy.evaluation.engine=fast")
    if fabric.device.type != "cpu" or mode != "32-true":
        raise ConfigError(
            f"proxy.evaluation.engine={engine}: expected device cpu and precision 32, got device "
            f"{fabric.device.type} and precision {mode.partition('-')[0]}; use proxy.evaluation.engine=fast."
        )
    if precision not in served.precisions:
        raise ConfigError(
            f"proxy.evaluation.engine={engine}: expected proxy.evaluation.precision=run, got {precision}; use "
            "proxy.evaluation.engine=openvino or fast."
        )


def packages_of(engine: Engine) -> tuple[str, ...]:
    """Packages beyond those of every run that decide how an engine rounds."""
    return SERVED[engine].packages[1:] if engine in SERVED else ()


def check_equal(served: Served, runner: Runner, network: nn.Module, images: Tensor, labels: Tensor) -> float | None:
    """Compares the mean loss of an engine with the network's own.

    Args:
        served: the engine.
        runner: what its `refresh` gave.
        network: in evaluation mode.
        images: [B, C, H, W] float32 on the CPU.
        labels: [B].

    Returns:
        The relative difference; None where the network's own loss is not finite and nothing can be compared.

    Raises:
        GenasError: the losses differ by more than `TOLERANCES` allows.
    """
    with torch.inference_mode():
        ours, theirs = (functional.cross_entropy(one(images).double(), labels).item() for one in (runner, network))
    if not math.isfinite(theirs):
        return None
    difference, tolerance = abs(ours - theirs) / max(abs(theirs), 1e-6), TOLERANCES[served.precision]
    if not difference <= tolerance:
        library = served.packages[-1]
        raise GenasError(
            f"expected the loss of the engine {library} to equal torch's to {tolerance:g}, got {ours:.9g} and "
            f"{theirs:.9g}; use proxy.evaluation.engine=fast, or another version of {library}."
        )
    return difference


def choose_engine(space: Space, fabric: Fabric, precision: EvaluationPrecision = "run") -> Engine:
    """What ``auto`` stands for here: the fastest of what a trial shows to be equal, ``fast`` where in doubt.

    The trial takes random architectures of the space with fresh weights and random images of 32x32, two batches of 64
    for each thread, and times a whole evaluation: folding, making the session, computing. In bfloat16 losses are not
    equal to single precision's, so that ``auto`` is ``fast``.

    Args:
        space: the search space.
        fabric: device and precision of the run.
        precision: of the evaluation.
    """
    names: list[Engine] = []
    for name in SERVED if precision == "run" else ():
        try:
            check_engine(name, fabric, precision)
        except ConfigError:
            continue
        names.append(name)
    try:
        times = {name: _time_against_fast(space, name) for name in names}
    except Exception:  # whatever a custom space or a foreign library raises: `fast` works with everything
        return "fast"
    return min((name for name in times if times[name] < 1), key=times.__getitem__, default="fast")


def _time_against_fast(space: Space, name: Engine) -> float:
    """Median of the seconds of an evaluation, those of ``fast`` being 1; infinite where losses cannot be compared."""
    images = torch.randn(_TRIAL_BATCH, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(len(images)) % 10
    batches = 2 * torch.get_num_threads()
    pieces = [one for one, _ in in_pieces([(images, labels)] * batches)]
    laid_out = images.contiguous(memory_format=torch.channels_last)
    ratios = []
    for seed in range(_TRIALS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = space.network(10, space.sample(random.Random(seed)), images.shape[1]).eval()
        network.to(memory_format=torch.channels_last)  # torch is slow in the other one
        served, folded = SERVED[name](network, _TRIAL_BATCH[1:]), Folded(network)
        if check_equal(served, served.refresh(), network, laid_out[:PIECE], labels[:PIECE]) is None:
            return math.inf
        ratios.append(_seconds(served.refresh, pieces) / _seconds(folded.refresh, [laid_out] * batches))
    return statistics.median(ratios)


def _seconds(refresh: Callable[[], Runner], items: Sequence[Tensor]) -> float:
    """Of an evaluation with new weights, its items side by side."""
    threads = torch.get_num_threads()
    begun = time.perf_counter()
    run = refresh()

    def one(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return run(images)

    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(one, items))
    finally:
        torch.set_num_threads(threads)  # the workers' setting is also what threads to come begin with
    return time.perf_counter() - begun
