"""A user's own space, data set, proxy and strategy: recorded in full, made again, or refused before anything is written."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import chain
import pytest
import yaml
from commands import genas
from safetensors.torch import load_file

import genas as package
from genas.core.errors import GenasError

FAST = {
    "supernet.epochs": 1,
    "search.generations": 1,
    "retrain.epochs": 1,
    "proxy.evaluation.images": 64,
    "proxy.batchnorm.images": 64,
}
OWN = ["--space", "{m}:Chain", "--data", "{m}:Half", "--proxy", "{m}:Small", "--search", "{m}:Walk"]
OPTIONS = {"space.width": 16, "data.step": 3, "proxy.options.factor": 2, "search.options.count": 3}


def fast(**changes):
    return [part for key, value in {**FAST, **changes}.items() for part in ("--set", f"{key}={value}")]


def options():
    return [part for key, value in OPTIONS.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Copies the module into an empty working directory under a name that no other test has imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    name = f"chain_{abs(hash(str(tmp_path)))}"
    shutil.copy(chain.__file__, tmp_path / f"{name}.py")
    yield name
    sys.modules.pop(name, None)


def width(run):
    return load_file(Path(run) / "model.safetensors")["stem.weight"].shape[0]


def test_what_was_given_is_what_every_later_command_meets(beside, tmp_path, capsys):
    """The reported case, begun by the installed script, which does not have the working directory on its path."""
    script = Path(sys.executable).parent / "genas"
    own = [part.format(m=beside) for part in OWN]
    done = subprocess.run(
        [script, "search", *own, *options(), *fast(), "--run", "r", "--json", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)
    assert best["score"] == -2 * sum(map(int, best["genotype"].split("-")))  # factor
    frozen = yaml.safe_load(Path("r/config.yaml").read_text())
    assert frozen["space"] == {"name": f"{beside}:Chain", "width": 16}
    assert frozen["data"]["step"] == 3
    assert json.loads(Path("r/data.json").read_text())["weights"] == 240  # a third of 719
    assert width("r/retrain") == 16
    assert genas("search", "--run", "r", "--quiet") == 0  # continues, with nothing but its own record
    assert genas("retrain", "r", "--run", "again", "--epochs", 1, "--quiet") == 0
    assert width("again") == 16
    assert genas("retrain", "r", "--run", "other", "--epochs", 1, "--set", "space.width=4", "--quiet") == 0
    assert width("other") == 4
    genotype = "1-3-5"
    for text in ("1-x-5", "1-3", ""):  # the space's own parse raises ValueError and AssertionError
        assert genas("score", "r", text) == 2
        assert f"is no genotype of the space '{beside}:Chain'" in " ".join(capsys.readouterr().err.split())
    assert genas("score", "r", genotype, "--json") == 0
    assert genas("score", "r", genotype, "--proxy", "loss") == 0  # the run's proxy.options are not its
    small = ["--points", 3, "--images", 32, "--directions", 1, "--noise", "none"]
    assert genas("landscape", "r", genotype, *small, "--quiet") == 0
    assert genas("export", "r", "--out", "exported") == 0
    assert width("exported") == 16
    assert package.load("exported").stem.weight.shape[0] == 16
    capsys.readouterr()


@pytest.mark.parametrize("way", ["instance", "class", "name"])
def test_from_python(way, tmp_path):
    things = {
        "instance": (chain.Half(3), chain.Chain(16), chain.Small(None, 2), chain.Walk(None, None, count=3)),
        "class": (chain.Half, chain.Chain, chain.Small, chain.Walk),
        "name": ("chain:Half", "chain:Chain", "chain:Small", "chain:Walk"),
    }[way]
    settings = {} if way == "instance" else OPTIONS
    data, space, proxy, strategy = things
    given = {"space": space, "proxy": proxy, "strategy": strategy}
    result = package.search(data, **given, run=tmp_path / "r", settings={**FAST, **settings}, quiet=True)
    frozen = yaml.safe_load((tmp_path / "r/config.yaml").read_text())
    assert frozen["space"] == {"name": "chain:Chain", "width": 16}
    assert frozen["data"]["step"] == 3
    assert (frozen["proxy"]["expression"], frozen["proxy"]["options"]) == ("chain:Small", {"factor": 2})
    assert (frozen["strategy"]["algorithm"], frozen["strategy"]["options"]) == ("chain:Walk", {"count": 3})
    assert width(tmp_path / "r/retrain") == 16
    again = package.retrain(
        result.genotype,
        data=things[0],
        space=chain.Chain(width=4),
        recipe=str(_recipe(tmp_path)),
        run=tmp_path / "again",
        quiet=True,
    )
    assert width(again.run) == 4


def test_other_functions_take_objects_and_classes_too(tmp_path):
    run = tmp_path / "r"
    classes = {"space": chain.Chain(16), "proxy": chain.Small, "strategy": chain.Walk}
    package.search(chain.Half(3), **classes, run=run, settings=FAST, quiet=True)
    rows = [f"{a}-{b}-{c},{a * b + c}" for a in (1, 3, 5) for b in (1, 3, 5) for c in (1, 3, 5)]
    (tmp_path / "table.csv").write_text("\n".join(["genotype,accuracy", *rows]))
    assert package.score(run, "1-3-5", proxy=chain.Small, data=chain.Half(3), quiet=True).architectures[0].score < 0
    with pytest.raises(package.ConfigError, match=r"data has step=2: expected the data set of .* options \(step=3\)"):
        package.score(run, "1-3-5", proxy="loss", data=chain.Half(2), quiet=True)
    proxies = [chain.Small, "params", Twice(None, factor=2)]
    found = package.rank(run, tmp_path / "table.csv", proxies=proxies, settings={"architectures": 10}, quiet=True)
    assert {"chain:Small", "params", f"{__name__}:Twice"} <= found.proxies.keys()
    assert found.proxies[f"{__name__}:Twice"]["settings"]["options"] == {"factor": 2}
    little = {"with_latency": False, "with_flatness": False, "shifts": []}
    for data, count in ((Few(5), 5), (Few, 20)):
        measured = package.evaluate(run, data=data, settings=little, out=tmp_path, quiet=True).models[0]["data"]
        assert (measured["name"], measured["pictures"]) == (f"{__name__}:Few", count)


class Twice(chain.Small):
    """Another name for the same."""


class Few(package.Dataset):
    """Digits with `count` test images."""

    def __init__(self, count=20):
        self.count = count

    def splits(self, seed):
        splits = package.open_dataset("digits").splits(seed)
        return replace(splits, test=splits.test.subset(range(self.count)))


def _recipe(folder):
    (folder / "short.yaml").write_text("epochs: 1\nbatch_size: 32\n")
    return folder / "short.yaml"


class Changed(chain.Chain):
    """Depends on something that its constructor was not given."""

    count = 0

    def __init__(self):
        Changed.count += 1
        super().__init__(width=8 + 2 * Changed.count)


class Dropping(chain.Chain):
    """Says less of itself than there is to say."""

    def describe(self):
        return {"name": f"{__name__}:Dropping"}


class Objects(chain.Chain):
    def __init__(self, width=None):
        super().__init__(4)
        self.given = width


def _moved():
    space = chain.Chain(8)
    space.width = 16
    return space


def local():
    class Local(chain.Chain):
        pass

    return Local


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space": local()}, "defined inside a function"),
        ({"space": local()()}, "defined inside a function"),
        ({"space": _moved()}, "its width is 8, not 16"),
        ({"space": Changed}, "cannot be recorded"),
        ({"space": Objects(width=object())}, "which a run folder cannot record"),
        ({"space": f"{__name__}:Dropping", "settings": {"space": {"width": 16}}}, "cannot be recorded"),
        ({"space": chain.Half}, "expected a name, a subclass of genas.Space or an object of one"),
        ({"data": 3}, "expected a name, a subclass of genas.Dataset or an object of one"),
        ({"data": "chain:Half", "settings": {"data": {"stop": 3}}}, "does not take these options"),
        ({"data": "chain:Half", "settings": {"data": {"image_size": 32}}}, "does not take these options"),
        ({"proxy": chain.Small(None, object())}, "option 'factor' is of type object, which a run folder cannot record"),
        ({"proxy": lambda architecture: 1}, "expected a name, a subclass of genas.Proxy"),
        ({"algorithm": chain.Chain}, "expected a name, a subclass of genas.Strategy"),
    ],
)
def test_what_cannot_be_recorded_is_refused_at_once(given, message, tmp_path):
    with pytest.raises(GenasError) as caught:
        package.search(**{"run": tmp_path / "r", "quiet": True, **given})
    assert message in str(caught.value)
    assert not (tmp_path / "r").exists()


BAD = '''
import chain, genas, torch
from chain import Chain, Half, Small

class Raises(genas.Proxy):
    def score(self, architecture):
        return self.scoring.no_such_thing

class Nothing(genas.Proxy):
    def score(self, architecture):
        return float("nan")

class Demanding(genas.Proxy):
    """Needs more than two images, and moves every global random state."""
    def score(self, architecture):
        import random, numpy
        random.random(), numpy.random.rand(), torch.rand(1)
        images, labels = next(self.scoring.validation_batches())
        assert len(images) > 8
        return 1.0

class Untrainable(Chain):
    def network(self, num_classes, architecture=None, image_channels=3):
        return super().network(num_classes + (architecture is None), architecture, image_channels)

class NotFinal(Chain):
    def final(self, cells=None, channels=None, **options):
        return NotFinal(width=-1)

class SameFinal(Chain):
    def final(self, cells=None, channels=None, **options):
        return self

class MovedFinal(Chain):
    def final(self, cells=None, channels=None, **options):
        made = MovedFinal(4)
        made.width = 6
        return made

class Unequal(Chain):
    def parse(self, text):
        return super().parse("1-1-1")

class Unreadable(Half):
    def splits(self, seed):
        return {}[seed]

class Dictionary(Half):
    def splits(self, seed):
        return {}

class Asks(chain.Walk):
    def ask(self, history, rng, generation):
        return [self.space.sample(rng)]
'''


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--proxy", "no.such:Name"], "there is no module 'no'"),
        (["--proxy", "json:JSONDecoder"], "is not a subclass of genas.Proxy"),
        (["--proxy", "1e999*flatness"], "is too large"),
        (["--proxy", "angle", "--space", "chain:Chain"], "the proxy 'angle' cannot score architectures of the space"),
        (["--proxy", "consensus", "--set", "proxy.consensus.members=[macs, 'no.such:Name']"], "no module 'no'"),
        (["--proxy", "consensus", "--space", "chain:Chain"], "the proxy 'angle' cannot score"),
        (["--proxy", "loss + 2*bad:Raises"], "the proxy 'bad:Raises' cannot score architectures"),
        (["--proxy", "bad:Nothing"], "the score is nan"),
        (["--proxy", "chain:Small", "--set", "proxy.options.factr=2"], "does not take these options"),
        (["--proxy", "loss", "--set", "proxy.options.factor=2"], "proxy.options are for custom classes"),
        (["--data", "bad:Unreadable"], "The data set 'bad:Unreadable' cannot be loaded: KeyError: 0"),
        (["--data", "bad:Dictionary"], "its splits gave a dict; expected genas.Splits"),
        (["--search", "bad:Asks"], "something else than a list of genas.Proposal"),
        (["--search", "chain:Walk", "--set", "search.options.cuont=2"], "does not take these options"),
        (["--search", "random", "--set", "search.options.count=2"], "strategy.options are for custom classes"),
        (["--space", "bad:Untrainable"], "gives logits of shape [2, 11]; expected [2, 10]"),
        (["--space", "bad:NotFinal"], "cannot be retrained with this recipe"),
        (["--space", "bad:SameFinal", "--set", "retrain.channels=12"], "are the same whatever it is"),
        (["--space", "bad:SameFinal", "--set", "proxy.zero_cost.cells=12"], "are the same whatever it is"),
        (["--space", "bad:MovedFinal"], "its width is 4, not 6"),
        (["--space", "bad:Unequal"], "not equal to the one it came from"),
        (["--space", "chain:Chain", "--set", "retrain.channels=12"], "has no channels for final networks"),
        (["--space", "chain:Chain", "--set", "space.width=-3"], "cannot be used"),
        (["--space", "chain:Chain", "--set", "proxy.zero_cost.cells=5"], "has no cells for final networks"),
        (["--set", "supernet.batch_size=5000"], "fewer than one batch of 5000"),
        (["--set", "retrain.batch_size=5000"], "fewer than one batch of 5000"),
        (["--set", "data.step=3"], "unknown key 'data.step'"),
    ],
)
def test_what_does_not_fit_is_found_before_anything_is_written(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(BAD)
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    assert genas("search", *arguments, "--run", "r", "--quiet") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert message in said
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["bad.py"]


def test_a_proxy_that_needs_more_images_passes_and_moves_no_number(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(BAD)
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    for proxy in ("macs", "bad:Demanding"):
        run = ["supernet", "--space", "chain:Chain", "--proxy", proxy, "--run", f"r-{proxy[:3]}", *fast(), "--quiet"]
        assert genas(*run) == 0
    first, second = (load_file(tmp_path / f"r-{name}/supernet/checkpoint.safetensors") for name in ("mac", "bad"))
    assert all(first[key].equal(second[key]) for key in first)
    capsys.readouterr()


def test_scores_of_code_that_has_changed_are_never_taken_over(beside, tmp_path, monkeypatch, capsys):
    own = ["--space", f"{beside}:Chain", "--proxy", f"{beside}:Small", "--search", f"{beside}:Walk", *fast()]
    own += ["--no-retrain", "--quiet"]
    assert genas("search", *own, "--run", "r") == 0
    module = tmp_path / f"{beside}.py"
    text = module.read_text()

    def edited(old, new):
        assert old in text
        module.write_text(text.replace(old, new))
        sys.modules.pop(beside, None)
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)

    before = (tmp_path / "r/best.json").read_bytes()
    (tmp_path / "bad.py").write_text(BAD)
    rows = [f"{a}-{b}-{c},{a * b + c}" for a in (1, 3, 5) for b in (1, 3, 5) for c in (1, 3, 5)]
    (tmp_path / "table.csv").write_text("\n".join(["genotype,accuracy", *rows]))
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    for command in (
        ["rank", "r", "--table", "table.csv", "--proxies", "bad:Raises", "--architectures", "all"],
        ["sweep", "r", "--proxy", "loss + w*bad:Raises", "--weights", "1"],
    ):
        assert genas(*command, "--quiet") == 2
        assert "the proxy 'bad:Raises' cannot score" in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "r" / command[0]).exists()
    assert genas("score", "r", "1-3-5", "--proxy", "bad:Raises") == 2
    assert "'bad:Raises' cannot score 1-3-5: AttributeError" in " ".join(capsys.readouterr().err.split())
    rank = ["rank", "r", "--table", "table.csv", "--proxies", f"{beside}:Small", "--architectures", "10", "--quiet"]
    assert genas(*rank) == 0
    edited('"""Prefers small kernels."""', '"""Prefers kernels that are small."""')
    assert genas("search", *own, "--run", "r") == 0
    sweep = ["sweep", "r", "--proxy", f"loss + w*{beside}:Small", "--weights", "1", "--quiet"]
    assert genas(*sweep) == 0
    edited("return -self.factor * sum", "return self.factor * sum")
    for command in (["search", *own, "--run", "r"], ["search", "--run", "r", "--quiet"], sweep, rank):
        capsys.readouterr()
        assert genas(*command) == 2
        assert f"the code of the proxy {beside}:Small has changed" in " ".join(capsys.readouterr().err.split())
    assert genas("score", "r", "1-3-5", "--json") == 0  # the supernet is the same; nothing stored is used
    assert json.loads(capsys.readouterr().out)[0]["score"] == 9
    edited("taken, self.count)", "taken, self.count + 1)")
    assert genas("search", *own, "--run", "r") == 2
    assert f"the code of the search {beside}:Walk has changed" in " ".join(capsys.readouterr().err.split())
    retrain = ["retrain", "r", "--run", "again", "--quiet"]  # it would train another network than the one that won
    edited("maps = layer[f", "maps = 2 * layer[f")  # of the space's network
    for command in (["search", "--run", "r", "--quiet"], ["score", "r", "1-3-5"], ["supernet", "--run", "r"], retrain):
        assert genas(*command) == 2
        assert f"the code of the space {beside}:Chain has changed" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "r/best.json").read_bytes() == before
    assert not (tmp_path / "again").exists()
