"""Folders that were begun before a setting existed continue with that setting's default."""

import json
from types import SimpleNamespace

import pytest
import torch
import yaml

from genas.analysis.landscape.settings import LandscapeSettings
from genas.core.errors import RunError
from genas.workflows import landscape as landscapes
from genas.workflows import sweep as sweeps
from genas.workflows.config import Config, build_config
from genas.workflows.continuation import settings_on


def session(**batchnorm):
    config = Config.model_validate({"proxy": {"batchnorm": batchnorm}})
    return SimpleNamespace(config=config, fabric=SimpleNamespace(device=torch.device("cpu")))


def edited(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_landscape(tmp_path):
    def check(**batchnorm):
        landscapes._check_identity(tmp_path, session(**batchnorm), [], LandscapeSettings())

    check()
    edited(tmp_path / "identity.json", lambda content: content["recalibration"].pop("common_images"))
    check()
    with pytest.raises(RunError, match="recalibration"):
        check(common_images=False)


def test_a_sweep(tmp_path):
    run = tmp_path / "run"
    (run / "supernet").mkdir(parents=True)
    (run / "supernet" / "checkpoint.safetensors").write_bytes(b"weights")
    template = SimpleNamespace(text="loss + w*angle")

    def check(**batchnorm):
        sweeps._check_identity(tmp_path, run, template, session(**batchnorm))

    def older(content):
        del content["proxy"]["batchnorm"]["common_images"], content["strategy"]["breeding"]
        del content["retrain"]["auxiliary_bn"]

    check()
    edited(tmp_path / "config.json", older)
    check()
    with pytest.raises(RunError, match="common_images"):
        check(common_images=False)


@pytest.mark.parametrize("space", ["darts", "nasbench201", "nasbench-macro"])
def test_as_published_on_a_run_gives_what_it_gives_on_a_new_one(tmp_path, space):
    named = [{"space": {"name": space}}]
    new = settings_on(tmp_path / "run", named, as_published=True)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(build_config(named).model_dump(mode="json")))
    assert settings_on(folder, named, as_published=True) == new
    assert settings_on(folder, [], as_published=True) == new
