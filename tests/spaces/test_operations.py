import pytest
import torch

from genas.spaces.operations import StridedPointwise


@pytest.mark.parametrize("inputs", [1, 3, 4, 5, 8, 12, 15, 16, 20])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_strided_pointwise_convolution_has_the_gradient_of_a_slow_one(inputs, layout):
    """oneDNN's own gradient is wrong here or kills the process for few channels in the channels-last layout."""
    torch.manual_seed(inputs)
    layer = StridedPointwise(inputs, 8).to(memory_format=layout)
    for side in (8, 7, 1):
        images = torch.randn(8, inputs, side, side).contiguous(memory_format=layout).requires_grad_()
        out = layer(images)
        out.square().sum().backward()
        weight = layer.weight.detach().double()[:, :, 0, 0].requires_grad_()
        picked = images.detach().double()[:, :, ::2, ::2]
        slow = torch.einsum("oi,bihw->bohw", weight, picked)
        slow.square().sum().backward()
        torch.testing.assert_close(out.double(), slow, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.weight.grad.double()[:, :, 0, 0], weight.grad, rtol=1e-4, atol=1e-3)
        with torch.no_grad():
            torch.testing.assert_close(layer(images), out, rtol=1e-4, atol=1e-5)
        layer.zero_grad()
