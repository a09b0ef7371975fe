import csv
import itertools
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare

from genas.core.errors import ConfigError, GenotypeError
from genas.reporting.cell_drawing import cell_graphs, draw_cell
from genas.spaces import architecture_cost, copy_path, open_space
from genas.spaces.definition import recognise
from genas.spaces.nasbench_macro.encoding import NasBenchMacroArchitecture

SPACE = open_space("nasbench-macro")
EVERY = [NasBenchMacroArchitecture(numbers) for numbers in itertools.product(range(3), repeat=8)]


def test_text_round_trips():
    architecture = SPACE.parse("02012100")
    assert architecture.operations == (0, 2, 0, 1, 2, 1, 0, 0)
    assert architecture.genotype == architecture.short == "02012100"
    assert SPACE.parse("[0, 2, 0, 1, 2, 1, 0, 0]") == architecture
    assert recognise("02012100") == ("nasbench-macro", architecture)
    assert recognise("421304") is None
    assert all(SPACE.parse(one.genotype) == one for one in EVERY[::97])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "character 1: expected 8 digits, got the end"),
        ("0201210", "expected 8 operations, got 7"),
        ("020121000", "expected 8 operations, got 9"),
        ("02013100", "layer 4: expected an operation from 0 to 2, got 3"),
        ("0201-100", "character 5: expected 8 digits, got '-100'"),
        ("Genotype(normal=[])", "got 'Genotype(nor'"),
        ("0 2 0 1 2 1 0", "expected 8 operations"),
    ],
)
def test_malformed_text_says_where(text, place):
    with pytest.raises(GenotypeError) as caught:
        SPACE.parse(text)
    assert place in str(caught.value)


@pytest.mark.parametrize(("text", "params", "macs"), [("00000000", 387_882, 7.713), ("22222222", 2_932_586, 105.661)])
def test_published_parameters_and_macs(text, params, macs):
    """methods.md 14."""
    cost = architecture_cost(SPACE.final(), SPACE.parse(text), 10, (3, 32, 32))
    assert cost.params == params
    assert cost.macs / 1e6 == pytest.approx(macs, abs=6e-4)


def test_size_and_uniform_sampling():
    assert SPACE.size() == len(EVERY) == 6561
    rng = random.Random(0)
    samples = [SPACE.sample(rng) for _ in range(10_000)]
    for layer in range(7):
        pairs = Counter(one.operations[layer : layer + 2] for one in samples)
        assert len(pairs) == 9
        assert chisquare(list(pairs.values())).pvalue > 1e-4


def test_strings_share_networks_as_the_benchmark_says():
    """methods.md 14: 3,969 distinct networks; the representatives stand for themselves."""
    keys = {SPACE.network_key(one) for one in EVERY}
    assert len(keys) == 3969
    assert all(SPACE.network_key(SPACE.parse(key)) == key for key in keys)


def test_equal_keys_are_equal_networks_and_different_functions_of_a_supernet():
    space = open_space("nasbench-macro", channels=4, tail_channels=8)
    first, second = space.parse("10102101"), space.parse("10120110")
    assert space.network_key(first) == space.network_key(second) == "10120110"
    one, other = (space.network(3, architecture).eval() for architecture in (first, second))
    for mine, theirs in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        theirs.copy_(mine)
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(one(images), other(images))
    # the weights of a supernet lie on layers, so scores must not be shared
    supernet = space.network(3).eval()
    assert space.function_key(first) != space.function_key(second)
    assert not torch.equal(supernet(images, first), supernet(images, second))


@pytest.mark.parametrize("probability", [1e-9, 0.1, 1.0])
def test_mutation_differs_and_touches_all_layers(probability):
    rng = random.Random(1)
    parent = SPACE.sample(rng)
    changed = Counter()
    for _ in range(500):
        child = SPACE.mutate(parent, rng, probability)
        assert child != parent
        pairs = zip(parent.operations, child.operations, strict=True)
        changed.update(layer for layer, pair in enumerate(pairs) if len(set(pair)) > 1)
    assert len(changed) == 8


def test_crossover_takes_layers_from_both_parents():
    rng = random.Random(2)
    children = {SPACE.crossover(SPACE.parse("0" * 8), SPACE.parse("2" * 8), rng).genotype for _ in range(2000)}
    assert len(children) == 256


def test_every_layer_can_take_its_own_path():
    space = open_space("nasbench-macro", channels=4, tail_channels=8)
    supernet = space.network(3).eval()
    images = torch.randn(2, 3, 8, 8)
    mixed = [space.parse(str(number) * 8) for number in (0, 2, 0, 1, 2, 1, 0, 0)]
    assert torch.equal(supernet(images, mixed), supernet(images, space.parse("02012100")))
    with pytest.raises(ConfigError, match="expected one architecture for each of 8 cells, got 2"):
        supernet(images, mixed[:2])
    with pytest.raises(ConfigError, match="needs a path"):
        supernet(images)


def test_the_angle_compares_every_parameter_of_the_path_once():
    space = open_space("nasbench-macro", channels=4, tail_channels=8)
    supernet = space.network(3)
    for text in ("02012100", "00000000", "22222222"):
        network = space.network(3, space.parse(text))
        terms = space.angle_terms(supernet, space.parse(text))
        assert terms.parameters == tuple((name, 1) for name, _ in network.named_parameters())
        assert (terms.constant_length, terms.has_path) == (0, True)


def test_the_depth_is_fixed():
    assert SPACE.final(cells=8, channels=16).config.channels == 16
    with pytest.raises(ConfigError, match="cells is 20; a network of the space 'nasbench-macro' has 8 layers"):
        SPACE.final(cells=20)


def test_the_layers_are_drawn():
    (graph,) = cell_graphs("02012100")
    assert [operation for _, _, operation in graph.edges][:3] == ["identity", "mbconv_k5_e6", "identity"]
    assert draw_cell(graph).count("mbconv_k5_e6") >= 2


@pytest.mark.parametrize("side", [8, 13])
def test_a_path_of_the_supernet_equals_the_stand_alone_network(side):
    space = open_space("nasbench-macro", channels=4, tail_channels=8)
    torch.manual_seed(0)
    supernet = space.network(7)
    images = torch.randn(3, 3, side, side)
    for path in EVERY[::1500]:
        network = space.network(7, path)
        copy_path(supernet, network)
        for training in (True, False):
            supernet.train(training)
            network.train(training)
            assert torch.equal(supernet(images, path), network(images))


def test_counts_are_the_benchmarks_own():
    """Every layer is reached, so there is one count: params and flops of the published table (studies/macro)."""
    table = Path(__file__).parents[2] / "studies" / "macro" / "accuracies.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))[::6]
    assert len(rows) == 30
    for row in rows:
        cost = architecture_cost(SPACE, SPACE.parse(row["genotype"]), 10, (3, 32, 32))
        assert (cost.params, cost.macs) == (int(row["params"]), int(row["flops"]))
    assert SPACE.benchmark() is SPACE
