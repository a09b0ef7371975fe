"""What proxies share: how images are evaluated side by side."""

import pytest
import torch

from genas.core.device import Fabric
from genas.proxies import Scoring


def test_evaluation_on_threads_leaves_the_default_type_of_torch_alone(nas_scoring, monkeypatch):
    """64-bit precision sets it for all threads: set and put back by several, it would stay for the whole process."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr("genas.proxies.scoring.Threads", None)
    architecture = nas_scoring.space.parse("333103")
    with pytest.raises(TypeError):
        nas_scoring.evaluate(nas_scoring.prepared(architecture))  # which takes threads
    given = (nas_scoring.space, nas_scoring.supernet, nas_scoring.initial, nas_scoring.splits)
    double = Scoring(*given, Fabric(precision="64-true"), nas_scoring.seed)
    assert double.evaluate(double.prepared(architecture)).loss > 0
    assert torch.get_default_dtype() == torch.float32
