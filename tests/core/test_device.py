"""What a GPU needs of the code, as far as it can be seen without one."""

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genas.core.device import Fabric, describe_machine, open_fabric
from genas.core.errors import ConfigError
from genas.proxies import KNOWN, BatchNormSettings, EvaluationSettings, ProxySettings, Scoring, open_proxy
from genas.spaces import open_space
from genas.training.loop import Trainer
from genas.training.supernet import SupernetSettings, initialise, recalibrate, train_supernet

SPACE = open_space("nasbench201", cells_per_stage=1, channels=4)
BATCH = 4


class Waits(TorchDispatchMode):
    """Takes down what makes the host wait for a device, for which the device "meta" stands in, and what mixes the two.

    Values that the host asks for are ones, so that the work goes on.
    """

    def __init__(self):
        super().__init__()
        self.found, self.mixed = [], []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        named = named or {}
        name = function.overloadpacket.__name__
        tensors = [one for one in tree_leaves((arguments, named)) if isinstance(one, torch.Tensor)]
        if name == "_local_scalar_dense" and tensors[0].is_meta:
            self.found.append(name)
            return 1
        if name == "_to_copy":
            source = tensors[0]
            if torch.device(named.get("device") or source.device) != source.device:
                self.found += [] if named.get("non_blocking") else [name]
                if source.is_meta:
                    return torch.ones(source.shape, dtype=named.get("dtype") or source.dtype)
        elif name == "copy_":
            if tensors[0].device != tensors[1].device:
                self.found += [] if len(arguments) > 2 and arguments[2] else [name]
        elif name != "index" and len({one.device for one in tensors if one.dim()}) > 1:
            self.mixed.append(name)
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
    """How often `work` waits for the device; nothing of it may mix tensors of host and device."""
    with Waits() as waits, Made(waits):
        work()
    assert waits.mixed == []
    return len(waits.found)


@pytest.fixture
def meta_scoring(tiny):
    network = initialise(SPACE, tiny.num_classes, 3, 0)
    initial = {name: value.clone() for name, value in network.state_dict().items()}
    settings = BatchNormSettings(images=2 * BATCH, batch_size=BATCH), EvaluationSettings(batch_size=BATCH)
    return Scoring(SPACE, network.to("meta").eval(), initial, tiny, Fabric("meta"), 0, *settings)


def test_waits_are_seen():
    one = torch.ones((), device="meta")
    assert waits_of(lambda: one.item()) == 1
    assert waits_of(lambda: one.new_tensor(3)) == 1
    assert waits_of(lambda: torch.ones(2).to("meta")) == 1
    assert waits_of(lambda: torch.ones(2).to("meta", non_blocking=True)) == 0
    assert waits_of(lambda: one.new_full((), 3)) == 0
    with pytest.raises((AssertionError, RuntimeError)):
        waits_of(lambda: torch.nn.functional.linear(torch.ones(2, 3, device="meta"), torch.ones(2, 3)))


@pytest.mark.parametrize("clip", [None, 5.0])
def test_a_step_of_the_supernet_does_not_wait_for_the_device(make_splits, tmp_path, monkeypatch, clip):
    monkeypatch.setattr(Trainer, "save", lambda self, path=None: None)  # a checkpoint waits, once in an epoch

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
        return waits_of(lambda: meta_scoring.image_losses(network, slice(0, count)))

    batches(1)  # the images are copied once
    assert batches(2) == batches(5) > 0


@pytest.mark.parametrize("proxy", KNOWN)
def test_a_proxy_computes_on_one_device(meta_scoring, proxy):
    few = {
        "relative_flatness": {"draws": 2},
        "consensus": {"reference": 8},
        "curvature": {"probes": 1, "neighbours": 1},
    }
    settings = ProxySettings.model_validate({"expression": proxy, **few})
    waits_of(lambda: open_proxy(meta_scoring, settings).score(SPACE.parse("333123")))


def test_preparing_an_architecture_does_not_wait_for_the_device(meta_scoring):
    waits_of(lambda: meta_scoring.prepared(SPACE.parse("333333")))  # the images are copied once
    assert waits_of(lambda: meta_scoring.prepared(SPACE.parse("222222"))) == 0


@pytest.fixture
def cuda_flags(monkeypatch):
    """A machine that says it has a GPU; torch's flags are put back."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    yield
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.mark.parametrize(("precision", "rounded"), [("32", False), ("tf32", True), ("bf16", False)])
def test_a_gpu_repeats_itself_and_rounds_to_tf32_where_asked_for_only(cuda_flags, precision, rounded):
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    cudnn.benchmark, cudnn.deterministic = True, False
    assert open_fabric("auto", precision).device.type == "cuda"
    assert (cudnn.benchmark, cudnn.deterministic) == (False, True)
    assert (cudnn.allow_tf32, matmul.allow_tf32) == (rounded, rounded)
    assert (cudnn.conv.fp32_precision == "tf32", matmul.fp32_precision == "tf32") == (rounded, rounded)
    assert torch.get_float32_matmul_precision() == ("high" if rounded else "highest")  # torch's compiler asks for it
    with cudnn.flags(enabled=True):  # and code of others does this
        pass


@pytest.mark.parametrize("precision", ["tf32", "16"])
def test_precisions_of_gpus_are_refused_on_the_cpu(precision):
    with pytest.raises(ConfigError, match=rf"precision {precision} needs a CUDA GPU; on the CPU use 32 or bf16"):
        open_fabric("cpu", precision)


def test_the_machine_of_a_cpu_says_nothing_of_cuda():
    assert "cuda" not in describe_machine(torch.device("cpu"))
