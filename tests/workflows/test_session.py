import shutil
from pathlib import Path

import pytest

from genas.core.checkpoint import load_checkpoint, save_checkpoint
from genas.core.errors import ConfigError, RunError
from genas.training.supernet.adoption import check_adoption
from genas.training.supernet.stored import find_supernet, read_supernet
from genas.workflows.session import changed_settings, load_config

RUN = Path(__file__).parents[1] / "fixtures" / "run-folder"


def test_nothing_given_is_the_run_itself():
    assert changed_settings(RUN, [], []) == load_config(RUN)
    assert changed_settings(RUN, [{}], ["proxy"], device="cpu") == load_config(RUN).model_copy(update={"device": "cpu"})


@pytest.mark.parametrize("change", [{"proxy": {"flatness": {"draws": 9}}}, {"proxy.flatness.draws": 9}])
def test_what_a_command_may_change_is_changed_and_nothing_else(change):
    changed, own = changed_settings(RUN, [change], ["proxy"]), load_config(RUN)
    assert changed.proxy.flatness.draws == 9
    assert changed.model_copy(update={"proxy": own.proxy}) == own


@pytest.mark.parametrize(
    ("change", "allowed", "message"),
    [
        ({"supernet": {"epochs": 99}}, ["proxy"], "supernet is fixed by the run .*: expected changes of proxy only"),
        ({"seed": 99}, ["proxy", "strategy"], "seed is fixed by the run .*: expected changes of proxy, strategy only"),
        ({"seed": 99, "precision": "bf16"}, ["proxy"], "seed and precision are fixed by the run"),
        ({"proxy": {"flatnes": 1}}, ["proxy"], "did you mean 'proxy.flatness'"),
    ],
)
def test_what_a_run_fixes_is_refused(change, allowed, message):
    with pytest.raises(ConfigError, match=message):
        changed_settings(RUN, [change], allowed)


def test_every_way_to_a_supernet_refuses_one_that_is_missing_or_unfinished(tmp_path):
    run = Path(shutil.copytree(RUN, tmp_path / "run"))
    read_supernet(run)
    check_adoption(run, tmp_path / "new")
    tensors, facts = load_checkpoint(find_supernet(run))
    save_checkpoint(find_supernet(run), tensors, {**facts, "epoch": 0})
    for use in (lambda: read_supernet(run), lambda: check_adoption(run, tmp_path / "new")):
        with pytest.raises(RunError, match="has trained 0 of .* epochs; continue it with: genas supernet --run"):
            use()
    find_supernet(run).unlink()
    for use in (lambda: read_supernet(run), lambda: check_adoption(run, tmp_path / "new")):
        with pytest.raises(RunError, match="has no supernet yet; train it with: genas supernet --run"):
            use()
