"""MACs of any operator: by formula, free by convention, or refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import flop_registry, register_flop_formula

from genas.core.errors import CostError
from genas.spaces.cost import count

SHAPE = (3, 8, 8)


class Calls(nn.Module):
    """A network without parameters of its own: a function of the images."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


def macs(function):
    return count(Calls(function), SHAPE).macs


def meta(*shape):
    return torch.empty(*shape, device="meta")


def test_attention_counts_whatever_asks_for_it():
    """Two products of [tokens, width] with [tokens, width] per head; the layers around it are four [width, width]."""
    tokens, width, heads = 64, 12, 4
    query = meta(1, heads, tokens, width // heads)
    product = 2 * tokens * tokens * width
    assert macs(lambda _: functional.scaled_dot_product_attention(query, query, query)) == product
    with torch.device("meta"):
        attention = nn.MultiheadAttention(width, heads, batch_first=True).eval()
    embed = nn.Conv2d(3, width, 1, device="meta")

    def network(images, **options):
        x = embed(images).flatten(2).transpose(1, 2)
        return attention(x, x, x, **options)[0]

    around = 3 * tokens * width + 4 * tokens * width * width
    assert macs(network) == macs(lambda images: network(images, need_weights=False)) == product + around


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: functional.conv2d(x, meta(6, 1, 3, 3), padding=1, groups=3), 6 * 64 * 9),
        (lambda x: functional.conv1d(x.flatten(2), meta(5, 3, 2), stride=2), 5 * 32 * 3 * 2),
        (lambda x: functional.conv3d(x[:, None], meta(2, 1, 1, 1, 1)), 2 * 3 * 64),
        (lambda x: functional.conv_transpose2d(x, meta(3, 4, 2, 2), stride=2), 3 * 64 * 4 * 4),
        (lambda x: x @ meta(8, 5), 3 * 8 * 8 * 5),
        (lambda x: torch.einsum("bchw,dc->bdhw", x, meta(7, 3)), 7 * 3 * 64),
        (lambda x: functional.linear(x, meta(5, 8), meta(5)), 3 * 8 * 8 * 5),
        (lambda x: meta(9, 192) @ x.flatten(), 9 * 192),
        (lambda x: torch.dot(x.flatten(), x.flatten()), 192),
    ],
)
def test_products_count_by_hand(function, expected):
    assert macs(function) == expected


@pytest.mark.parametrize(
    "function",
    [
        lambda x: functional.gelu(functional.hardswish(x) * x.sigmoid() + 1).clamp(0, 6),
        lambda x: functional.max_pool2d(functional.avg_pool2d(x, 2), 2),
        lambda x: functional.adaptive_avg_pool2d(x, 3).mean((2, 3)).softmax(1),
        lambda x: functional.layer_norm(functional.group_norm(functional.batch_norm(x, meta(3), meta(3)), 3), (8, 8)),
        lambda x: functional.interpolate(functional.pad(x, [1, 1, 0, 0]), scale_factor=2.0, mode="bilinear"),
        lambda x: torch.cat([x, x.roll(1, 2).flip(3)], 1).unflatten(1, (2, 3)).transpose(1, 2).flatten(1, 2),
        lambda x: functional.pixel_shuffle(x.repeat(1, 4, 1, 1), 2).std() + x.amax() - x.norm(),
        lambda x: functional.dropout(x.chunk(3, 1)[0], training=True).to(torch.float64).contiguous(),
    ],
)
def test_what_publications_do_not_count_is_free(function):
    assert macs(function) == 0


ACTIVATIONS = [name for name in nn.modules.activation.__all__ if name not in ("MultiheadAttention", "Threshold")]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_free(name):
    assert count(getattr(nn, name)().to("meta"), (4, 8, 8)).macs == 0


def test_an_unknown_operator_is_refused_until_it_has_a_formula():
    @torch.library.custom_op("genas_test::mix", mutates_args=())
    def mix(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    mix.register_fake(torch.empty_like)
    with pytest.raises(CostError, match=r"operator genas_test\.mix\.default are not known.*register_flop_formula"):
        macs(lambda x: mix(x))

    @register_flop_formula(torch.ops.genas_test.mix)
    def flops(shape, *, out_shape=None):
        return 2 * 5 * shape.numel()

    try:
        assert macs(lambda x: mix(x)) == 5 * 192
    finally:
        del flop_registry[torch.ops.genas_test.mix]


def test_a_refused_network_is_left_as_it_was():
    network = Calls(torch.fft.fft2).train()
    with pytest.raises(CostError, match="_fft"):
        count(network, SHAPE)
    assert network.training
