import random
from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from genas.errors import ConfigError, GenotypeError
from genas.space import architecture_cost, copy_path, open_space
from genas.space.nasbench201.encoding import NasBench201Architecture

SPACE = open_space("nasbench201")
EXAMPLE = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|"


def uniform(number):
    return NasBench201Architecture((number,) * 6)


def test_text_round_trips():
    architecture = SPACE.parse(EXAMPLE)
    assert architecture.operations == (4, 2, 1, 3, 0, 4)
    assert architecture.genotype == EXAMPLE
    assert SPACE.parse("421304") == architecture
    assert SPACE.parse("[4, 2, 1, 3, 0, 4]") == architecture
    rng = random.Random(0)
    for _ in range(200):
        one = SPACE.sample(rng)
        assert SPACE.parse(one.genotype) == one
        assert SPACE.parse(one.short) == one


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "character 1"),
        ("|avg_pool~0|", "character 2 (edge 0->1): operation 'avg_pool'"),
        ("|none~0|+|none~0|none~0|", "'~1' was wanted"),
        (EXAMPLE[:-1], "the end came, '|' was wanted"),
        (EXAMPLE + "x", "the end was wanted"),
        ("1 2 3", "3 operations came; 6"),
        ("1 2 3 4 5 6", "operation 5"),
        ("Genotype(normal=[])", "character 1"),
    ],
)
def test_malformed_text_says_where(text, place):
    with pytest.raises(GenotypeError) as caught:
        SPACE.parse(text)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("number", "params", "macs"),
    [(3, 1_531_546, 220.120), (0, 73_306, 7.783), (1, 73_306, 7.783), (2, 241_306, 31.376)],
)
def test_published_parameters_and_macs(number, params, macs):
    """methods.md 13.2: the benchmark's networks have affine batch norm."""
    cost = architecture_cost(SPACE.final(), uniform(number), 10, (3, 32, 32))
    assert cost.params == params
    assert cost.macs / 1e6 == pytest.approx(macs, abs=6e-4)


def test_supernet_cells_have_no_affine_and_the_rest_has():
    """methods.md 13.3."""
    with torch.device("meta"):
        network = SPACE.network(10)
    assert network.num_cells == 15
    assert [type(cell).__name__ for cell in network.cells].index("ResidualBlock") == 5
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.affine == (".edges." not in name)


def test_size_and_uniform_sampling():
    assert SPACE.size() == 15_625
    rng = random.Random(0)
    samples = [SPACE.sample(rng) for _ in range(20_000)]
    for first in range(5):
        pair = Counter((one.operations[first], one.operations[first + 1]) for one in samples)
        assert len(pair) == 25
        assert chisquare(list(pair.values())).pvalue > 1e-4


def test_training_paths_differ_by_cell_and_keep_every_node_alive():
    rng = random.Random(0)
    paths = SPACE.sample_training_path(rng, 2000)
    assert len(paths) == 2000
    assert len(set(paths)) > 1000
    for path in paths:
        assert path.operations[0]
        assert any(path.operations[1:3])
        assert any(path.operations[3:])
    # the first node: four operations, uniform; the second: 24 pairs, uniform
    assert chisquare(list(Counter(path.operations[0] for path in paths).values())).pvalue > 1e-4
    assert chisquare(list(Counter(path.operations[1:3] for path in paths).values())).pvalue > 1e-4


@pytest.mark.parametrize("probability", [1e-9, 0.1, 1.0])
def test_mutation_differs_and_touches_all_positions(probability):
    rng = random.Random(1)
    parent = SPACE.sample(rng)
    changed = Counter()
    for _ in range(500):
        child = SPACE.mutate(parent, rng, probability)
        assert child != parent
        changed.update(
            place
            for place, pair in enumerate(zip(parent.operations, child.operations, strict=True))
            if len(set(pair)) > 1
        )
    assert len(changed) == 6


def test_a_path_of_the_supernet_equals_the_stand_alone_network():
    space = open_space("nasbench201", cells_per_stage=2, channels=4)
    torch.manual_seed(0)
    supernet = space.network(7)
    images = torch.randn(3, 3, 13, 13)
    rng = random.Random(0)
    for path in [*(space.sample(rng) for _ in range(4)), uniform(0), uniform(1)]:
        network = space.network(7, path)
        copy_path(supernet, network)
        for training in (True, False):
            supernet.train(training)
            network.train(training)
            assert torch.equal(supernet(images, path), network(images))


def test_every_cell_can_take_its_own_path():
    space = open_space("nasbench201", cells_per_stage=1, channels=4)
    supernet = space.network(3).eval()
    images = torch.randn(2, 3, 8, 8)
    mixed = supernet(images, [uniform(3), uniform(1), uniform(2)])
    assert not torch.equal(mixed, supernet(images, uniform(3)))
    with pytest.raises(ConfigError, match="2 architectures came for 3 cells"):
        supernet(images, [uniform(1)] * 2)


def test_active_paths_and_the_angles_terms():
    """Variant E: convolution weights once per path, pools as constants, identities nothing; angle 0 without a path."""
    with torch.device("meta"):
        network = SPACE.network(10)
    assert not SPACE.angle_terms(network, uniform(0)).has_path
    skips = SPACE.angle_terms(network, uniform(1))
    assert skips.has_path
    assert skips.constant_length == 0
    assert not [name for name, _ in skips.parameters if ".edges." in name]
    pools = SPACE.angle_terms(network, uniform(4))
    # 1 + 2 + 3 + 2 = 8 operations on the four paths, five cells of each of the widths 16, 32, 64
    assert pools.constant_length == 8 * 9 * 5 * (16 + 32 + 64)
    assert pools.constant_square == pytest.approx(8 * 5 * (16 + 32 + 64) / 9)
    convs = Counter(dict(SPACE.angle_terms(network, uniform(3)).parameters))
    assert convs["cells.0.edges.3.nor_conv_3x3.conv.weight"] == 1
    assert convs["cells.0.edges.0.nor_conv_3x3.conv.weight"] == 2
    dead_end = NasBench201Architecture((3, 0, 0, 1, 0, 3))  # 0->1 leads nowhere
    terms = dict(SPACE.angle_terms(network, dead_end).parameters)
    assert not [name for name in terms if ".edges." in name]
