import re
from pathlib import Path

import pytest

import genas
from genas.core import run_paths
from genas.core.run_paths import Folder, RunPaths, TrainingPaths

SOURCE = Path(genas.__file__).parent
FIXTURE = Path(__file__).parents[1] / "fixtures" / "run-folder"
KINDS = [kind for kind in vars(run_paths).values() if isinstance(kind, type) and issubclass(kind, Folder)]


def names(kind):
    return [value.name for value in vars(kind).values() if isinstance(value, run_paths._Entry)]


def test_one_place_names_the_files_of_a_run():
    every = {name for kind in KINDS for name in names(kind) if "." in name} - {"config.json"}
    pattern = re.compile("|".join(f'/ f?"{re.escape(name)}"' for name in every))
    elsewhere = {"run_paths.py", "standalone.py"}  # the second is copied into exports and stands alone
    files = [path for path in SOURCE.rglob("*.py") if path.name not in elsewhere]
    assert not {path.name: found for path in files if (found := pattern.findall(path.read_text()))}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Folder])
def test_no_two_entries_of_a_folder_are_the_same(kind):
    assert names(kind)
    assert len(set(names(kind))) == len(names(kind))


def test_everything_in_a_run_folder_of_today_has_a_name():
    known = {*names(RunPaths), "supernet", "retrain", *names(run_paths.EvaluationPaths)}
    top = {entry.name for entry in FIXTURE.iterdir()}
    assert {"config.yaml", "history.sqlite", "supernet"} <= top
    assert top <= known
    for training in (RunPaths(FIXTURE).supernet, RunPaths(FIXTURE).retrain):
        assert {entry.name for entry in training.path.iterdir()} <= set(names(TrainingPaths))
        assert training.checkpoint.is_file()


def test_seeds_and_epochs_are_found_in_the_order_of_their_numbers(tmp_path):
    for name in ("seed-10", "seed-2", "seed-x", "seeds"):
        (tmp_path / name).mkdir()
    assert [folder.name for folder in RunPaths(tmp_path).seeds()] == ["seed-2", "seed-10"]
    assert RunPaths(tmp_path).seed([2, 10], 10) in RunPaths(tmp_path).seeds()
    assert RunPaths(tmp_path).seed([7], 7) == tmp_path
    for number in (10, 2):
        TrainingPaths(tmp_path).epoch(number).touch()
    assert TrainingPaths(tmp_path).kept_epochs() == [2, 10]
