"""Exported folders: the same function without genas, honest cards, and nothing left of a failure."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import genas
from genas.core.checkpoint import save_checkpoint
from genas.core.errors import CheckpointError, ConfigError, GenasError
from genas.data.decoding import decode, square
from genas.deploy import export as exporting
from genas.deploy import onnx as onnx_module
from genas.deploy.card import model_card, public_name
from genas.deploy.hub import HubModel, push_to_hub
from genas.deploy.standalone import constructor_options, load_modeling, modeling_source
from genas.spaces import SPACES, open_space
from genas.training.standalone.loading import load_model

ALONE = """
import sys
sys.modules["genas"] = None  # importing it fails
import torch
sys.path.insert(0, sys.argv[1])
from PIL import Image
from modeling import load, normalise, preprocess
network, config = load()
pixels = torch.load(sys.argv[1] + "/../pixels.pt")
assert not network.training
torch.save(network(normalise(pixels, config)), sys.argv[1] + "/../logits.pt")
for name in sys.argv[2:]:
    image = Image.open(name)
    torch.save([preprocess(image), preprocess(image, config), network.preprocess(image)], name + ".pt")
assert network.class_names == tuple("abcde")
assert not any(name.split(".")[0] in ("pydantic", "torchvision") for name in sys.modules)
"""


def write(folder, space, architecture, shape=(3, 32, 32), classes=5):
    """A folder as retraining leaves it, with random weights and statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = space.network(classes, architecture, shape[0])
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
    identity = {"space": space.describe(), "classes": classes, "genotype": architecture.genotype}
    save_checkpoint(folder / "model.safetensors", network.state_dict(), {"identity": identity})
    more = {"image_shape": shape, "class_names": list("abcdefgh"[:classes]), "mean": [0.4] * shape[0]}
    (folder / "model.json").write_text(json.dumps({**identity, **more, "std": [0.3] * shape[0]}))
    return network.eval()


@pytest.fixture(scope="module")
def exported(trained_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "digits"
    return exporting.export(trained_folder, out, data="digits")


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_darts_networks_stand_alone(tmp_path, stem, auxiliary):
    space = open_space("darts", cells=3, channels=4).final(stem=stem, auxiliary=auxiliary)
    network = write(tmp_path, space, space.sample(random.Random(4)), (3, 64, 64))
    exporting.export(tmp_path, tmp_path / "out")
    pixels = torch.rand(2, 3, 64, 64)
    wanted = network((pixels - 0.4) / 0.3)
    modeling = load_modeling(tmp_path / "out")
    copy, config = modeling.load(tmp_path / "out")
    assert torch.equal(copy(modeling.normalise(pixels, config)), wanted)
    assert torch.equal(genas.load(tmp_path / "out")((pixels - 0.4) / 0.3), wanted)
    assert not any(name.startswith("auxiliary") for name in load_file(tmp_path / "out" / "model.safetensors"))
    assert config["params"] == sum(value.numel() for value in copy.parameters())


def test_a_process_without_genas_gets_the_same_pixels_and_logits(tmp_path, shared_data):
    space = open_space("darts", cells=3, channels=4).final()
    network = write(tmp_path, space, space.sample(random.Random(2)))
    exporting.export(tmp_path, tmp_path / "out")
    pixels = torch.rand(3, 3, 32, 32)
    torch.save(pixels, tmp_path / "pixels.pt")
    names = [str(shutil.copy(path, tmp_path)) for path in sorted((shared_data / "photos" / "val").glob("*/*"))[::60]]
    turned = Image.open(names[0])
    exif = turned.getexif()
    exif[0x0112] = 6
    names.append(str(tmp_path / "turned.jpg"))
    turned.save(names[-1], exif=exif)
    answer = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "out"), *names], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    for name in names:
        wanted = torch.from_numpy(square(decode(Path(name), name), 32).copy()).float()
        wanted = wanted.sub_(torch.tensor(0.4) * 255).div_(torch.tensor(0.3) * 255)
        assert all(torch.equal(found, wanted) for found in torch.load(name + ".pt"))
    assert torch.equal(torch.load(tmp_path / "logits.pt"), network((pixels - 0.4) / 0.3))


@pytest.mark.parametrize("name", SPACES.names)
def test_networks_of_every_space_stand_alone(tmp_path, name):
    space = open_space(name).final(channels=4)
    network = write(tmp_path, space, space.sample(random.Random(3)))
    exporting.export(tmp_path, tmp_path / "out")
    pixels = torch.rand(2, 3, 32, 32)
    modeling = load_modeling(tmp_path / "out")
    copy, config = modeling.load(tmp_path / "out")
    wanted = network((pixels - 0.4) / 0.3)
    assert torch.equal(copy(modeling.normalise(pixels, config)), wanted)
    traced = torch.fx.symbolic_trace(copy)
    assert torch.equal(traced(modeling.normalise(pixels, config)), wanted)


def test_the_code_is_taken_from_the_source_of_genas():
    space = open_space("nasbench201")
    architecture = space.parse("333333")
    text = modeling_source(space.network(10, architecture), architecture, "x", "1")
    assert "class NasBench201Network(MixedNetwork)" in text
    assert "import genas" not in text
    assert "from genas" not in text
    for word in ("Fabric", "Trainer", "Dataset", "class DartsCell", "pydantic"):
        assert word not in text
    names = [
        line.split()[1].split("(")[0].rstrip(":") for line in text.splitlines() if line.startswith(("class ", "def "))
    ]
    assert len(set(names)) == len(names)
    options = constructor_options(space.network(10, architecture), space.describe(), 3)
    assert options == {"cells_per_stage": 5, "channels": 16, "cell_bn_affine": False, "image_channels": 3}


def test_an_exported_folder_loads_evaluates_and_exports_again(exported, trained_folder, tmp_path):
    assert exported.checked_on == "32 test images of digits"
    assert exported.files == ("model.safetensors", "config.json", "modeling.py", "README.md")
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(genas.load(exported.folder)(images), genas.load(trained_folder)(images))
    quick = {"with_latency": False, "with_flatness": False}
    both = [
        genas.evaluate(folder, data="digits", settings=quick, quiet=True, out=tmp_path / "e").models[0]["clean"]
        for folder in (exported.folder, trained_folder)
    ]
    assert both[0] == both[1]
    again = exporting.export(exported.folder, tmp_path / "again")
    assert (again.folder / "modeling.py").read_bytes() == (exported.folder / "modeling.py").read_bytes()


def test_the_card_shows_an_evaluation_of_these_weights_only(trained_folder, tmp_path):
    run = shutil.copytree(trained_folder, tmp_path / "run")
    (run / "result.json").write_text('{"epochs": 3, "test": {"loss": 0.5, "top1": 0.125}}')
    settings = {"limit": 60, "shifts": ["jpeg"], "with_latency": False, "with_flatness": False}
    exporting.export(run, tmp_path / "before", data="digits")
    content = genas.evaluate(run, data="digits", settings=settings, quiet=True)
    exporting.export(run, tmp_path / "after", data="digits")
    before, after = ((tmp_path / name / "README.md").read_text() for name in ("before", "after"))
    clean = content.models[0]["clean"]
    assert "12.50 %" in before
    assert "calibration error" not in before
    assert f"| top-1 accuracy | {100 * clean['top1']:.2f} % |" in after
    assert f"| calibration error | {100 * clean['ece']:.2f} % |" in after
    assert "not to be compared with ImageNet-C" in after
    tensors = load_model(run / "model.safetensors").network.state_dict()
    tensors["classifier.bias"] += 1
    save_checkpoint(run / "model.safetensors", tensors, {})
    exporting.export(run, tmp_path / "other", data="digits")
    assert "calibration error" not in (tmp_path / "other" / "README.md").read_text()


def test_the_card_has_a_header_that_hubs_read_and_licence_notes(exported):
    text = (exported.folder / "README.md").read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == "other"
    assert header["library_name"] == "genas"
    assert header["pipeline_tag"] == "image-classification"
    assert "Apache License 2.0" in text
    assert "CC BY 4.0" in text
    assert "333103" not in text  # the genotype in its published form
    config = json.loads((exported.folder / "config.json").read_text())
    assert config["genotype"] in text
    assert f"{config['params']:,}" in text
    assert yaml.safe_load(model_card(config, "apache-2.0").split("---")[1])["license"] == "apache-2.0"
    foreign = model_card({**config, "training": {"data": "folder:mine"}})
    assert "its terms are not known to genas" in foreign


def test_names_on_the_card_are_shown_and_not_obeyed(exported):
    config = json.loads((exported.folder / "config.json").read_text())
    wild = ["<script>x</script>", "a|b", "two\nlines", "\x1b[31m", "[link](http://x)", *config["class_names"][5:]]
    text = model_card({**config, "class_names": wild, "training": {"data": "folder:<b>| \n# y"}})
    for bad in ("<script>", "<b>", "\x1b", "\n# y", "[link]", "two\nlines"):
        assert bad not in text.split("---", 2)[2]
    row = next(line for line in text.splitlines() if line.startswith("| classes |"))
    assert r"\<script\>x\</script\>, a\|b, two\\nlines" in row
    yaml.safe_load(text.split("---")[1])


def test_the_example_of_the_card_runs(exported, monkeypatch):
    text = (exported.folder / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    image = Image.radial_gradient("L").resize((40, 23))
    image.save(exported.folder / "image.jpg", quality=95)
    image = Image.open(exported.folder / "image.jpg").copy()
    answer = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['genas'] = None\n{code}"],
        cwd=exported.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    (exported.folder / "image.jpg").unlink()
    network = genas.load(exported.folder)
    probabilities = network(network.preprocess(image)[None]).softmax(1)[0]
    shown = answer.stdout.splitlines()
    assert len(shown) == 5, answer.stderr
    assert shown[0].split(": ")[0] == network.class_names[probabilities.argmax()]
    shutil.rmtree(exported.folder / "__pycache__", ignore_errors=True)


def test_no_path_of_this_machine_is_published(trained_folder, tmp_path, shared_data):
    assert public_name("parquet:/somewhere/private/cifar10/") == "parquet:cifar10"
    assert public_name("digits") == "digits"
    run = shutil.copytree(trained_folder, tmp_path / "run")
    (run / "config.yaml").write_text("data: {name: 'folder:/somewhere/private/images'}\nseed: 3\n")
    exporting.export(run, tmp_path / "out", data="digits")
    for file in ("config.json", "README.md", "modeling.py"):
        assert "private" not in (tmp_path / "out" / file).read_text()
    assert "folder:images" in (tmp_path / "out" / "README.md").read_text()


@pytest.fixture(scope="module", params=["normalised", "pixels"])
def with_onnx(request, trained_folder, tmp_path_factory):
    """An export with ONNX, and what its file takes."""
    pytest.importorskip("onnx")
    out = tmp_path_factory.mktemp("onnx") / "out"
    return exporting.export(trained_folder, out, onnx=True, onnx_input=request.param, data="digits"), request.param


@pytest.fixture
def converted(with_onnx, monkeypatch):
    """Conversion takes seconds: the file of `with_onnx` stands in for it."""
    file = with_onnx[0].folder / "model.onnx"
    monkeypatch.setattr(onnx_module, "_convert", lambda module, example, to: shutil.copyfile(file, to))
    return with_onnx[1]


def test_onnx_takes_any_batch_and_agrees_with_torch(with_onnx, trained_folder, digits):
    import onnx
    import onnxruntime

    done, kind = with_onnx
    assert done.onnx_difference <= onnx_module.TOLERANCE
    assert "model.onnx" in done.files
    file = done.folder / "model.onnx"
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1:] == [1, 16, 16]
    images, _ = next(digits.test.batches(50, torch.device("cpu")))
    mean, std = digits.normalisation.mean[0], digits.normalisation.std[0]
    network = genas.load(trained_folder)
    for count in (1, 5, 50):
        given = images[:count] * std + mean if kind == "pixels" else images[:count]
        found = torch.from_numpy(session.run(["logits"], {"images": given.numpy()})[0])
        assert torch.allclose(found, network(images[:count]), atol=1e-4)
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert json.loads(metadata["class_names"]) == list("0123456789")
    assert json.loads(metadata["mean"]) == [mean]
    assert ("inside the graph" in metadata["input"]) == (kind == "pixels")
    recorded = json.loads((done.folder / "config.json").read_text())["preprocessing"]
    assert json.loads(metadata["preprocessing"]) == recorded
    assert "EXIF orientation" in metadata["preprocessing_steps"]
    image = Image.radial_gradient("L").resize((40, 23))
    both = [genas.predict(path, image, top=10).images[0].classes for path in (done.folder, file)]
    assert [name for name, _ in both[0]] == [name for name, _ in both[1]]
    for (_, first), (_, second) in zip(*both, strict=True):
        assert first == pytest.approx(second, abs=1e-4)


def test_an_onnx_file_that_differs_leaves_nothing(converted, trained_folder, tmp_path):
    run = shutil.copytree(trained_folder, tmp_path / "run")
    tensors = load_model(run / "model.safetensors").network.state_dict()
    tensors["classifier.bias"][3] += 2e-4  # the stand-in is the file of the network before that
    save_checkpoint(run / "model.safetensors", tensors, {})
    with pytest.raises(
        GenasError, match=r"differs from the network by 0\.0002.* in a logit, more than 0\.0001; nothing"
    ):
        exporting.export(run, tmp_path / "out", onnx=True, onnx_input=converted, data="digits")
    assert nothing_left(tmp_path)


def nothing_left(folder):
    return not [entry for entry in folder.iterdir() if entry.name != "run"]


def test_a_copy_that_differs_leaves_nothing(trained_folder, tmp_path, monkeypatch):
    original = exporting.modeling_source
    monkeypatch.setattr(
        exporting,
        "modeling_source",
        lambda *given: original(*given).replace("return (pixels - mean)", "return (pixels + mean)"),
    )
    with pytest.raises(GenasError, match="the exported network differs from the trained one by"):
        exporting.export(trained_folder, tmp_path / "out", data="digits")
    assert nothing_left(tmp_path)


def test_without_the_extra_there_is_one_sentence(trained_folder, tmp_path, monkeypatch):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed, whatever was imported before
    with pytest.raises(ConfigError, match=r"pip install 'genas\[export\]'"):
        exporting.export(trained_folder, tmp_path / "out", onnx=True, data="digits")
    assert nothing_left(tmp_path)


def test_faulty_exports_leave_nothing(trained_folder, tmp_path):
    with pytest.raises(ConfigError, match="an ONNX file is checked on real images"):
        exporting.export(trained_folder, tmp_path / "out", onnx=True)
    with pytest.raises(ConfigError, match="onnx_input is 'raw'; it must be normalised or pixels"):
        exporting.export(trained_folder, tmp_path / "out", onnx_input="raw")
    with pytest.raises(CheckpointError, match="There is no"):
        exporting.export(tmp_path / "nothing", tmp_path / "out")
    assert nothing_left(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "file").write_text("x")
    with pytest.raises(ConfigError, match="is not empty; give a new folder with --out"):
        exporting.export(trained_folder, tmp_path / "run")
    with pytest.raises(ConfigError, match="is a file"):
        exporting.export(trained_folder, tmp_path / "run" / "file")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]


def test_the_hub_model_saves_and_loads(exported, tmp_path):
    model = HubModel.from_pretrained(exported.folder)
    images = torch.rand(2, 1, 16, 16)
    wanted = genas.load(exported.folder)(images)
    assert torch.equal(model(images), wanted)
    assert torch.equal(model(model.normalise(images)), wanted_of(exported, images))
    model.save_pretrained(tmp_path / "saved")
    for name in exported.files:
        assert (tmp_path / "saved" / name).read_bytes() == (exported.folder / name).read_bytes(), name
    assert torch.equal(HubModel.from_pretrained(tmp_path / "saved")(images), wanted)


def wanted_of(exported, pixels):
    modeling = load_modeling(exported.folder)
    network, config = modeling.load(exported.folder)
    return network(modeling.normalise(pixels, config))


def test_the_hub_model_knows_its_preprocessing_and_class_names(exported):
    model, network = HubModel.from_pretrained(exported.folder), genas.load(exported.folder)
    image = Image.linear_gradient("L").resize((31, 50))
    assert torch.equal(model.preprocess(image), network.preprocess(image))
    assert model.class_names == network.class_names == tuple("0123456789")
    assert "transparent parts show white" in (exported.folder / "README.md").read_text()


def test_exports_without_a_recorded_preprocessing_load_with_one_note(exported, tmp_path):
    """As exports were written before the preprocessing was recorded."""
    folder = shutil.copytree(exported.folder, tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    assert config.pop("preprocessing")["resizing"] == "fit"
    (folder / "config.json").write_text(json.dumps(config))
    image = Image.linear_gradient("L")
    for load in (genas.load, HubModel.from_pretrained):
        with pytest.warns(UserWarning, match="assumed that the centre is cut and resized to 16 x 16") as notes:
            network = load(folder)
        assert len(notes) == 1
        assert torch.equal(network.preprocess(image), genas.load(exported.folder).preprocess(image))
    assert genas.predict(folder, image).note == str(notes[0].message)
    assert genas.predict(exported.folder, image).note is None
    again = exporting.export(folder, tmp_path / "unknown").folder
    assert json.loads((again / "config.json").read_text())["preprocessing"] is None
    assert "it is assumed that the centre is cut" in (again / "README.md").read_text()
    again = exporting.export(folder, tmp_path / "known", data="digits").folder
    assert json.loads((again / "config.json").read_text()) == {
        **json.loads((exported.folder / "config.json").read_text())
    }


def test_a_preprocessing_that_differs_leaves_nothing(trained_folder, tmp_path, monkeypatch):
    original = exporting.modeling_source
    monkeypatch.setattr(
        exporting, "modeling_source", lambda *given: original(*given).replace("to_rgb(upright(image))", "to_rgb(image)")
    )
    with pytest.raises(GenasError, match="the exported preprocessing differs from that of the evaluation"):
        exporting.export(trained_folder, tmp_path / "out", data="digits")
    assert nothing_left(tmp_path)


def test_figures_and_onnx_do_not_outlive_the_weights_that_they_are_of(exported, tmp_path):
    folder = shutil.copytree(exported.folder, tmp_path / "copy")
    (folder / "model.onnx").write_bytes(b"of the old weights")
    model = HubModel.of(folder)
    model.save_pretrained(tmp_path / "same")
    assert (tmp_path / "same" / "model.onnx").exists()
    with torch.no_grad():
        model.network.classifier.bias += 1
    model.save_pretrained(tmp_path / "changed")
    assert not (tmp_path / "changed" / "model.onnx").exists()
    config = json.loads((tmp_path / "changed" / "config.json").read_text())
    assert "training" not in config
    assert torch.equal(
        load_file(tmp_path / "changed" / "model.safetensors")["classifier.bias"], model.network.classifier.bias
    )


def test_push_to_hub_uploads_the_exported_files(exported, monkeypatch):
    from huggingface_hub import HfApi

    seen = {}

    class Address:
        repo_id = "somebody/network"

    def create(self, repo_id, **options):
        seen["created"] = (repo_id, options["private"])
        return Address()

    def upload(self, *, repo_id, folder_path, **options):
        seen["repository"] = repo_id
        seen["files"] = {path.name: path.read_bytes() for path in folder_path.iterdir()}
        return "https://hub.example/commit"

    monkeypatch.setattr(HfApi, "create_repo", create)
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    assert push_to_hub(exported.folder, "somebody/network", private=True) == "https://hub.example/commit"
    assert seen["created"] == ("somebody/network", True)
    assert seen["repository"] == "somebody/network"
    assert seen["files"] == {name: (exported.folder / name).read_bytes() for name in exported.files}


def test_what_is_no_export_is_not_pushed(tmp_path, trained_folder):
    with pytest.raises(CheckpointError, match="is no exported folder"):
        push_to_hub(trained_folder, "somebody/network")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no network that genas exported"):
        HubModel.of(tmp_path)
