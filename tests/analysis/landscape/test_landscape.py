"""Landscapes: exact on a toy, invariant where they should be, common to architectures, resumable."""

import csv
import math
import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from genas.analysis.landscape.directions import cosine, normalised, random_direction
from genas.analysis.landscape.points import CENTRE, Place, Points
from genas.analysis.landscape.settings import read_settings
from genas.analysis.landscape.summary import line_losses, loss_at, quantiles, summarise, width
from genas.analysis.landscape.walk import Site, grid, measured, places, walk
from genas.core.errors import ConfigError, RunError
from genas.core.seeding import torch_rng
from genas.evaluation.flatness import noise_losses
from genas.proxies import Loss
from genas.proxies.scoring import LossAndAccuracy


class Bowl(nn.Module):
    """Its loss is |w - c|^2 / 2 in two weights of shape [2, 3] and [4]."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.arange(1.0, 7).reshape(2, 3))
        self.vector = nn.Parameter(torch.ones(4))
        self.register_buffer("seen", torch.zeros(()))

    def measure(self):
        with torch.no_grad():
            return LossAndAccuracy(float(sum(p.double().square().sum() for p in self.parameters()) / 2), 0.5)


def site(bowl, name="bowl"):
    return Site(name, bowl, {"validation": bowl.measure}, lambda: bowl.seen.add_(1))


def settings(**changes):
    return read_settings({"directions": 3, "points": 5, "contour": 3, "draws": 2, **changes})


def test_a_quadratic_loss_gives_the_exact_parabola_and_plane(tmp_path):
    bowl = Bowl()
    before = {name: value.clone() for name, value in bowl.state_dict().items()}
    asked = settings(range=2.0, radius=2.0)
    with Points(tmp_path / "points.csv") as points:
        walk(site(bowl), places(asked), asked, 7, points)
    assert all(torch.equal(before[name], value) for name, value in bowl.state_dict().items())
    weights = {name: value.detach() for name, value in bowl.named_parameters()}
    centre = bowl.measure().loss

    def along(steps):  # |w + sum t d|^2 / 2 by hand
        moved = {name: value.detach().double() for name, value in weights.items()}
        for length, direction in steps:
            for name, step in direction.items():
                moved[name] = moved[name] + length * step.double()
        return float(sum(value.square().sum() for value in moved.values()) / 2)

    directions = [random_direction(weights, 7, number) for number in range(3)]
    for number, line in enumerate(line_losses(points, "bowl", "validation", asked)):
        wanted = [along([(t, directions[number])]) for t in grid(2.0, 5)]
        assert line == pytest.approx(wanted, rel=1e-6)
    for x in (-2.0, 0.0, 2.0):
        for y in (-2.0, 2.0):
            found = points["bowl", "validation", Place("plane", 0, x, y)].loss
            assert found == pytest.approx(along([(x, directions[0]), (y, directions[1])]), rel=1e-6)
    row = summarise(points, ["bowl"], asked)[0]
    norms = [sum(float(step.square().sum()) for step in direction.values()) for direction in directions]
    # of a parabola: curvature |d|^2, rise |d|^2 r^2 / 2 whatever the slope
    assert row["line"]["curvature"]["by_direction"] == pytest.approx(norms, rel=1e-4)
    assert row["line"]["rise"]["by_direction"] == pytest.approx([2 * norm for norm in norms], rel=1e-4)
    assert row["loss"] == centre


def test_filters_of_a_direction_have_the_norms_of_the_weights_and_vectors_stay():
    weights = {"conv": torch.randn(5, 3, 3, 3), "line": torch.randn(4, 6), "bias": torch.randn(4)}
    fixed, moved = (random_direction(weights, 0, 1, "filter", vectors) for vectors in ("fixed", "moved"))
    assert set(fixed) == {"conv", "line"}
    for name in ("conv", "line"):
        wanted = weights[name].flatten(1).norm(dim=1)
        torch.testing.assert_close(fixed[name].flatten(1).norm(dim=1), wanted)
        assert torch.equal(fixed[name], moved[name])
    torch.testing.assert_close(moved["bias"].norm(), weights["bias"].norm())
    plain = random_direction(weights, 0, 1, "none")
    torch.testing.assert_close(normalised(plain["conv"], weights["conv"]), fixed["conv"])
    assert normalised(torch.ones(2, 3), torch.zeros(2, 3)).abs().sum() == 0
    assert abs(cosine(fixed, random_direction(weights, 0, 2))) < 0.5
    assert cosine(fixed, fixed) == pytest.approx(1)


@pytest.mark.parametrize("batchnorm", ["kept", "recomputed"])
def test_the_scale_of_a_filter_before_batch_norm_does_not_change_the_line(batchnorm, tmp_path):
    """Unless directions are plain: then a filter that is ten times as long is moved a tenth as far."""
    torch.manual_seed(0)
    images, labels = torch.randn(40, 3, 6, 6), torch.arange(40) % 4
    nets = []
    for scale in (1.0, 10.0):
        torch.manual_seed(1)
        net = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5, eps=1e-12), nn.ReLU(), nn.Flatten())
        net.append(nn.Linear(80, 4))
        with torch.no_grad():
            net[0].weight[2] *= scale
        nets.append(net)

    def recalibrate(net):
        net[1].reset_running_stats()
        net[1].momentum = None
        net.train()
        with torch.no_grad():
            net(images)
        net.eval()

    def line(net, normalise):
        recalibrate(net)

        def measure():
            with torch.no_grad():
                return LossAndAccuracy(float(nn.functional.cross_entropy(net(images).double(), labels)), 0.0)

        asked = settings(normalise=normalise, batchnorm=batchnorm, range=0.8, contour=0, noise="none")
        with Points(tmp_path / f"{normalise}-{id(net)}.csv") as points:
            walk(Site("net", net, {"validation": measure}, lambda: recalibrate(net)), places(asked), asked, 0, points)
            return [loss for losses in line_losses(points, "net", "validation", asked) for loss in losses]

    first, second = (line(net, "filter") for net in nets)
    assert first == pytest.approx(second, rel=1e-4)
    first, second = (line(net, "none") for net in nets)
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 0.01


def path(scoring, architecture):
    network = scoring.prepared(architecture)
    measures = {"validation": lambda: measured(scoring, network)}
    return Site(architecture.short, network, measures, lambda: scoring.recalibrate(network, architecture))


def test_supernet_stays_bit_identical_and_the_middle_is_the_loss_proxy(scoring, tmp_path):
    before = {name: value.clone() for name, value in scoring.supernet.state_dict().items()}
    architecture = scoring.space.sample(random.Random(1))
    wanted = -Loss(scoring).score(architecture).value
    own = {name: value.clone() for name, value in scoring.prepared(architecture).state_dict().items()}
    asked = settings(batchnorm="recomputed", vectors="moved", contour=0, directions=1, points=3, draws=1, sigmas=[0.1])
    with Points(tmp_path / "points.csv") as points:
        walk(path(scoring, architecture), places(asked), asked, scoring.seed, points)
        assert points[architecture.short, "validation", CENTRE].loss == wanted
    assert all(torch.equal(before[name], value) for name, value in scoring.supernet.state_dict().items())
    now = scoring.prepared(architecture).state_dict()
    assert all(torch.equal(own[name], value) for name, value in now.items())
    assert -Loss(scoring).score(architecture).value == wanted


def test_recomputed_statistics_are_those_of_the_moved_weights(nas_scoring, tmp_path):
    """Else the two options would be one."""
    architecture = nas_scoring.space.parse("333333")
    found = {}
    for batchnorm in ("kept", "recomputed"):
        asked = settings(batchnorm=batchnorm, contour=0, directions=1, points=3, noise="none")
        with Points(tmp_path / f"{batchnorm}.csv") as points:
            walk(path(nas_scoring, architecture), places(asked), asked, 0, points)
            found[batchnorm] = line_losses(points, architecture.short, "validation", asked)[0]
    assert found["kept"][1] == found["recomputed"][1]
    assert found["kept"][0] != found["recomputed"][0]


def test_architectures_that_share_an_operation_are_moved_by_the_same_steps_on_it(nas_scoring):
    first, second = (
        random_direction(dict(nas_scoring.prepared(nas_scoring.space.parse(text)).named_parameters()), 3, 0)
        for text in ("333333", "300003")
    )
    common = first.keys() & second.keys()
    assert any("conv" in name for name in common)
    assert len(common) < len(first)
    assert all(torch.equal(first[name], second[name]) for name in common)


def test_noise_is_that_of_genas_evaluate(nas_scoring, tmp_path):
    architecture = nas_scoring.space.parse("333333")
    for scale in ("absolute", "relative"):
        asked = settings(noise=scale, sigmas=[0.05, 0.2], contour=0, directions=1, points=3)
        with Points(tmp_path / f"{scale}.csv") as points:
            walk(path(nas_scoring, architecture), places(asked), asked, 5, points)
            rows = summarise(points, [architecture.short], asked)
        network = nas_scoring.prepared(architecture)
        for draw in range(2):
            wanted = noise_losses(network, nas_scoring.validation_batches, (0.05, 0.2), scale, 5, draw)
            assert rows[0]["noise"]["by_draw"][draw][1:] == pytest.approx(wanted, rel=1e-4)
        assert "plane" not in rows[0]


def test_a_resumed_walk_ends_as_an_uninterrupted_one_and_computes_nothing_twice(tmp_path):
    asked = settings()
    bowl = Bowl()
    with Points(tmp_path / "whole.csv") as points:
        walk(site(bowl), places(asked), asked, 0, points)
    count = 0

    def stop():
        nonlocal count
        count += 1
        if count == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Points(tmp_path / "cut.csv") as points:
        walk(site(bowl), places(asked), asked, 0, points, stop)
    assert torch.equal(bowl.vector, torch.ones(4))
    with (tmp_path / "cut.csv").open("ab") as file:
        file.write(b"bowl,validation,line,1,0.5")  # what a kill in the middle of a line leaves
    calls = []
    counted = Site("bowl", bowl, {"validation": lambda: calls.append(1) or bowl.measure()}, lambda: None)
    with Points(tmp_path / "cut.csv") as points:
        assert len(points) == 9
        walk(counted, places(asked), asked, 0, points)
    assert len(calls) == len(places(asked)) - 9
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert len(list(csv.DictReader((tmp_path / "cut.csv").open()))) == 1 + 3 * 4 + 2 * 6 + 8


def test_width_curvature_and_quantiles_by_hand():
    along = grid(2.0, 5)
    assert along == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert width(along, [4.0, 1.0, 0.0, 1.0, 4.0], 2.5) == (1.5, 0)
    assert width(along, [4.0, 1.0, 0.0, 1.0, 1.0], 2.5) == (1.75, 1)
    assert width(along, [math.inf, 1.0, 0.0, 1.0, math.inf], 2.5) == (1.0, 0)
    assert loss_at(along, [4.0, 1.0, 0.0, 1.0, 4.0], 1.25) == 1.75
    assert loss_at(along, [4.0, 1.0, 0.0, 1.0, math.inf], 1.0) == 1.0
    middle, low, high = quantiles([[float(value)] for value in range(11)])
    assert (middle, low, high) == ([5.0], [1.0], [9.0])
    assert quantiles([[1.0], [2.0], [math.inf]])[2] == [math.inf]


def test_flattest_counts_directions_of_the_least_rise(tmp_path):
    flat, steep = Bowl(), Bowl()
    with torch.no_grad():
        flat.matrix *= 0.5  # filters half as long are moved half as far
    asked = settings(contour=0, noise="none")
    with Points(tmp_path / "points.csv") as points:
        for name, bowl in (("flat", flat), ("steep", steep)):
            walk(site(bowl, name), places(asked), asked, 0, points)
        rows = summarise(points, ["flat", "steep"], asked)
    assert [row["line"]["flattest"] for row in rows] == [3, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"range": 0}, "range is 0: .*greater than 0"),
        ({"range": -1}, "range is -1: .*greater than 0"),
        ({"points": 20}, "points is 20: expected an odd number"),
        ({"contour": 8}, "contour is 8: expected an odd number"),
        ({"contour": 1}, "contour is 1: at least 3 points"),
        ({"directions": 0}, "directions is 0: .*greater than or equal to 1"),
        ({"images": 0}, "images is 0"),
        ({"sigmas": [0.1, 0.01]}, "must be above 0 and increase"),
        ({"normalise": "layer"}, "normalise is 'layer': .*'filter' or 'none'"),
        ({"radius": 3}, "the radius 3 lies outside the range 1"),
        ({"radius": 1, "normalise": "none"}, "the radius 1 lies outside the range 0.05"),
        ({"data": []}, "validation, test or both"),
        ({"colour": 1}, "unknown key .colour. .did you mean"),
    ],
)
def test_bad_settings_are_told_in_one_sentence(changes, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(changes)


def test_a_damaged_file_of_points_is_told(tmp_path):
    (tmp_path / "points.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RunError, match="points.csv is damaged"), Points(tmp_path / "points.csv"):
        pass
    header = "network,data,kind,direction,x,y,loss,accuracy\n"
    (tmp_path / "points.csv").write_text(header + "n,validation,line,1,x,0,1,1\n")
    with pytest.raises(RunError, match="damaged .*could not convert"), Points(tmp_path / "points.csv"):
        pass


def test_an_infinite_loss_is_a_point_too(tmp_path):
    with Points(tmp_path / "points.csv") as points:
        points.add("n", "validation", Place("line", 0, 0.1), LossAndAccuracy(math.nan, 0.1))
    with Points(tmp_path / "points.csv") as points:
        assert points["n", "validation", Place("line", 0, 0.1)].loss == math.inf


def test_a_network_whose_own_loss_is_infinite_has_no_landscape(tmp_path):
    bowl = Bowl()
    broken = replace(site(bowl), measures={"validation": lambda: LossAndAccuracy(math.nan, 0.1)})
    for _ in range(2):  # the second time it is in the file
        with (
            Points(tmp_path / "points.csv") as points,
            pytest.raises(RunError, match="the validation loss of 'bowl' is inf at the weights themselves"),
        ):
            walk(broken, places(settings()), settings(), 0, points)


def test_directions_depend_on_seed_number_and_name():
    weights = {"a": torch.ones(2, 2), "b": torch.ones(2, 2)}
    found = [random_direction(weights, seed, number, "none") for seed, number in ((0, 0), (1, 0), (0, 1))]
    rows = [step.flatten().tolist() for direction in found for step in direction.values()]
    assert len({tuple(row) for row in rows}) == 6
    wanted = torch.randn((2, 2), generator=torch_rng(0, "landscape", 0, "a"))
    assert torch.equal(found[0]["a"], wanted)
