import random

import pytest
import torch
from torch import nn

from genas.proxies import EvaluationSettings, Flatness, FlatnessSettings, Scoring
from genas.proxies.folding import Folded


def test_folded_network_equals_the_network_in_float64_and_follows_its_weights(scoring):
    for seed in range(4):
        network = scoring.extract(scoring.space.sample(random.Random(seed))).double()
        generator = torch.Generator().manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
        folded = Folded(network)
        images = torch.randn(3, *scoring.splits.image_shape, generator=generator, dtype=torch.float64)
        for _ in range(2):
            with torch.no_grad():
                torch.testing.assert_close(folded.refresh()(images), network(images), rtol=1e-9, atol=1e-9)
                for parameter in network.parameters():
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))


def test_batch_norms_behind_convolutions_are_gone(scoring):
    network = scoring.extract(scoring.space.parse(_all_convolutions(scoring)))
    left = [module for module in Folded(network).network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(left) <= 1  # the tail of NAS-Bench-201 has no convolution before it
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) > 5


def _all_convolutions(scoring: Scoring) -> str:
    if scoring.space.name == "nasbench201":
        return "333333"
    if scoring.space.name == "nasbench-macro":
        return "12121212"
    cell = "44 440 4400 44000".replace(" ", "")
    return ",".join(cell + cell)


def test_fast_and_plain_engines_agree(scoring):
    plain = Scoring(
        scoring.space,
        scoring.supernet,
        scoring.initial,
        scoring.splits,
        scoring.fabric,
        scoring.seed,
        scoring.batchnorm,
        EvaluationSettings.model_validate({**scoring.evaluation.model_dump(), "engine": "plain"}),
    )
    settings = FlatnessSettings(sigmas=(0.01, 0.03, 0.06), draws=2)
    for seed in range(3):
        architecture = scoring.space.sample(random.Random(seed))
        fast, slow = Flatness(scoring, settings).score(architecture), Flatness(plain, settings).score(architecture)
        assert fast.terms["losses"] == pytest.approx(slow.terms["losses"], rel=2e-5)
        assert scoring.evaluate(scoring.prepared(architecture)).accuracy == pytest.approx(
            plain.evaluate(plain.prepared(architecture)).accuracy, abs=0.051
        )


def test_a_convolution_with_a_bias_and_a_foreign_module_fold_too():
    class Foreign(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
            self.norm = nn.BatchNorm2d(5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.body(x))

    network = Foreign().eval()
    network.body[1].running_mean.fill_(0.3)
    network.norm.running_var.fill_(2.0)
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(Folded(network).refresh()(images), network(images), rtol=1e-5, atol=1e-5)
