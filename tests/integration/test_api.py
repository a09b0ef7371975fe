"""The functions of genas have one shape, give frozen results, and agree with the commands of the same names."""

import ast
import dataclasses
import inspect
import json
import typing
from pathlib import Path

import pytest
from commands import FAST, genas

import genas as package
from genas.cli.app import COMMANDS
from genas.core import errors
from genas.core.deprecation import formerly
from genas.core.result import Result

VERBS = [
    "search",
    "supernet",
    "score",
    "retrain",
    "evaluate",
    "predict",
    "export",
    "rank",
    "landscape",
    "sweep",
    "status",
    "report",
]
SHAPE = {"settings": None, "device": None, "seed": None, "quiet": False}
INPUTS = {"score": 2, "predict": 2, "export": 2, "rank": 2}
"""Arguments by position: one but for these."""
SMALL = {"points": 3, "contour": 0, "directions": 1, "noise": "none"}
GENOTYPES = ["|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|", "333333"]


def nested(settings):
    found = {}
    for key, value in settings.items():
        section, *rest = key.split(".")
        inner = found.setdefault(section, {})
        for part in rest[:-1]:
            inner = inner.setdefault(part, {})
        inner[rest[-1]] = value
    return found


@pytest.mark.parametrize("name", VERBS)
def test_verbs_have_one_shape(name):
    signature = inspect.signature(getattr(package, name))
    kinds = [one.kind for one in signature.parameters.values()]
    count = INPUTS.get(name, 1)
    assert kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * count + [inspect.Parameter.KEYWORD_ONLY] * (
        len(kinds) - count
    )
    for key, default in SHAPE.items():
        if key in signature.parameters and (name, key) != ("predict", "quiet"):
            assert signature.parameters[key].default == default, key
    last = [key for key in signature.parameters if key in SHAPE]
    assert list(signature.parameters)[-len(last) or len(kinds) :] == last == [key for key in SHAPE if key in last]
    for result in typing.get_args(returned := typing.get_type_hints(getattr(package, name))["return"]) or (returned,):
        assert issubclass(result, Result)
        assert result.__dataclass_params__.frozen
        arguments = inspect.getdoc(result).partition("Args:")[2]
        assert all(f"{field}:" in arguments for field in result.__annotations__), "every field is documented"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.__name__)
def test_a_function_takes_device_and_quiet_where_its_command_does(command):
    if command.__name__ in VERBS:
        theirs = inspect.signature(getattr(package, command.__name__)).parameters
        assert "device" not in inspect.signature(command).parameters or "device" in theirs
        assert "quiet" not in inspect.signature(command).parameters or "quiet" in theirs
    else:
        assert command.__name__ == "zoo"  # genas.zoo is a module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api") / "run"
    space = package.open_space("nasbench201", channels=4, cells_per_stage=1)
    settings = nested({**FAST, "search.noise_of_best": False, "report.noise_curves": False})
    result = package.search("digits", space=space, run=folder, settings=settings, device="cpu", seed=3, quiet=True)
    return result.run


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    space, rows = package.open_space("nasbench201"), ["genotype,test"]
    rng = __import__("random").Random(0)
    while len(rows) < 11:
        text = space.sample(rng).genotype
        if not any(row.startswith(text) for row in rows):
            rows.append(f"{text},{10 * len(rows)}")
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text("\n".join(rows))
    return path


def cases(run, table, tmp_path):
    """For each verb: its result, and the command line of the same."""
    space = package.open_space("nasbench201")
    architectures = [GENOTYPES[0], space.parse(GENOTYPES[1])]
    image = tmp_path / "image.png"
    __import__("PIL.Image").Image.new("L", (8, 8), 90).save(image)
    little = {"with_latency": False, "with_flatness": False}
    flags = [one for key, value in SMALL.items() for one in (f"--{key}", value)]
    return {
        "search": (lambda: package.search(run=run, quiet=True), ["--run", run]),
        "supernet": (lambda: package.supernet(run=run, quiet=True), ["--run", run]),
        "score": (lambda: package.score(run, architectures, proxy="macs", quiet=True), [run, *GENOTYPES, "--proxy", "macs"]),
        "retrain": (
            lambda: package.retrain(run, run=tmp_path / "retrained", seed=1, quiet=True),
            [run, "--run", tmp_path / "retrained", "--seeds", 1],
        ),
        "evaluate": (
            lambda: package.evaluate(run, settings=little, out=tmp_path / "e"),
            [run, "--no-latency", "--no-flatness", "--out", tmp_path / "e"],
        ),
        "predict": (lambda: package.predict(run, image), [run, image]),
        "export": (lambda: package.export(run, tmp_path / "python"), [run, "--out", tmp_path / "command"]),
        "rank": (
            lambda: package.rank(run, table, proxies="loss", settings={"architectures": None}, seed=5, quiet=True),
            [run, "--table", table, "--proxies", "loss", "--architectures", "all", "--seed", 5],
        ),
        "landscape": (
            lambda: package.landscape(run, subjects=[architectures[1]], settings=SMALL, quiet=True),
            [run, GENOTYPES[1], *flags],
        ),
        "sweep": (
            lambda: package.sweep(run, proxy="loss + w*macs", weights=[0.5], quiet=True),
            [run, "--proxy", "loss + w*macs", "--weights", 0.5],
        ),
        "status": (lambda: package.status(run), [run]),
        "report": (lambda: package.report(run, out=tmp_path), [run, "--out", tmp_path]),
    }  # fmt: skip


@pytest.mark.parametrize("name", VERBS)
def test_a_function_returns_what_its_command_prints(name, run, table, tmp_path, capsys):
    verb, arguments = cases(run, table, tmp_path)[name]
    result = verb()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(result, dataclasses.fields(result)[0].name, None)
    content = json.loads(json.dumps(result.to_dict()))
    capsys.readouterr()
    assert genas(name, *arguments, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    if name == "score":
        content = content["architectures"]  # the command prints the list
    for one in (content, printed) if isinstance(content, dict) else ():
        one.pop("command", None)  # of a study: what made it
        if name == "export":
            one.pop("folder")
        if name == "rank":
            [proxy.pop("seconds") for proxy in one["proxies"].values()]
    assert content == printed


def test_a_run_is_opened_with_what_it_holds(run, tmp_path):
    opened = package.open_run(run)
    assert (opened.kind, opened.config["seed"]) == ("search", 3)
    records = opened.records()
    assert max(records, key=lambda one: one.score).genotype == opened.best.genotype
    assert package.score(run, opened.best).architectures[0].score == pytest.approx(max(one.score for one in records))
    assert opened.scoring().space.describe() == opened.space.describe()
    assert not opened.network().training
    json.dumps(opened.to_dict())
    with pytest.raises(package.RunError, match="is not a run folder"):
        package.open_run(tmp_path)


def test_all_that_an_extension_needs_is_exported():
    theirs = {one.__name__ for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)}
    assert theirs <= {*package.__all__}
    assert {"Dataset", "Space", "Network", "Proxy", "Strategy", "Settings", "SearchSettings", "Scoring"} <= {
        *package.__all__
    }
    assert package.testing.check_space
    assert package.zoo.names()
    assert {"testing", "zoo", *VERBS, "open_run"} <= {*dir(package)}


def test_type_checkers_see_the_names_that_there_are():
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {(alias.asname, node.module) for node in block.body for alias in node.names}
    assert seen == {(name, f"genas.{home}") for name, home in package._HOMES.items()} | {
        ("testing", "genas"),
        ("zoo", "genas.spaces"),
    }


@pytest.mark.parametrize("old", package._OLD)
def test_old_names_work_with_a_warning(old):
    with pytest.warns(DeprecationWarning, match=rf"genas\.{old} is deprecated .*: use genas\.{package._OLD[old][1]}\."):
        found = getattr(package, old)
    assert callable(found)
    assert old not in package.__all__


def test_warnings_point_at_the_line_that_asks_for_an_old_name():
    with pytest.warns(DeprecationWarning, match="use genas.sweep") as told:
        _ = package.sweep_weights
    assert {one.filename for one in told} == {__file__}  # Python shows them to programs by default only there


def test_old_shapes_of_a_call_work_with_a_warning():
    @formerly("first", "second", "third", older="second")
    def verb(first, *, second=None, third=None):
        return first, second, third

    with pytest.warns(DeprecationWarning, match=r"the argument second by position is deprecated .*: use second="):
        assert verb(1, 2, 3) == (1, 2, 3)
    with pytest.warns(DeprecationWarning, match=r"verb\(older=\.\.\.\) is deprecated .*: use verb\(second=\.\.\.\)"):
        assert verb(1, older=2) == (1, 2, None)
    with pytest.raises(TypeError):
        verb(1, 2, 3, 4)
    with pytest.raises(TypeError):
        verb(1, other=2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("given", "named"), [((1, 2), {"second": 3}), ((1,), {"second": 3, "older": 2}), ((1, 2), {"older": 3})]
)
def test_an_argument_given_in_an_old_shape_and_again_is_refused(given, named):
    @formerly("first", "second", older="second")
    def verb(first, *, second=None):
        return first, second

    with pytest.raises(TypeError, match="got multiple values for argument 'second'"):
        verb(*given, **named)


def test_results_read_as_mappings_with_a_warning(run):
    state = package.status(run)
    with pytest.warns(DeprecationWarning, match="a field of the result, or to_dict"):
        assert state["phase"] == state.phase
    with pytest.warns(DeprecationWarning, match=r"use to_dict\(\)"):
        assert state.as_dict() == state.to_dict()
