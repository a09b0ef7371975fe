import itertools
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare

from genas.core.errors import CheckpointError, ConfigError, GenotypeError
from genas.spaces import architecture_cost, copy_path, open_space
from genas.spaces.nasbench201.encoding import NasBench201Architecture
from genas.training.standalone.loading import fit_weights

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
        ("|avg_pool~0|", "avg_pool_3x3, got 'avg_pool'"),
        ("|none~0|+|none~0|none~0|", "expected '~1'"),
        (EXAMPLE[:-1], "expected '|', got the end"),
        (EXAMPLE + "x", "expected the end"),
        ("1 2 3", "expected 6 operations, got 3"),
        ("1 2 3 4 5 6", "operation from 0 to 4, got 5"),
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
    with pytest.raises(ConfigError, match="expected one architecture for each of 3 cells, got 2"):
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


UNREACHED = "|none~0|+|avg_pool_3x3~0|none~1|+|avg_pool_3x3~0|nor_conv_3x3~1|none~2|"


def test_both_counts_treat_parameters_and_macs_alike():
    """The benchmark counts and runs convolutions of zeros: 43.17 M; what is left without them is the frame."""
    architecture = SPACE.parse(UNREACHED)
    assert architecture.unreached == {2, 4}
    frame = architecture_cost(SPACE.final(), uniform(0), 10, (3, 32, 32))
    assert architecture_cost(SPACE.final(), architecture, 10, (3, 32, 32)) == frame
    benchmark = SPACE.benchmark().final()
    assert benchmark == open_space("nasbench201", unreached="run").final()
    counted = architecture_cost(benchmark, architecture, 10, (3, 32, 32))
    assert (counted.params, counted.macs) == (316_346, 43_172_480)
    reached = SPACE.parse(UNREACHED.replace("none~0", "skip_connect~0", 1))  # its twin whose convolution is reached
    assert architecture_cost(SPACE.final(), reached, 10, (3, 32, 32)) == counted
    assert architecture_cost(benchmark, reached, 10, (3, 32, 32)) == counted


def test_2290_architectures_have_a_convolution_without_a_signal():
    found = 0
    for numbers in itertools.product(range(5), repeat=6):
        one = NasBench201Architecture(numbers)
        found += any(numbers[edge] in (2, 3) for edge in one.unreached)
    assert found == 2290


def test_parameters_are_those_of_the_network():
    """What is counted is what is built, whatever the architecture, and the other weights do not depend on the rule."""
    rng = random.Random(3)
    for architecture in [SPACE.parse(UNREACHED), *(SPACE.sample(rng) for _ in range(10))]:
        networks = []
        for rule in ("skip", "run"):
            space = open_space("nasbench201", cells_per_stage=1, channels=4, unreached=rule)
            torch.manual_seed(0)
            networks.append(space.network(3, architecture))
            count = sum(one.numel() for one in networks[-1].parameters())
            assert architecture_cost(space, architecture, 3, (3, 8, 8)).params == count
        skipped, run = (dict(network.named_parameters()) for network in networks)
        assert all(torch.equal(value, run[name]) for name, value in skipped.items())


def test_running_zeros_adds_a_constant_and_shares_no_function_with_leaving_them_out():
    options = {"cells_per_stage": 1, "channels": 4, "cell_bn_affine": True}
    skip, run = (open_space("nasbench201", **options, unreached=rule) for rule in ("skip", "run"))
    architecture = skip.parse(UNREACHED)
    supernet = run.network(3).eval()
    for module in supernet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.bias, 0.5)
    images = torch.randn(2, 3, 8, 8)
    without, with_zeros = skip.network(3, architecture).eval(), run.network(3, architecture).eval()
    copy_path(supernet, without)
    copy_path(supernet, with_zeros)
    assert torch.equal(with_zeros(images), supernet(images, architecture))
    assert not torch.equal(with_zeros(images), without(images))
    with torch.no_grad():
        for cell in with_zeros.cells:
            if hasattr(cell, "edges"):
                cell.edges["4"]["nor_conv_3x3"].bn.bias.zero_()
    assert torch.allclose(with_zeros(images), without(images), atol=1e-6)
    plain = skip.parse(UNREACHED.replace("nor_conv_3x3~1", "none~1"))
    assert skip.function_key(architecture) == skip.function_key(plain)
    assert run.function_key(architecture) != run.function_key(plain)


def test_weights_of_earlier_versions_still_load():
    """Networks used to hold the weights of convolutions that nothing reaches."""
    architecture = SPACE.parse(UNREACHED)
    options = {"cells_per_stage": 1, "channels": 4}
    earlier = open_space("nasbench201", **options, unreached="run").network(3, architecture)
    network = open_space("nasbench201", **options).network(3, architecture)
    fit_weights(network, earlier.state_dict(), Path("model.safetensors"))
    assert torch.equal(network.classifier.weight, earlier.classifier.weight)
    strange = {**earlier.state_dict(), "cells.0.edges.9.x": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"also holds cells\.0\.edges\.9"):
        fit_weights(network, strange, Path("model.safetensors"))


def test_runs_from_before_the_setting_keep_their_description():
    assert "unreached" not in SPACE.describe()
    assert SPACE.benchmark().describe()["unreached"] == "run"
    described = SPACE.benchmark().describe()
    assert open_space(described.pop("name"), **described) == SPACE.benchmark()
