"""The curves of the loss under noise: what they may cost, and that a stopped walk goes on."""

import json
from dataclasses import replace

import pytest
import torch

from genas.core.errors import Interrupted
from genas.core.interrupt import StopRequest
from genas.core.run_paths import RunPaths
from genas.proxies import FlatnessSettings
from genas.proxies.flatness import Flatness
from genas.strategies import History, Record
from genas.workflows.config import build_config
from genas.workflows.noise_curves import images_for, write_noise_curves

ROWS = ("000000", "333333", "222222", "313131", "131313")


@pytest.fixture
def history(tmp_path, nas_scoring):
    with History(tmp_path / "history.sqlite") as found:
        for number, text in enumerate(ROWS):
            genotype = nas_scoring.space.parse(text).genotype
            found.add(Record(0, genotype, 0, "random", (), None, -float(number), {}, 1, 1, 0.0, None))
        yield found


def test_they_take_at_most_their_share_of_the_search(history):
    for share in (0.05, 0.5):
        images = images_for(share, history, 10_000, passes=3, needed=54)
        assert 54 * images <= share * 5 * 10_000 * 3 < 54 * (images + 1)
    assert images_for(1.0, history, 200, passes=1000, needed=54) == 200  # not more than there are
    assert images_for(1e-9, history, 200, passes=1, needed=54) == 16
    for part in ({"shared_with": "x"}, None):  # what cost nothing, and what a race stopped
        record = replace(next(iter(history)), genotype=str(part), parts=part or {}, images=None if part else 100)
        before = images_for(0.5, history, 10_000, 1, 10)
        history.add(record)
        assert images_for(0.5, history, 10_000, 1, 10) - before == (0 if part else 5)


def test_stopped_after_any_draw_they_end_as_if_never_stopped(tmp_path, nas_scoring, history, monkeypatch):
    config = build_config([{"space": {"name": "nasbench201"}, "report": {"noise_share": 1.0}}])
    (tmp_path / "whole").mkdir()
    write_noise_curves(tmp_path / "whole", history, nas_scoring, config, quiet=True)
    whole = json.loads(RunPaths(tmp_path / "whole").noise_curves.read_text())
    assert [curve["label"] for curve in whole] == ["best", "median", "worst"]
    for curve in whole:
        assert len(curve["losses"]) == len(curve["spread"]) == len(curve["sigmas"]) == 6
        assert len(curve["rows"]) == 3

    def stop(self):
        raise Interrupted("stop")

    (tmp_path / "parts").mkdir()
    for _ in range(9):
        with monkeypatch.context() as patch:
            patch.setattr(StopRequest, "check", stop)
            with pytest.raises(Interrupted):
                write_noise_curves(tmp_path / "parts", history, nas_scoring, config, quiet=True)
    assert json.loads(RunPaths(tmp_path / "parts").noise_curves.read_text()) == whole
    monkeypatch.setattr(Flatness, "losses_from", None)  # nothing is measured again
    write_noise_curves(tmp_path / "parts", history, nas_scoring, config, quiet=True)


def test_a_walk_of_draws_gives_the_rows_of_all(nas_scoring):
    measure = Flatness(nas_scoring, FlatnessSettings(draws=3, noise="direct"))
    architecture, sigmas = nas_scoring.space.parse("313131"), (0.0, 0.01)
    rows = measure.losses(architecture, sigmas)
    before = nas_scoring.prepared(architecture).state_dict()
    walk = measure.losses_from(architecture, sigmas, 1)
    assert next(walk) == rows[1]
    walk.close()
    after = nas_scoring.prepared(architecture).state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert list(measure.losses_from(architecture, sigmas, 2)) == rows[2:]
