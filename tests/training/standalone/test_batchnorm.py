"""Batch norm over processes equals plain batch norm over the whole batch."""

import pytest
import torch
from torch import distributed, nn

from genas.training.standalone.batchnorm import SharedBatchNorm2d, share_batch_norm


@pytest.mark.parametrize("affine", [True, False])
def test_it_equals_plain_batch_norm_over_all_rows(in_processes, affine):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, 3, 4, 5, generator=generator, dtype=torch.float64) * 3 + 100
    weights = torch.randn(7, 3, 4, 5, generator=generator, dtype=torch.float64)
    rows = [slice(0, 4), slice(4, 7), slice(7, 7)]  # uneven, and none at all

    def make(kind):
        norm = kind(3, affine=affine).double()
        if affine:
            with torch.no_grad():
                norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
                norm.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
        return norm

    def outcome(norm, own, factors):
        own = own.clone().requires_grad_()
        out = norm(norm(own))  # twice, so that a gradient has passed through it
        (out.sin() * factors).sum().backward()
        affine_gradients = [parameter.grad for parameter in norm.parameters()]
        # lists: tensors would have to be sent through shared memory
        return [
            out.detach().tolist(),
            own.grad.tolist(),
            [one.tolist() for one in affine_gradients],
            [norm.running_mean.tolist(), norm.running_var.tolist(), norm.num_batches_tracked.item()],
        ]

    out, gradient, affine_gradients, state = outcome(make(nn.BatchNorm2d), x, weights)

    def share(rank):
        distributed.init_process_group("gloo")
        return outcome(make(SharedBatchNorm2d), x[rows[rank]], weights[rows[rank]])

    parts = in_processes(3, share)
    for place, wanted in ((0, out), (1, gradient)):
        found = torch.tensor([row for part in parts for row in part[place]], dtype=torch.float64)
        torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-9, atol=1e-11)
    for place, wanted in enumerate(affine_gradients):
        summed = sum(torch.tensor(part[2][place], dtype=torch.float64) for part in parts)
        torch.testing.assert_close(summed, torch.tensor(wanted, dtype=torch.float64), rtol=1e-9, atol=1e-11)
    for part in parts:
        assert part[3][0] == pytest.approx(state[0], rel=1e-12)
        assert part[3][1] == pytest.approx(state[1], rel=1e-12)
        assert part[3][2] == state[2] == 2


def test_a_network_keeps_its_names_types_and_evaluation():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4, affine=False)))
    network.double()
    network(torch.randn(2, 3, 4, 4, dtype=torch.float64))
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    wanted = network(images)
    shared = share_batch_norm(network, torch.device("cpu"))
    assert isinstance(shared[1], SharedBatchNorm2d)
    assert isinstance(shared[2][0], SharedBatchNorm2d)
    after = shared.eval().state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before)
    assert torch.equal(shared(images), wanted)
