"""Whole runs through the command line, in this process where nothing is killed."""

import json
import shutil

import pytest
import torch
import yaml
from commands import FAST, genas, refused

from genas import load
from genas.core.checkpoint import load_checkpoint, save_checkpoint
from genas.reporting.page import count
from genas.spaces.nasbench201.encoding import NasBench201Architecture
from genas.workflows.config import build_config
from genas.workflows.session import Session

SETTINGS = [text for key, value in FAST.items() for text in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished search on digits in nasbench201."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    assert genas("search", "--space", "nasbench201", "--run", run, *SETTINGS, "--quiet") == 0
    return run


def test_run_folder_holds_everything(finished):
    best = json.loads((finished / "best.json").read_text())
    assert {"genotype", "score", "parts", "params", "macs"} <= best.keys()
    assert best["evaluated"] == 8
    for name in ("config.yaml", "environment.json", "data.json", "history.sqlite", "report.html", "command.txt"):
        assert (finished / name).stat().st_size > 0
    for phase in ("supernet", "retrain"):
        assert (finished / phase / "metrics.csv").read_text().startswith("epoch,")
        assert list((finished / phase / "tensorboard").iterdir())
    assert (finished / "command.txt").read_text().startswith("genas search --space nasbench201 ")
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert not list(finished.rglob("*.part"))


def test_every_size_is_named(tmp_path, capsys):
    """Path in the supernet and retrained network differ (batch norm's scale and shift): nowhere a bare number."""
    finished = tmp_path / "largest"
    assert genas("search", "--space", "nasbench201", "--proxy", "macs", "--run", finished, *SETTINGS, "--quiet") == 0
    best = json.loads((finished / "best.json").read_text())
    trained = json.loads((finished / "retrain" / "result.json").read_text())
    network = load(finished)
    assert trained["params"] == sum(parameter.numel() for parameter in network.parameters()) != best["params"]
    capsys.readouterr()
    assert genas("search", "--run", finished, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["params"], result["macs"]) == (best["params"], best["macs"])
    assert result["network"] == {"params": trained["params"], "macs": trained["macs"]}
    assert genas("search", "--run", finished) == 0
    text = capsys.readouterr().out
    assert f"path in the supernet: {best['params'] / 1e6:.3f} M parameters" in text
    assert f"retrained network: {trained['params'] / 1e6:.3f} M parameters" in text
    page = (finished / "report.html").read_text()
    for label, number in (("path in the supernet", best), ("retrained network", trained)):
        assert f'<span class="soft">Parameters, {label}</span><b>{count(number["params"])}</b>' in page
    assert genas("status", finished) == 0
    assert "(sizes: path in the supernet)" in capsys.readouterr().out


@pytest.mark.parametrize(("rule", "fits"), [("skip", True), ("run", False)])
def test_a_limit_counts_by_the_rule_of_the_space(rule, fits):
    """A convolution that no signal reaches fits into the frame's MACs, unless it is counted as the benchmark does."""
    options = {"name": "nasbench201", "cells_per_stage": 1, "channels": 4}
    bare = Session(build_config([{"space": options}])).cost(NasBench201Architecture((0,) * 6)).macs
    session = Session(build_config([{"space": {**options, "unreached": rule}, "search": {"max_macs": bare}}]))
    assert session.within_limits(session.space.parse("040430")) is fits


def test_the_same_command_again_changes_nothing(finished, capsys):
    kept = {path: path.read_bytes() for path in finished.rglob("*.safetensors")}
    best = (finished / "best.json").read_bytes()
    capsys.readouterr()
    assert genas("search", "--space", "nasbench201", "--run", finished, *SETTINGS, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["genotype"] == json.loads(best)["genotype"]
    assert result["test"]["top1"] > 0.1
    assert genas("search", "--run", finished, "--quiet") == 0  # the run's own settings
    assert (finished / "best.json").read_bytes() == best
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_status_score_and_report(finished, capsys):
    capsys.readouterr()
    assert genas("status", finished, "--json") == 0
    state = json.loads(capsys.readouterr().out)
    assert state["phase"] == "done"
    assert state["architectures"] == [8, 8]
    assert state["active"] is None
    assert len(state["best"]) == 8
    genotype = state["best"][0]["genotype"]
    assert genas("score", finished, genotype, "333333", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["genotype"] for row in rows] == [
        genotype,
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    ]
    for row in rows:
        assert {"genotype", "score", "sigmas", "losses", "slopes", "depth_term", "params", "macs"} <= row.keys()
    assert rows[0]["score"] == state["best"][0]["score"]
    assert genas("score", finished, genotype, "--proxy", "angle + 16*flatness") == 0
    assert genas("status", finished) == 0
    assert genas("report", finished) == 0
    assert "report.html" in capsys.readouterr().out


def test_noise_curves_can_be_left_out_and_made_later(finished, tmp_path, capsys):
    run, curves = tmp_path / "run", "noise_curves.json"
    shutil.copytree(finished, run)
    measured = json.loads((run / curves).read_text())
    (run / curves).unlink()
    assert genas("search", "--run", run, "--set", "report.noise_curves=false", "--quiet") == 0
    assert not (run / curves).exists()
    assert genas("report", run, "--noise-curves", "--quiet") == 0
    assert json.loads((run / curves).read_text()) == measured
    assert "loss-under-noise" in " ".join(path.name for path in (run / "figures").iterdir())
    free = ("--proxy", "macs", "--run", tmp_path / "free", "--no-retrain", "--quiet")
    assert genas("search", "--space", "nasbench201", *SETTINGS, *free) == 0
    assert not (tmp_path / "free" / curves).exists()
    assert "a trained supernet" in refused(capsys, "report", tmp_path / "free", "--noise-curves")


NEW = {"flatness": ("antithetic", "noise_seed", "scale", "parameters", "batchnorm"), "evaluation": ("subset",)}


def test_a_run_from_before_the_newest_settings_continues(finished, tmp_path, capsys):
    run = tmp_path / "old"
    shutil.copytree(finished, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    for section in ("curvature", "zero_cost"):
        del config["proxy"][section]
    for section, names in NEW.items():
        for name in names:
            del config["proxy"][section][name]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert genas("search", "--space", "nasbench201", "--run", run, *SETTINGS, "--quiet") == 0
    sentence = refused(
        capsys, "search", "--space", "nasbench201", "--run", run, *SETTINGS, "--set", "proxy.flatness.scale=filter"
    )
    assert "proxy.flatness.scale (was 'absolute', now 'filter')" in sentence


def test_a_finished_run_scores_by_every_proxy(finished, capsys):
    genotype = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
    capsys.readouterr()
    assert genas("score", finished, genotype, "333333", "--proxy", "synflow", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["genotype"] == genotype
    assert 0 < rows[0]["score"] < rows[1]["score"]
    assert {"log", "params", "macs"} <= rows[0].keys()
    small = ("--set", "proxy.curvature.images=32", "--set", "proxy.curvature.source=validation")
    proxies = "sharpness-0.1*jacob-cov+grad-norm"
    assert genas("score", finished, genotype, "--proxy", proxies, *small, "--json") == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["jacob-cov"]["weight"] == -0.1
    assert row["score"] == pytest.approx(
        sum(row[name]["contribution"] for name in ("sharpness", "jacob-cov", "grad-norm"))
    )
    sentence = refused(capsys, "score", finished, genotype, "--proxy", "syn-flow")
    assert "unknown proxy 'syn-flow'" in sentence
    assert "Did you mean 'synflow'?" in sentence
    sentence = refused(capsys, "score", finished, genotype, "--set", "proxy.evaluation={images: null, subset: 1}")
    assert "subset chooses a part of the validation half; give images" in sentence


def test_random_labels_give_the_random_label_angle(tmp_path, finished, capsys):
    """RLNAS: the same weights to begin with, another training, hence another angle."""
    options = [*SETTINGS, "--quiet", "--space", "nasbench201"]
    run = tmp_path / "random"
    assert genas("supernet", "--run", run, *options, "--set", "supernet.labels=random") == 0
    capsys.readouterr()
    angles = []
    for folder in (finished, run):
        assert genas("score", folder, "333333", "--proxy", "angle", "--json") == 0
        angles.append(json.loads(capsys.readouterr().out)[0]["score"])
    assert angles[0] != angles[1] > 0
    first, second = (load_checkpoint(folder / "supernet" / "initial.safetensors")[0] for folder in (finished, run))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_winner_loads_in_python(finished):
    import genas as package

    network = package.load(finished)
    facts = json.loads((finished / "retrain" / "model.json").read_text())
    assert network(torch.zeros(2, *facts["image_shape"])).shape == (2, 10)


def test_as_published_search_differs_and_records_its_options(tmp_path, capsys):
    run = tmp_path / "run"
    options = ["--set", "space.cells=3", "--set", "space.channels=4", *SETTINGS[4:]]
    assert genas("search", "--as-published", "--no-retrain", "--run", run, "--quiet", *options) == 0
    from genas.core.run_folder import flatten, read_config

    flat = flatten(read_config(run))
    assert flat["supernet.shifted_schedule"] is True
    assert flat["proxy.flatness.noise"] == "nominal-increments"
    assert flat["proxy.flatness.alpha"] == 1.0
    assert flat["proxy.batchnorm.averaging"] == "momentum"
    assert flat["proxy.batchnorm.common_images"] is False
    assert flat["strategy.breeding"] == "as-published"
    assert flat["proxy.evaluation.weighting"] == "batches"
    assert flat["proxy.angle.dil_shift"] == "scale"
    assert flat["space.mutation"] == "as-published"
    assert not (run / "retrain").exists()
    assert (run / "report.html").exists()


def test_limits_hold(tmp_path, finished):
    from genas.strategies import History

    with History(finished / "history.sqlite", readonly=True) as history:
        limit = sorted(record.macs for record in history)[4]
    run = tmp_path / "limited"
    command = ["search", "--space", "nasbench201", "--max-macs", limit, "--search", "random", "--no-retrain", "--quiet"]
    assert genas(*command, "--run", run, *SETTINGS) == 0
    with History(run / "history.sqlite", readonly=True) as history:
        assert all(record.macs <= limit for record in history)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "cifra10"], "Did you mean 'cifar10'"),
        (["--space", "dart"], "Did you mean 'darts'"),
        (["--proxy", "flatnes"], "Did you mean 'flatness'"),
        (["--search", "evolutoin"], "Did you mean 'evolution'"),
        (["--set", "supernet.epoch=3"], "unknown key 'supernet.epoch' (did you mean 'supernet.epochs'?)"),
        (["--set", "supernet.epochs=many"], "supernet.epochs is 'many'"),
        (["--set", "supernet"], "must read section.key=value"),
        (["--set", "space.chanels=3"], "unknown key 'chanels' (did you mean 'channels'?)"),
        (["--set", "proxy.flatness.sigmas=[0.1, 0.05]"], "sigmas"),
        (["--set", "proxy.flatness.sigmas=[0, 0.05]"], "sigmas"),
        (["--device", "tpu"], "device"),
        (["--precision", "7"], "precision"),
        (["--max-macs", "lots"], "such as 600M"),
        (["--max-macs", "10", "--space", "nasbench201"], "the smallest had"),
        (["--config", "missing.yaml"], "missing.yaml does not exist"),
        (["--set", "supernet.batch_size=100000"], "fewer than one batch"),
        (["--data", "folder:/no/such/folder"], "There is no folder /no/such/folder"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_folder(tmp_path, capsys, arguments, message):
    run = tmp_path / "run"
    assert message in refused(capsys, "search", "--run", run, *arguments)
    if "supernet.batch_size=100000" not in arguments:
        assert not run.exists()


def test_faulty_configuration_files(tmp_path, capsys):
    file = tmp_path / "c.yaml"
    for content, message in (
        ("supernet: [1, 2", "is not YAML"),
        ("- 1", "a mapping of sections"),
        ("supernets: {epochs: 2}", "unknown key 'supernets'"),
        ("supernet: {epochs: -1, batchsize: 3}", "unknown key 'supernet.batchsize'"),
        ("data: digits", "a mapping such as {name: ...}"),
    ):
        file.write_text(content)
        assert message in refused(capsys, "search", "--config", file, "--run", tmp_path / "run")


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(Exception, match="unknown data set"):
        genas("--debug", "search", "--data", "nothing", "--run", tmp_path / "run")


def test_wrong_genotypes_and_runs(finished, tmp_path, capsys):
    assert "character 1" in refused(capsys, "score", finished, "nonsense")
    assert "character 2 (edge 0->1)" in refused(capsys, "score", finished, "|conv~0|")
    assert "not a run folder" in refused(capsys, "score", tmp_path, "333333")
    assert "expected the folder of a run" in refused(capsys, "status", tmp_path / "missing")
    assert "not a run folder" in refused(capsys, "report", tmp_path)
    assert "fixed by the run" in refused(capsys, "score", finished, "333333", "--set", "supernet.epochs=9")


def test_a_changed_configuration_is_refused_and_nothing_is_lost(finished, capsys):
    before = (finished / "config.yaml").read_bytes()
    sentence = refused(capsys, "search", "--space", "nasbench201", "--run", finished, *SETTINGS, "--seed", "5")
    assert "seed (was 0, now 5)" in sentence
    assert (finished / "config.yaml").read_bytes() == before


def test_truncated_and_foreign_checkpoints(finished, tmp_path, capsys):
    import shutil

    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    path = run / "supernet" / "checkpoint.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refused(capsys, "score", run, "333333")
    assert "truncated" in refused(capsys, "search", "--run", run)
    assert path.read_bytes() == whole[: len(whole) // 2]  # left for the user to judge
    path.write_bytes(whole)
    tensors, facts = load_checkpoint(path)
    save_checkpoint(path, tensors, {**facts, "identity": {"kind": "other"}})
    assert "another network" in refused(capsys, "search", "--run", run)


def test_a_full_disk_is_one_sentence(tmp_path, capsys, monkeypatch):
    import errno

    import genas.core.run_folder

    def fail(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(genas.core.run_folder.os, "fsync", fail)
    sentence = refused(capsys, "search", "--space", "nasbench201", "--run", tmp_path / "run", *SETTINGS)
    assert "disk is full" in sentence


def test_no_write_permission_is_one_sentence(tmp_path, capsys, monkeypatch):
    import errno

    from genas.core.run_folder import Path

    place = tmp_path / "locked" / "run"
    mkdir = Path.mkdir

    def refuse(self, *arguments, **options):
        if self == place or self == place.parent:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)
    sentence = refused(capsys, "search", "--space", "nasbench201", "--run", place, *SETTINGS)
    assert str(place) in sentence
    assert "write" in sentence or "Permission denied" in sentence


def test_a_run_that_only_has_a_supernet_gets_a_page(tmp_path, capsys):
    run = tmp_path / "run"
    assert genas("supernet", "--space", "nasbench201", "--run", run, *SETTINGS, "--quiet") == 0
    assert genas("report", run) == 0
    page = (run / "report.html").read_text()
    assert "No architecture yet" in page
    assert "genas search --run" in page


def test_unfit_images_through_the_command_line(tmp_path, capsys):
    from PIL import Image

    for name in ("ant", "bee"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (16, 16), (number * 9, 0, 0)).save(tmp_path / "set" / name / f"{number}.png")
    command = ["search", "--data", f"folder:{tmp_path / 'set'}", "--run", tmp_path / "run"]
    assert "fewer than one batch of 64" in refused(capsys, *command)
    (tmp_path / "set" / "bee" / "2.png").write_bytes(b"not an image")
    assert f"{tmp_path / 'set' / 'bee' / '2.png'}" in refused(capsys, *command[:3], "--run", tmp_path / "run2")
    for image in (tmp_path / "set" / "bee").iterdir():
        image.unlink()
    assert "class bee" in refused(capsys, *command[:3], "--run", tmp_path / "run3")


def test_a_run_folder_may_be_named_like_markup(finished, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "[/x]")
    for command in (["search", "--run", "[/x]", "--quiet"], ["status", "[/x]"], ["report", "[/x]"]):
        capsys.readouterr()
        assert genas(*command) == 0
        assert "[/x]" in capsys.readouterr().out
    assert genas("retrain", "[/x]", "--run", "[bold]", "--quiet") == 0
    assert "[bold]" in capsys.readouterr().out
    assert genas("status", "[bold]") == 0
    assert "[bold]: done" in capsys.readouterr().out
