"""What a GPU needs of the code, as far as it can be seen without one."""

import contextlib

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from genas.device import Fabric, describe_machine, open_fabric
from genas.errors import ConfigError
from genas.proxy import EvaluationSettings, Scoring
from genas.space import open_space
from genas.supernet import SupernetSettings, initialise, recalibrate, train_supernet

SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)
BATCH = 4


class Waits(TorchDispatchMode):
    """Takes down what makes the host wait for a device, for which the device "meta" stands in."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        named = named or {}
        name = function.overloadpacket.__name__
        tensors = [one for one in arguments if isinstance(one, torch.Tensor)]
        if name == "_local_scalar_dense" and tensors[0].is_meta:
            self.found.append(name)
            return 1
        if name == "_to_copy" and torch.device(named.get("device") or tensors[0].device) != tensors[0].device:
            self.found += [] if named.get("non_blocking") else [name]
        if name == "copy_" and tensors[0].device != tensors[1].device:
            self.found += [] if len(arguments) > 2 and arguments[2] else [name]
        return function(*arguments, **named)


class Made(TorchFunctionMode):
    """Takes down tensors that are made on the device from numbers of the host."""

    def __init__(self, waits):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function, types, arguments=(), named=None):
        out = function(*arguments, **(named or {}))
        if function in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor) and out.is_meta:
            self.waits.found.append(function.__name__)
        return out


def waits_of(work):
    """How often `work` waits for the device until it copies from there, where "meta" has nothing."""
    with Waits() as waits, Made(waits), contextlib.suppress(NotImplementedError):
        work()
    return len(waits.found)


@pytest.fixture
def meta_scoring(tiny):
    network = initialise(SPACE, tiny.num_classes, 3, 0).to("meta").eval()
    return Scoring(SPACE, network, {}, tiny, Fabric("meta"), 0, evaluation=EvaluationSettings(batch_size=BATCH))


def test_waits_are_seen():
    one = torch.ones((), device="meta")
    assert waits_of(lambda: one.item()) == 1
    assert waits_of(lambda: one.new_tensor(3)) == 1
    assert waits_of(lambda: torch.ones(2).to("meta")) == 1
    assert waits_of(lambda: torch.ones(2).to("meta", non_blocking=True)) == 0
    assert waits_of(lambda: one.new_full((), 3)) == 0


@pytest.mark.parametrize("clip", [None, 5.0])
def test_a_step_of_the_supernet_does_not_wait_for_the_device(make_splits, tmp_path, clip):
    def steps(count):
        splits = make_splits(count=2 * BATCH * count)
        settings = SupernetSettings(epochs=1, batch_size=BATCH, clip=clip)
        folder = tmp_path / str(count)
        return waits_of(lambda: train_supernet(folder, SPACE, splits, settings, Fabric("meta"), 0, quiet=True))

    assert steps(2) == steps(6) > 0


def test_recalibration_does_not_wait_for_the_device(meta_scoring):
    network = meta_scoring.extract(SPACE.parse("333333"))
    images = [torch.ones(BATCH, 3, 8, 8, device="meta")] * 3
    for averaging in ("cumulative", "momentum"):
        assert waits_of(lambda averaging=averaging: recalibrate(network, images, averaging)) == 0


def test_an_evaluation_waits_once_whatever_the_number_of_batches(meta_scoring):
    network = meta_scoring.extract(SPACE.parse("333333"))

    def batches(count):
        return waits_of(lambda: meta_scoring.picture_losses(network, slice(0, count)))

    batches(1)  # the images are copied once
    assert batches(2) == batches(5) > 0


@pytest.fixture
def cuda_flags(monkeypatch):
    """A machine that says it has a GPU; torch's flags are put back."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision, matmul.fp32_precision
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    yield
    cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision, matmul.fp32_precision = before


@pytest.mark.parametrize(("precision", "products"), [("32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
def test_a_gpu_repeats_itself_and_rounds_to_tf32_where_asked_for_only(cuda_flags, precision, products):
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = True, False
    assert open_fabric("auto", precision).device.type == "cuda"
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic
    assert torch.backends.cudnn.conv.fp32_precision == products
    assert torch.backends.cuda.matmul.fp32_precision == products


@pytest.mark.parametrize("precision", ["tf32", "16"])
def test_precisions_of_gpus_are_refused_on_the_cpu(precision):
    with pytest.raises(ConfigError, match=rf"precision {precision} needs a CUDA GPU; on the CPU use 32 or bf16"):
        open_fabric("cpu", precision)


def test_the_machine_of_a_cpu_says_nothing_of_cuda():
    assert "cuda" not in describe_machine(torch.device("cpu"))
