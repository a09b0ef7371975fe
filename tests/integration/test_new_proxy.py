"""A proxy with settings of its own: one file and one line of the table, or no line at all, in a whole search."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from commands import FAST, genas, refused

from genas.proxies.named import PROXIES

TOY = '''
import genas


class Toy(genas.Proxy):
    """Counts letters of the genotype."""

    name = "my-toy"

    class Settings(genas.Settings):
        factor: float = 1.0
        """What each letter counts."""
        letter: str = "3"
        """Which one."""

    def score(self, architecture):
        return self.settings.factor * architecture.genotype.count(self.settings.letter)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The module's name; it lies in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    name = f"toy_{abs(hash(str(tmp_path)))}"
    Path(f"{name}.py").write_text(TOY)
    yield name
    sys.modules.pop(name, None)


def search(expression, *more):
    settings = [part for key, value in FAST.items() for part in ("--set", f"{key}={value}")]
    own = ["--space", "nasbench201", "--proxy", expression, "--set", "search.generations=1", "--no-retrain", "--quiet"]
    return ["search", *settings, *own, *more, "--run", "r"]


@pytest.mark.parametrize("way", ["line", "custom"])
def test_a_search_by_a_new_proxy_with_settings(way, toy, monkeypatch, capsys):
    custom = f"{toy}:Toy"
    if way == "line":
        monkeypatch.syspath_prepend(Path.cwd())
        monkeypatch.setitem(PROXIES.table, "my-toy", custom)
    name = "my-toy" if way == "line" else custom
    given = ["--set", "proxy.my_toy.factor=3"]
    assert "did you mean 'factor'" in refused(capsys, *search(name, "--set", "proxy.my_toy.fcator=3"))
    assert not Path("r").exists()
    assert genas(*search(name, *given)) == 0
    best = json.loads(Path("r/best.json").read_text())
    assert best["score"] == 3 * best["genotype"].count("3")
    assert yaml.safe_load(Path("r/config.yaml").read_text())["proxy"]["my_toy"] == {"factor": 3.0, "letter": "3"}
    assert genas("search", "--run", "r", "--no-retrain", "--quiet") == 0  # made again from what is recorded
    said = refused(capsys, "search", "--run", "r", "--set", "proxy.my_toy.factor=4", "--quiet")
    assert "proxy.my_toy.factor" in said
    assert "cannot change" in said
    assert genas("score", "r", best["genotype"], "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["score"] == best["score"]
    assert genas("score", "r", best["genotype"], "--proxy", f"macs - 2*{name}", *given, "--json") == 0
    scored = json.loads(capsys.readouterr().out)[0]
    assert scored["my-toy"]["value"] == best["score"]
    assert scored["my-toy"]["weight"] == -2
    assert genas("score", "r", best["genotype"], "--proxy", "macs", "--json") == 0  # what is recorded of it falls away
    assert json.loads(capsys.readouterr().out)[0]["score"] == best["macs"]
    sweep = ["sweep", "r", "--proxy", f"macs + w*{name}", "--weights", "1", *given, "--quiet"]
    for _ in range(2):  # the second takes the scores of the first over
        assert genas(*sweep) == 0
    assert "proxy.my_toy.factor" in refused(capsys, *sweep, "--set", "proxy.my_toy.factor=5")
