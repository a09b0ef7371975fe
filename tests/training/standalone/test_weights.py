"""First weights from a supernet's path or a checkpoint: what matches, what is refused."""

import json
import random

import pytest
import torch
from safetensors.torch import save_file

from genas.core.checkpoint import load_checkpoint, save_checkpoint
from genas.core.errors import CheckpointError, RunError
from genas.spaces import copy_path, open_space
from genas.training.standalone import RetrainSettings, retrain
from genas.training.standalone.network import resize
from genas.training.standalone.weights import checkpoint_weights, supernet_weights, take_over
from genas.training.supernet import SupernetSettings, initialise, train_supernet

DARTS = open_space("darts", cells=3, channels=4)
NAS = open_space("nasbench201", cells_per_stage=1, channels=4)
ARCHITECTURE = DARTS.sample(random.Random(1))
AUXILIARY = RetrainSettings(auxiliary_weight=0.4)


def facts(space, architecture=None, classes=4):
    kind = {"kind": "supernet"} if architecture is None else {"kind": "stand-alone", "genotype": architecture.genotype}
    return {"identity": {**kind, "space": space.describe(), "classes": classes}}


def saved(path, space, architecture, classes=4):
    network = space.network(classes, architecture, 3)
    save_checkpoint(path, network.state_dict(), facts(space, architecture, classes))
    return network.state_dict()


def test_a_supernets_path_without_what_it_does_not_have(tmp_path, tiny, fabric):
    settings = SupernetSettings(epochs=1, batch_size=8)
    supernet = train_supernet(tmp_path / "supernet", DARTS, tiny, settings, fabric, seed=1, quiet=True)
    final = resize(DARTS, AUXILIARY)
    network = final.network(4, ARCHITECTURE, 3)
    match = take_over(supernet_weights(tmp_path), network, final, ARCHITECTURE)
    plain = resize(DARTS, RetrainSettings()).network(4, ARCHITECTURE, 3)
    copy_path(supernet, plain)  # the way the proxies take a path
    for name, value in plain.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert match.entries == match.of_entries == len(plain.state_dict())
    assert match.parameters == match.of_parameters == sum(one.numel() for one in plain.parameters())
    assert match.new == ("auxiliary_head",)
    assert match.unused > 0
    assert "not in the source: auxiliary_head" in match.sentence()


def test_batch_norm_that_the_supernet_was_built_without(tmp_path):
    supernet = initialise(NAS, 4, 3, seed=1)
    save_checkpoint(tmp_path / "supernet" / "checkpoint.safetensors", supernet.state_dict(), facts(NAS))
    final, architecture = resize(NAS, RetrainSettings()), NAS.parse("333333")
    match = take_over(supernet_weights(tmp_path), final.network(4, architecture, 3), final, architecture)
    assert match.new
    assert all(name.endswith(("bn.weight", "bn.bias")) for name in match.new)
    assert match.entries + len(match.new) == match.of_entries


def test_another_number_of_classes_begins_the_classifier_anew(tmp_path):
    before = saved(tmp_path / "model.safetensors", DARTS, ARCHITECTURE, classes=7)
    network = DARTS.network(4, ARCHITECTURE, 3)
    own = network.classifier.weight.detach().clone()
    match = take_over(checkpoint_weights(tmp_path), network, DARTS, ARCHITECTURE)
    assert match.other_classes == ("classifier.weight", "classifier.bias")
    assert torch.equal(network.classifier.weight, own)
    assert torch.equal(network.state_dict()["stem0.0.weight"], before["stem0.0.weight"])
    assert "begun anew for another number of classes: classifier.weight, classifier.bias" in match.sentence()


def test_a_training_begins_with_them_and_says_so(tmp_path, make_splits, fabric):
    before = saved(tmp_path / "first.safetensors", NAS, NAS.parse("333333"))
    settings = RetrainSettings(epochs=1, batch_size=8, limit_batches=1, learning_rate=1e-9, weight_decay=0)
    told = []
    retrain(
        tmp_path / "run",
        NAS,
        NAS.parse("333333"),
        make_splits(24),
        settings,
        fabric,
        seed=1,
        quiet=True,
        initial=checkpoint_weights(tmp_path / "first.safetensors"),
        on_match=told.append,
    )
    after = load_checkpoint(tmp_path / "run" / "model.safetensors")[0]
    assert after["stem.0.weight"].numpy() == pytest.approx(before["stem.0.weight"].numpy(), abs=1e-6)
    assert len(told) == 1
    assert json.loads((tmp_path / "run" / "initial_weights.json").read_text())["entries"] == len(before)


def test_weights_of_other_programs_match_by_name(tmp_path):
    network = DARTS.network(4, ARCHITECTURE, 3)
    save_file(network.state_dict(), tmp_path / "foreign.safetensors")
    other = DARTS.network(4, ARCHITECTURE, 3)
    match = take_over(checkpoint_weights(tmp_path / "foreign.safetensors"), other, DARTS, ARCHITECTURE)
    assert match.entries == match.of_entries
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in other.state_dict().items())


def test_what_does_not_fit_is_refused_and_nothing_is_copied(tmp_path):
    other = DARTS.sample(random.Random(2))
    saved(tmp_path / "other.safetensors", DARTS, other)
    saved(tmp_path / "nas.safetensors", NAS, NAS.parse("333333"))
    saved(tmp_path / "wide.safetensors", open_space("darts", cells=3, channels=6), ARCHITECTURE)
    save_file(DARTS.network(4, other, 3).state_dict(), tmp_path / "foreign.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    network = DARTS.network(4, ARCHITECTURE, 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for name, message in (
        ("other", "other.safetensors is of another architecture, Genotype"),
        ("foreign", "foreign.safetensors is of another architecture: it has no cells"),
        ("nas", "is a network of the space 'nasbench201'; the one to train is of 'darts'"),
        ("wide", "is of another size: .* give the --cells and --channels that it was trained with"),
        ("broken", "is truncated or no safetensors file"),
        ("missing", "there is no checkpoint at"),
    ):
        with pytest.raises(CheckpointError, match=message):
            take_over(checkpoint_weights(tmp_path / f"{name}.safetensors"), network, DARTS, ARCHITECTURE)
    with pytest.raises(RunError, match="has no supernet"):
        supernet_weights(tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
