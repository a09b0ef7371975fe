"""The page stands alone, shows what was found, and does without what is not there."""

import base64
import random
import re
import xml.etree.ElementTree as ElementTree

import pytest

from genas.analysis.verdicts.parts import Spread
from genas.reporting.cell_drawing import cell_graphs, draw_cell
from genas.reporting.data import Candidate, NoiseCurve, Progress, ReportData, TrainingCurve
from genas.reporting.page import charts, count, number, percent, render
from genas.spaces import open_space

GENOTYPE = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|skip_connect~2|"


def made(**changes):
    candidates = tuple(
        Candidate(
            rank,
            GENOTYPE,
            f"code{rank}",
            0.5 / rank,
            {"by_draw": [[1.0, 2.123456789], [3.0, 4.0]], "depth_term": 9.25},
            10**rank,
            77,
            1,
        )
        for rank in (1, 2, 3)
    )
    values = {
        "title": "A search & its <result>",
        "created": "2026-01-01T00:00",
        "command": "genas search",
        "summary": (("Seed", "0"),),
        "config": {"proxy": {"flatness": {"sigmas": [0.1, 0.2]}}},
        "environment": {"python": "3"},
        "history": tuple(Progress(index // 2, index, 0.1 * index) for index in range(6)),
        "scored": 6,
        "failed": (("|bad|", "the loss is nan"),),
        "failed_count": 1,
        "best": candidates,
        "cells": cell_graphs(GENOTYPE),
        "noise_curves": (NoiseCurve("best", GENOTYPE, (0.0, 0.1, 0.2), (1.0, 1.1, 1.5), (0.0, 0.1, 0.1)),),
        "supernet_curve": TrainingCurve("Supernet", (1, 2), {"loss": (2.0, 1.0), "accuracy": (0.1, 0.5)}),
        "retrain_curve": TrainingCurve("Retraining", (1, 2), {"loss": (2.0, 1.0), "accuracy": (0.1, 0.5)}),
        "test": {"loss": 0.5, "top1": 0.8125},
        "next_steps": (("Next", "genas score"),),
    }
    return ReportData(**values | changes)


def test_the_page_loads_nothing_from_elsewhere():
    page = render(made())
    assert not re.search(r"<(script|link|iframe)", page)
    for reference in re.findall(r"(?:src|href)\s*=\s*[\"']([^\"']*)", page):
        assert reference.startswith("data:image/svg+xml;base64,")
        svg = base64.b64decode(reference.partition(",")[2]).decode()
        ElementTree.fromstring(svg)  # well-formed
        assert not re.search(r"(?:href|src)\s*=\s*[\"'](?!#)", svg)
    assert "url(" not in page


def test_the_page_shows_scores_costs_failures_and_escapes_text():
    page = render(made())
    assert "A search &amp; its &lt;result&gt;" in page
    assert "81.25 %" in page
    assert "9.25" in page
    assert "1, 2.1235; 3, 4" in page
    assert "1 architecture failed" in page
    assert "the loss is nan" in page
    for rank in (1, 2, 3):
        assert f"code{rank}" in page


def test_a_run_without_results_has_a_page_too():
    nothing = dict.fromkeys(("history", "failed", "best", "cells", "noise_curves"), ())
    report = made(**nothing, scored=0, failed_count=0, supernet_curve=None, retrain_curve=None, test=None)
    assert charts(report) == {}
    assert "No architecture yet" in render(report)


def test_charts_are_the_ones_that_the_data_allow():
    everything = {"search-progress", "score-and-size", "loss-under-noise", "supernet-training", "retraining"}
    assert charts(made()).keys() == everything
    assert charts(made(noise_curves=())).keys() == everything - {"loss-under-noise"}
    assert charts(made(retrain_curve=None)).keys() == everything - {"retraining"}


def test_the_drawing_names_every_operation_and_keeps_the_edges():
    (graph,) = cell_graphs(GENOTYPE)
    assert [(a, b) for a, b, _ in graph.edges] == [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    texts = [
        element.text for element in ElementTree.fromstring(draw_cell(graph)).iter() if element.tag.endswith("text")
    ]
    assert texts[:6] == ["nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3", "nor_conv_1x1", "skip_connect"]


def test_no_two_names_of_a_drawing_share_a_place():
    (graph,) = cell_graphs(GENOTYPE)
    texts = [element for element in ElementTree.fromstring(draw_cell(graph)).iter() if element.tag.endswith("text")]
    places = [(element.get("x"), element.get("y")) for element in texts]
    assert len(set(places)) == len(places)


def test_both_cells_of_a_darts_architecture_are_drawn():
    space = open_space("darts", cells=3, channels=4)
    architecture = space.sample(random.Random(5))
    normal, reduce = cell_graphs(architecture.genotype)
    assert len(normal.edges) == len(reduce.edges) == 8
    operations = re.findall(r"\('(\w+)', \d\)", architecture.genotype)
    assert sorted(operation for graph in (normal, reduce) for _, _, operation in graph.edges) == sorted(operations)
    assert "concat" in draw_cell(normal)


def test_an_unknown_space_gets_no_drawing():
    assert cell_graphs("my-space:17") == ()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (number(0.000942957), "0.00094296"),
        (number(1234567), "1,234,567"),
        (number(float("nan")), "nan"),
        (number("text"), "text"),
        (count(22_725_248), "22.73 M"),
        (count(77), "77"),
        (percent(0.7545), "75.45 %"),
    ],
)
def test_figures_read_well(text, wanted):
    assert text == wanted


def test_a_sum_is_shown_as_a_table_of_its_parts_and_relative_noise_by_its_name():
    part = {"value": 0.5, "normalised": 0.25, "weight": 8, "contribution": 2, "share": 0.125, "cosine": 1}
    parts = {"angle": part, "loss": part | {"contribution": 14, "share": 0.875}}
    best = Candidate(1, GENOTYPE, "code", 16.0, parts, 5, 7, 1)
    proxy = {"expression": "relative-flatness", "relative_flatness": {"sigmas": [0.1], "scale": "filter"}}
    spread = (Spread("loss", 8.0, 9.9, 0.99), Spread("angle", 8.0, 0.1, 0.01))
    report = made(best=(best,), config={"proxy": proxy}, spreads=spread)
    html = render(report)
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert (
        "part value weight contribution share of the size share of the spread loss 0.5 8 14 87.50 % 99.00 % angle 0.5 8 2 12.50 % 1.00 %"
        in shown
    )
    assert "norm of the weight noise / norm of the filter" in charts(report)["loss-under-noise"]
    assert "norm of the weight noise" not in charts(made())["loss-under-noise"]


def test_escape_codes_and_html_of_names_reach_no_page():
    name = "<b>x</b>\x1b[31m\x00$\\frac$"
    report = made(title=name, summary=(("Data set", name),), command=name, next_steps=((name, name),))
    html = render(report)
    assert "<b>x" not in html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", html)
    assert "&lt;b&gt;x&lt;/b&gt;\\x1b[31m\\x00$\\frac$" in html


def test_a_dollar_sign_in_a_label_of_a_figure_is_no_formula():
    curve = NoiseCurve("$\\frac$", GENOTYPE, (0.0, 0.1), (1.0, 1.5), (0.0, 0.1))
    assert "$\\frac$" in charts(made(noise_curves=(curve,)))["loss-under-noise"]
