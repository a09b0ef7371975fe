"""What a command is told to work on."""

import json

import pytest
import yaml

from genas.core.errors import ConfigError, GenasError, GenotypeError, RunError
from genas.spaces import open_space
from genas.spaces.zoo import load
from genas.workflows.subject import find_subject, parse_architecture


def test_names_of_the_zoo_work_wherever_a_genotype_does():
    darts = open_space("darts")
    assert parse_architecture(darts, "genas_fbs_c10").genotype == darts.parse(load("genas_fbs_c10").genotype).genotype
    with pytest.raises(GenotypeError, match="genas_fbs_c10 is an architecture of the space 'darts'.*'nasbench201'"):
        parse_architecture(open_space("nasbench201"), "genas_fbs_c10")
    with pytest.raises(GenotypeError, match="Did you mean 'genas_fbs_c10"):
        parse_architecture(darts, "genas_fbs_c1")


def test_genotypes_tell_their_space():
    text = load("genas_fbs_c100").genotype
    assert find_subject(text).space["name"] == "darts"
    assert find_subject("333333").space["name"] == "nasbench201"
    assert find_subject("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|").space["name"] == (
        "nasbench201"
    )
    assert find_subject("22212220").space["name"] == "nasbench-macro"
    assert find_subject(text).architecture == find_subject(text, "darts").architecture


def test_published_names_bring_their_width():
    found = find_subject("genas_fbs_c10")
    assert found.architecture.genotype == find_subject(load("genas_fbs_c10").genotype).architecture.genotype
    assert found.imagenet_channels == (52,)


def test_a_run_brings_space_data_and_recipe(tmp_path):
    config = {
        "space": {"name": "nasbench201", "channels": 4},
        "data": {"name": "digits", "root": None, "limit": 64},
        "retrain": {"epochs": 3},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(RunError, match="is not finished: continue it with: genas search --run"):
        find_subject(str(tmp_path))
    (tmp_path / "best.json").write_text(json.dumps({"genotype": "333333"}))
    found = find_subject(str(tmp_path))
    assert found.architecture.genotype.count("nor_conv_3x3") == 6
    assert found.space == config["space"]
    assert found.data == {"name": "digits", "root": None}
    assert found.retrain == {"epochs": 3}
    with pytest.raises(ConfigError, match="is a run in the space 'nasbench201', not in 'darts'"):
        find_subject(str(tmp_path), "darts")


@pytest.mark.parametrize(
    ("text", "space", "error", "message"),
    [
        (
            "genas_fbs_c1",
            None,
            ConfigError,
            "neither a run folder, nor a published architecture.*Did you mean 'genas_fbs",
        ),
        ("runs/none", None, RunError, "There is no runs/none: expected the folder of a run"),
        ("|x~0|", None, GenotypeError, "is no genotype of any space \\(darts: .*; nasbench201: .*'x'"),
        ("333333", "darts", GenotypeError, "'333333' is no genotype of this space \\(darts: "),
        ("333333", "dart", ConfigError, "unknown space 'dart'"),
        ("x" * 5000 + "|", None, GenasError, "is no genotype"),
    ],
)
def test_what_is_nothing_of_these(text, space, error, message):
    with pytest.raises(error, match=message):
        find_subject(text, space)
