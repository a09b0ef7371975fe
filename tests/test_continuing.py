"""Folders that were begun before a setting existed continue with that setting's default."""

import json
from types import SimpleNamespace

import pytest
import torch

from genas import landscapes, sweeps
from genas.config import Config
from genas.errors import RunError
from genas.landscape import LandscapeSettings


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
        del content["proxy"]["batchnorm"]["common_images"], content["search"]["breeding"]
        del content["retrain"]["auxiliary_bn"]

    check()
    edited(tmp_path / "config.json", older)
    check()
    with pytest.raises(RunError, match="common_images"):
        check(common_images=False)
