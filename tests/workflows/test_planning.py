"""Scales and the plan of a run."""

import json
from dataclasses import replace

import pytest
import torch
from commands import FAST, genas
from PIL import Image

from genas.core.errors import RunError
from genas.workflows import planning, timing
from genas.workflows.config import Config, build_config
from genas.workflows.continuation import fresh_settings, settings_on
from genas.workflows.planning import RunPlan, plan_run, refuse_impossible
from genas.workflows.presets import SCALES

FEW = {**FAST, "space.name": "nasbench201", "supernet.batch_size": 4, "retrain.batch_size": 4}


def folder(path, side, other=None, count=12):
    """Two classes of plain images."""
    for label in ("a", "b"):
        (path / label).mkdir(parents=True)
        for number in range(count):
            size = (side, side) if number or other is None else (other, other)
            Image.effect_noise(size, 60).convert("RGB").save(path / label / f"{number}.png")
    return {"data": {"name": f"folder:{path}"}}


def test_paper_is_what_publications_have():
    assert build_config(scale="paper").model_copy(update={"data": Config().data, "retrain": Config().retrain}) == (
        Config().model_copy(update={"space": build_config(scale="paper").space})
    )
    assert build_config(scale="paper").retrain.epochs == 600  # methods.md 2.3


@pytest.mark.parametrize(("side", "stem", "size"), [(64, "imagenet", 64), (160, "imagenet", 128)])
def test_own_images_get_a_size_and_a_stem_that_end(tmp_path, side, stem, size):
    config = fresh_settings([folder(tmp_path / "images", side)])
    assert config == fresh_settings([{"data": {"name": f"folder:{tmp_path / 'images'}"}}], scale="standard")
    assert (config.data.image_size, config.space.options.get("stem")) == (size, stem)
    published = fresh_settings([{"data": {"name": f"folder:{tmp_path / 'images'}"}}], scale="paper")
    assert published.data.image_size is None
    assert "stem" not in published.space.options


def test_a_scale_brings_images_of_few_pixels_to_the_least_size_there_is(tmp_path):
    config = fresh_settings([folder(tmp_path / "images", 6)], scale="standard")
    assert (config.data.image_size, config.space.options.get("stem")) == (8, None)


def test_small_own_images_keep_the_published_settings(tmp_path):
    own = folder(tmp_path / "images", 32)
    assert fresh_settings([own]) == build_config([own])  # as a named data set of such images does
    assert fresh_settings([own], scale="standard").data.image_size == 32


def test_the_stem_suits_the_size_that_was_asked_for(tmp_path):
    own = folder(tmp_path / "images", 96)
    asked = [{"data": {"image_size": size}} for size in (32, 200)]
    small, large = (fresh_settings([own, layer]) for layer in asked)
    assert (small.data.image_size, small.space.options.get("stem")) == (32, None)
    assert (large.data.image_size, large.space.options.get("stem")) == (200, "imagenet")
    assert small.supernet == large.supernet == fresh_settings([own]).supernet  # the images as they are stored decide


def test_single_settings_win_over_a_scale(tmp_path):
    own = folder(tmp_path / "images", 96)
    given = [own, {"data": {"image_size": 40}, "supernet": {"epochs": 3}, "space": {"cells": 4}}]
    config = fresh_settings(given, scale="quick")
    assert (config.data.image_size, config.supernet.epochs, config.space.options["cells"]) == (40, 3, 4)
    assert "stem" not in config.space.options  # 40 pixels are few for the large one
    assert config.strategy == fresh_settings([own], scale="quick").strategy


@pytest.mark.parametrize("space", ["darts", "nasbench201", "nasbench-macro"])
def test_scales_grow(space):
    costs = []
    for scale in SCALES:
        config = build_config([{"data": {"name": "cifar10"}, "space": {"name": space}}], scale=scale)
        costs.append((config.supernet.epochs, config.strategy.generations * config.strategy.population))
    assert costs == sorted(costs)
    digits = [build_config([{"space": {"name": space}}], scale=scale) for scale in SCALES]
    assert digits[0].supernet.epochs < digits[2].supernet.epochs == 250


def test_a_run_keeps_what_it_was_begun_with(tmp_path):
    own, run = folder(tmp_path / "images", 96), tmp_path / "run"
    config = build_config([own])  # as before there were scales
    run.mkdir()
    (run / "config.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    kept = settings_on(run, [own])
    assert kept.model_dump(exclude={"data"}) == config.model_dump(exclude={"data"})
    assert kept.data.image_size is None
    assert settings_on(run, [own], scale="quick").supernet.epochs == 40


def settings(tmp_path, **more):
    layers = [{key: value} for key, value in {**FEW, **more}.items()]
    return fresh_settings([folder(tmp_path / "images", 16), *layers])


def test_a_plan_writes_nothing_and_moves_no_random_stream(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "BUDGET", 0.05)
    config, run = settings(tmp_path), tmp_path / "run"
    torch.manual_seed(5)
    wanted = torch.rand(4)
    torch.manual_seed(5)
    plan = plan_run(config, run)
    assert torch.equal(torch.rand(4), wanted)
    assert [phase.name for phase in plan.phases] == ["supernet", "search", "retrain"]
    assert all(phase.seconds > 0 for phase in plan.phases)
    assert plan.memory_bytes > 10**8  # torch alone
    assert 0 < plan.disk_bytes < 10**8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]
    names = [phase.name for phase in plan_run(config, run, with_retrain=False, with_search=False).phases]
    assert names == ["supernet"]
    free = settings(tmp_path / "other", **{"proxy.expression": "macs"})
    assert [phase.name for phase in plan_run(free, run).phases] == ["search", "retrain"]  # no supernet is trained


def test_the_plan_of_the_command_line_is_a_table_or_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "BUDGET", 0.05)
    few = [text for key, value in FEW.items() for text in ("--set", f"{key}={value}")]
    run = tmp_path / "run"
    capsys.readouterr()
    assert genas("search", "--run", run, *few, "--plan") == 0
    out = capsys.readouterr().out
    for word in ("Plan ", "supernet ", "search ", "retrain ", "memory ", "disk "):
        assert f"\n{word}" in f"\n{out}"
    assert genas("search", "--run", run, *few, "--plan", "--json", "--quiet") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    content = json.loads(shown.out)
    assert content["seconds"] == pytest.approx(sum(phase["seconds"] for phase in content["phases"]))
    assert not run.exists()
    assert genas("search", "--scale", "huge") == 2
    assert "expected quick, standard or paper" in capsys.readouterr().err


def test_what_cannot_fit_is_refused_and_what_takes_long_comes_with_advice(tmp_path, monkeypatch):
    plan = RunPlan("data", (), memory_bytes=8, memory_free=4, memory_total=10, disk_bytes=5, disk_free=9)
    refuse_impossible(plan, tmp_path)
    with pytest.raises(RunError, match="of disk, and"):
        refuse_impossible(replace(plan, disk_bytes=10), tmp_path)
    with pytest.raises(RunError, match="of memory, and there are"):
        refuse_impossible(replace(plan, memory_bytes=16), tmp_path)
    monkeypatch.setattr(timing, "BUDGET", 0.05)
    monkeypatch.setattr(planning, "LONG", 0.0)
    advice = plan_run(settings(tmp_path), tmp_path / "run").advice
    assert any("--scale quick" in one for one in advice)
    monkeypatch.setattr(planning, "memory_of", lambda device: (1, 2))
    assert any("supernet.batch_size=2" in one for one in plan_run(settings(tmp_path / "more"), tmp_path / "run").advice)


def test_a_run_that_does_not_fit_on_the_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch, capsys):
    few = [text for key, value in FEW.items() for text in ("--set", f"{key}={value}")]
    monkeypatch.setattr(planning, "_disk", lambda run: 1000)
    assert genas("search", "--run", tmp_path / "run", *few, "--quiet") == 2
    assert "of disk, and 1 kB are free there: choose another folder" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_plan_of_a_retraining_counts_seeds_and_baselines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "BUDGET", 0.05)
    monkeypatch.setattr(planning, "memory_held", lambda: 0)  # what other tests left in this process has no say
    run = tmp_path / "run"
    small = ("--cells", "1", "--channels", "4", "--batch-size", "64", "--epochs", "3", "--set", "tail_epochs=0")
    command = ("retrain", "333333", "--data", "digits", *small, "--run", run, "--plan", "--json", "--quiet")
    capsys.readouterr()
    assert genas(*command, "--seeds", "0,1", "--baseline", "random:4") == 0
    plan = json.loads(capsys.readouterr().out)
    trained, alike = plan["phases"]
    assert trained["work"].startswith("2 times 3 epochs of 22 batches of 64")
    assert alike["seconds"] == pytest.approx(2 * trained["seconds"])
    assert not run.exists()
    assert genas(*command, "--limit-batches", "2", "--baseline", "none") == 0
    (dry,) = json.loads(capsys.readouterr().out)["phases"]
    assert dry["work"].endswith("epochs of 2 batches of 64")
    monkeypatch.setattr(planning, "memory_of", lambda device: (plan["memory_bytes"] // 6, 2**50))
    assert genas(*command, "--limit-batches", "2", "--baseline", "none") == 0
    found = json.loads(capsys.readouterr().out)
    (sentence,) = [one for one in found["advice"] if "does not suffice" in one]
    parts = int(sentence.partition("retrain.accumulate=")[2].split()[0])  # what is advised is enough, and no more
    assert found["memory_bytes"] / parts <= found["memory_free"] < 2 * found["memory_bytes"] / parts
