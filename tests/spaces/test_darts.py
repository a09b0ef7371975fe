import json
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare

from genas.core.errors import ConfigError, GenotypeError
from genas.spaces import architecture_cost, copy_path, open_space
from genas.spaces.darts.encoding import EDGES, edge_index, from_edges, repair
from genas.spaces.darts.space import active_paths, path_counts

PUBLISHED = json.loads((Path(__file__).parent / "published_genotypes.json").read_text())
CHECKS = json.loads((Path(__file__).parent / "check_values.json").read_text())  # methods.md 17
SPACE = open_space("darts")


def published(name):
    return SPACE.parse(" ".join(str(number) for number in PUBLISHED[name]["edges"]))


def legal(numbers):
    for start in (0, EDGES):
        for node in range(2, 6):
            used = [numbers[start + edge_index(source, node)] for source in range(node)]
            if sum(number > 0 for number in used) != 2 or not all(0 <= number <= 7 for number in used):
                return False
    return True


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_cells_round_trip_in_every_form(name):
    entry = PUBLISHED[name]
    architecture = published(name)
    text = f"Genotype(normal={[tuple(p) for p in entry['normal']]}, normal_concat=range(2, 6), reduce={[tuple(p) for p in entry['reduce']]}, reduce_concat=[2, 3, 4, 5])"
    assert SPACE.parse(text) == architecture
    assert SPACE.parse(architecture.genotype) == architecture
    assert SPACE.parse(architecture.short) == architecture
    assert list(architecture.edges) == entry["edges"]
    assert SPACE.parse(str(list(architecture.edges))) == architecture
    assert SPACE.parse(f"X = genotypes.{text}") == architecture


def test_the_edges_are_numbered_as_published():
    """methods.md 1.1: node 2 has edges 0-1, node 3 2-4, node 4 5-8, node 5 9-13."""
    assert [edge_index(0, node) for node in range(2, 6)] == [0, 2, 5, 9]
    assert edge_index(4, 5) == 13


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "character 1"),
        ("Genotype(", "normal="),
        ("Genotype(normal=[('sep_conv_3x3', 0)], reduce=[])", "expected 8 pairs, two for each node, got 1"),
        ("Genotype(normal=[('conv', 0)", "got 'conv'"),
        ("Genotype(normal=[('none', 0)", "dil_conv_5x5, got 'none'"),
        ("Genotype(normal=[('sep_conv_3x3' 0)]", "character 34"),
        ("Genotypes(normal=[])", "character 1"),
        ("[1, 2, 3]", "expected 28 numbers"),
        ("0 " * 28, "node 2: expected exactly 2 used edges, got 0"),
        ("9 " * 28, "edge 0->2 (number 1 of 28): expected 0 to 7, got 9"),
        ("__import__('os').system('true')", "character"),
        (published("darts_v2_c10").genotype + " x", "nothing more"),
        (published("darts_v2_c10").genotype.replace("range(2, 6)", "range(2, 5)"), "range(2, 6)"),
        (
            published("darts_v2_c10").genotype.replace("('sep_conv_3x3', 1)", "('sep_conv_3x3', 0)", 1),
            "both from input 0",
        ),
        (
            published("darts_v2_c10").genotype.replace("('sep_conv_3x3', 1)", "('sep_conv_3x3', 3)", 1),
            "expected an input from 0 to 1, got 3",
        ),
    ],
)
def test_malformed_text_says_where(text, place):
    with pytest.raises(GenotypeError) as caught:
        SPACE.parse(text)
    assert place in str(caught.value)


def test_size_is_the_published_count():
    assert SPACE.size() == 1_037_664_180**2


def test_sampling_is_uniform():
    """Chi-square over the 21 inputs x operations choices of each node, 15,000 samples."""
    rng = random.Random(0)
    samples = [SPACE.sample(rng) for _ in range(15_000)]
    assert all(legal(sample.edges) for sample in samples[:500])
    for cell in ("normal", "reduce"):
        for node in range(4):
            counts = Counter(getattr(sample, cell)[node] for sample in samples)
            pairs = (node + 2) * (node + 1) // 2 * 49
            assert len(counts) == pairs
            assert chisquare(list(counts.values())).pvalue > 1e-4


def test_repair_of_uniform_numbers_is_uniform():
    rng = random.Random(1)
    samples = [repair([rng.randrange(8) for _ in range(28)], rng) for _ in range(15_000)]
    for node in range(4):
        counts = Counter(sample.normal[node] for sample in samples)
        assert chisquare(list(counts.values())).pvalue > 1e-4
    architecture = samples[0]
    assert repair(architecture.edges, rng) == architecture


@pytest.mark.parametrize("probability", [1e-9, 0.05, 0.1, 0.5, 1.0])
def test_mutation_gives_a_legal_different_child_and_touches_all_positions(probability):
    rng = random.Random(2)
    parent = SPACE.sample(rng)
    changed = Counter()
    for _ in range(1500):
        child = SPACE.mutate(parent, rng, probability)
        assert child != parent
        assert legal(child.edges)
        changed.update(
            place for place, pair in enumerate(zip(parent.edges, child.edges, strict=True)) if len(set(pair)) > 1
        )
    reachable = 28 if probability > 1e-6 else 16  # at tiny probabilities one used operation changes
    assert len(changed) == reachable


def test_published_mutation_leaves_the_reduction_cell_alone():
    """methods.md G1; about a third of the mutated normal cells equal their parent's."""
    space = open_space("darts", mutation="as-published")
    rng = random.Random(3)
    equal = 0
    for _ in range(2000):
        parent = space.sample(rng)
        child = space.mutate(parent, rng, 0.1)
        assert child.reduce == parent.reduce
        equal += child == parent
    assert equal / 2000 == pytest.approx(0.34, abs=0.05)


def test_crossover_takes_edges_from_both_parents():
    rng = random.Random(4)
    first, second = SPACE.sample(rng), SPACE.sample(rng)
    children = [SPACE.crossover(first, second, rng) for _ in range(200)]
    assert all(legal(child.edges) for child in children)
    assert SPACE.crossover(first, first, rng) == first
    assert len(set(children)) > 100


def test_architectures_are_values():
    rng = random.Random(5)
    architecture = SPACE.sample(rng)
    same = from_edges(architecture.edges)
    assert same == architecture
    assert hash(same) == hash(architecture)
    with pytest.raises(AttributeError):
        architecture.normal = ()


@pytest.mark.parametrize(
    ("classes", "affine", "params"),
    [(10, True, 2_005_114), (100, True, 2_028_244), (10, False, 1_930_618), (100, False, 1_953_748)],
)
def test_supernet_parameters(classes, affine, params):
    """methods.md 1.4."""
    with torch.device("meta"):
        network = open_space("darts", bn_affine=affine).network(classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == params


@pytest.mark.parametrize("row", CHECKS["imagenet"], ids=lambda row: f"{row['name']}-{row['channels']}")
def test_published_parameters_and_macs_on_imagenet(row):
    """methods.md 17."""
    space = open_space("darts", cells=14, channels=row["channels"], stem="imagenet").final()
    cost = architecture_cost(space, published(row["name"]), 1000, (3, 224, 224))
    assert cost.params == row["params"]
    assert cost.macs / 1e6 == pytest.approx(row["macs_m"], abs=0.051)


@pytest.mark.parametrize("row", CHECKS["cifar"], ids=lambda row: row["name"])
def test_published_parameters_and_macs_on_cifar(row):
    """methods.md 17."""
    cost = architecture_cost(SPACE.final(cells=20, channels=36), published(row["name"]), 10, (3, 32, 32))
    assert cost.params == row["params"]
    assert cost.macs / 1e6 == pytest.approx(row["macs_m"], abs=0.51)


ANGLE = {
    "genas_fbs_c10": (14, 15, 854_416),
    "genas_angle_fbs_c10": (9, 10, 511_152),
    "genas_fbs_c100": (16, 12, 1_173_968),
    "genas_angle_fbs_c100": (11, 10, 604_976),
    "genas_angle_c100": (9, 10, 473_744),
}


@pytest.fixture(scope="module")
def meta_supernets():
    with torch.device("meta"):
        return {classes: SPACE.network(classes) for classes in (10, 100)}


@pytest.mark.parametrize("name", ANGLE)
@pytest.mark.parametrize("classes", [10, 100])
def test_length_of_the_angles_vector(name, classes, meta_supernets):
    """methods.md section 8, variant B: check values."""
    network = meta_supernets[classes]
    architecture = published(name)
    normal, reduce, length = ANGLE[name]
    assert active_paths(architecture.normal) == normal
    assert active_paths(architecture.reduce) == reduce
    sizes = {key: value.numel() for key, value in network.named_parameters()}
    terms = SPACE.angle_terms(network, architecture)
    total = terms.constant_length + sum(times * sizes[key] for key, times in terms.parameters)
    assert total == length + (23_040 if classes == 100 else 0)
    extras = sum(sizes[key] for key, _ in terms.parameters if ".edges." not in key)
    assert extras == (100_720 if classes == 10 else 123_760)


def test_path_counts_by_walking():
    rng = random.Random(6)
    for _ in range(50):
        cell = SPACE.sample(rng).normal
        walked = Counter()

        def walk(node, trail, cell=cell, walked=walked):
            if node < 2:
                walked.update(trail)
                return
            for number, source in cell[node - 2]:
                walk(source, [*trail, (number, source, node)])

        for end in range(2, 6):
            walk(end, [])
        assert dict(walked) == {edge: count for edge, count in path_counts(cell).items() if count}


def test_slip_of_the_published_angle_replaces_the_shift(meta_supernets):
    """methods.md G2."""
    network = meta_supernets[10]
    architecture = published("rlnas_c10")
    right = Counter(dict(SPACE.angle_terms(network, architecture).parameters))
    slip = Counter()
    for key, times in SPACE.angle_terms(network, architecture, dil_shift_as_scale=True).parameters:
        slip[key] += times
    moved = {key for key in right if ".dil_conv" in key and key.endswith("bn.bias")}
    assert moved
    for key in moved:
        assert slip[key] == 0
        assert slip[key.removesuffix("bias") + "weight"] == 2 * right[key]
    assert sum(slip.values()) == sum(right.values())


@pytest.mark.parametrize(("stem", "side"), [("cifar", 16), ("cifar", 15), ("imagenet", 64)])
def test_a_path_of_the_supernet_equals_the_stand_alone_network(stem, side):
    space = open_space("darts", cells=5, channels=4, stem=stem)
    torch.manual_seed(0)
    supernet = space.network(7)
    images = torch.randn(3, 3, side, side)
    rng = random.Random(0)
    for _ in range(3):
        path = space.sample(rng)
        network = space.network(7, path)
        copy_path(supernet, network)
        for training in (True, False):
            supernet.train(training)
            network.train(training)
            assert torch.equal(supernet(images, path), network(images))
        names = {name for name, _ in network.named_parameters()}
        assert names <= {name for name, _ in supernet.named_parameters()}


def test_pixels_of_an_odd_factorised_reduction():
    from genas.spaces.operations import FactorizedReduce

    layer = FactorizedReduce(3, 5).eval()
    assert layer.even.out_channels == 2
    assert layer.odd.out_channels == 3
    x = torch.randn(2, 3, 7, 9)
    out = layer(x)
    assert out.shape == (2, 5, 4, 5)
    even = torch.nn.functional.conv2d(torch.relu(x)[:, :, ::2, ::2], layer.even.weight)
    assert torch.allclose(out[:, :2], even / (1 + layer.bn.eps) ** 0.5, atol=1e-6)
    odd = torch.nn.functional.conv2d(torch.relu(x)[:, :, 1::2, 1::2], layer.odd.weight)
    assert torch.allclose(out[:, 2:, :3, :4], odd / (1 + layer.bn.eps) ** 0.5, atol=1e-6)


def test_wrong_paths_are_refused():
    space = open_space("darts", cells=3, channels=4)
    rng = random.Random(0)
    path, other = space.sample(rng), space.sample(rng)
    images = torch.zeros(2, 3, 8, 8)
    with pytest.raises(ConfigError, match="needs a path"):
        space.network(2)(images)
    with pytest.raises(ConfigError, match="own architecture"):
        space.network(2, path)(images, other)
    with pytest.raises(ConfigError, match="expected one architecture for each of 3 cells, got 2"):
        space.network(2)(images, [path, path])
    with pytest.raises(ConfigError, match="not an architecture of the space 'darts'"):
        space.mutate(open_space("nasbench201").sample(rng), rng)
