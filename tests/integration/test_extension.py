"""A new space, data set and strategy: one class in one file, one line of a registry, settings of their own."""

import sys
from pathlib import Path

import pytest
import yaml
from commands import genas

from genas.data.named import DATASETS
from genas.spaces.definition import SPACES
from genas.strategies.named import STRATEGIES

TOYS = '''
import chain, genas

class ToySpace(chain.Chain):
    pass

class ToyData(chain.Half):
    pass

class Climb(genas.Strategy):
    """One change of the best at a time."""

    class Settings(genas.SearchSettings):
        tries: int = 20

    def ask(self, history, rng, generation):
        best, taken, found = history.best(1, before_generation=generation), set(), []
        fresh = self.fresh(history, taken, generation)
        for _ in range(self.settings.tries if best else 0):
            child = self.space.mutate(self.space.parse(best[0].genotype), rng)
            if fresh(child):
                taken.add(child.genotype)
                found.append(genas.Proposal(child, "mutation", (best[0].genotype,)))
        return found or list(self.random_new(rng, fresh, taken, self.settings.population))

class Other:
    Settings = None

class Loose(Climb):
    class Settings(genas.Dataset):
        pass
'''
FAST = ("--proxy", "macs", "--no-retrain", "--quiet", "--set", "search.generations=2", "--set", "search.population=2")


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """The module, and its name, unused by other tests, in the working directory."""
    monkeypatch.chdir(tmp_path)
    name = f"toys_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(TOYS)
    yield name
    sys.modules.pop(name, None)


def test_a_built_in_class_is_one_file_and_one_line(toys, monkeypatch, capsys):
    monkeypatch.syspath_prepend(Path.cwd())  # the modules of a table are not looked for in the working directory
    monkeypatch.setitem(SPACES.table, "toy-space", f"{toys}:ToySpace")
    monkeypatch.setitem(DATASETS.table, "toy-data", f"{toys}:ToyData")
    monkeypatch.setitem(STRATEGIES.table, "climb", f"{toys}:Climb")
    named = ["--space", "toy-space", "--data", "toy-data", "--search", "climb"]
    own = ["--set", "space.width=16", "--set", "data.step=3", "--set", "search.tries=2"]
    assert genas("search", *named, *own, *FAST, "--run", "r") == 0
    frozen = yaml.safe_load(Path("r/config.yaml").read_text())
    assert frozen["space"] == {"name": "toy-space", "width": 16}
    assert (frozen["data"]["name"], frozen["data"]["step"]) == ("toy-data", 3)
    assert (frozen["strategy"]["algorithm"], frozen["strategy"]["tries"]) == ("climb", 2)
    assert genas("search", "--run", "r", "--set", "search.generations=3", *FAST[2:4]) == 0
    assert genas("score", "r", "1-3-5") == 0
    for arguments, message in (
        ((*named, "--set", "data.stop=3"), "unknown key 'data.stop'"),
        ((*named, "--set", "space.wdth=3"), "does not take these options"),
        ((*named, "--set", "search.tires=3"), "unknown key 'strategy.tires'"),
        (("--space", "toy-spice"), "Did you mean 'toy-space'?"),
        (("--data", "toy-dat"), "Did you mean 'toy-data'?"),
        (("--search", "clim"), "Did you mean 'climb'?"),
    ):
        capsys.readouterr()
        assert genas("search", *arguments, *FAST, "--run", "no") == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert not Path("no").exists()


def test_a_custom_strategy_has_settings_of_its_own(toys, capsys):
    own = ["search", "--search", f"{toys}:Climb", "--space", f"{toys}:ToySpace", *FAST]
    assert genas(*own, "--run", "r") == 0
    assert yaml.safe_load(Path("r/config.yaml").read_text())["strategy"]["tries"] == 20  # its default, written out
    assert genas(*own, "--set", "search.tries=3", "--run", "r") == 2  # its scores were made with another value
    for arguments, message in (
        (("--set", "search.tires=3"), "unknown key 'tires' (did you mean 'tries'?)"),
        (("--set", "search.tries=many"), "tries is 'many'"),
        (("--search", f"{toys}:Other"), "is not a subclass of genas.Strategy"),
        (("--search", f"{toys}:Loose"), "expected a subclass of genas.SearchSettings"),
        (("--search", "random", "--set", "search.tries=3"), "unknown key 'strategy.tries'"),
    ):
        capsys.readouterr()
        assert genas(*own, *arguments, "--run", "no") == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert not Path("no").exists()
