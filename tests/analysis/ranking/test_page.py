"""The page of a ranking study: its verdict, its tables, its figures and their names."""

from genas.analysis.ranking.figures import Bar, bars
from genas.analysis.ranking.page import (
    LONGEST,
    agreement_table,
    partial_table,
    proxy_table,
    slug,
    verdicts,
    without_dashes,
)
from genas.reporting.data import EvaluationTable


def test_names_of_files_are_short_and_different():
    names = ["test", "angle + 2*flatness", "angle - 2*flatness", "Test", "a-b", "a b", "x" * 300, "x" * 301]
    found = [slug(name) for name in names]
    assert len(set(found)) == len(names)
    assert found[0] == "test"
    assert all(len(name) <= LONGEST + 9 and "--" not in name and name == name.lower() for name in found)


def figure(value, half=0.05):
    return {
        "value": value,
        "low": None if value is None else value - half,
        "high": None if value is None else value + half,
    }


def study(n=300, gains=None, best_share=None):
    """Content of a study of three proxies; `gains` are their differences of tau to the MACs'."""
    gains = {"flatness": 0.1, "loss": -0.1} if gains is None else gains
    proxies = {}
    for name in ("macs", "loss", "flatness"):
        gain = gains.get(name, 0.0)
        minus = {} if name == "macs" else {"macs": figure(gain)}
        if name != "loss":
            minus["loss"] = figure(gain - gains["loss"])
        column = {
            "tau": figure(0.5 + gain),
            "rho": figure(0.7),
            "tau_best_count": figure(0.2),
            "tau_best_share": figure(0.9),
            "best_share_count": n // 10 if best_share is None else best_share,
            "regret": {"10": figure(1.0), "all": figure(0.5)},
            "partial": {"macs": None, "loss": None, "loss + macs": figure(gain) if name == "flatness" else None},
            "minus": minus,
        }
        proxies[name] = {"columns": {"test": column}, "retest": None, "seconds": 0.1, "failed": 0}
    analysis = {"level": 0.95, "best_count": 50, "best_share": 0.1, "replicates": 100}
    return {"n": n, "columns": {"names": ["test"]}, "proxies": proxies, "settings": {"analysis": analysis}}


def test_the_verdict_says_what_exceeds_its_error_and_what_does_not():
    said = " ".join(verdicts(study(), "test"))
    assert said.startswith("flatness ranks test best: tau .600 (.55 … .65) over 300 architectures.")
    assert (
        "Better than counting MACs, which costs nothing (tau .500) by more than the error: flatness (+.100, .05 … .15)."
        in said
    )
    assert "these say something more: flatness." in said
    assert "are few" not in said
    said = " ".join(verdicts(study(n=60, gains={"flatness": 0.04, "loss": -0.01}), "test"))
    assert "No proxy is shown to rank better than counting MACs" in said
    assert "No proxy is shown to rank better than the supernet's validation loss" in said
    assert "no proxy is shown to say anything more" in said
    assert "60 architectures are few" in said


def test_a_tau_among_five_architectures_is_not_shown():
    heads = agreement_table(study(), "test").heads
    assert "tau best 10 %" in heads
    assert "tau best 50" in heads
    heads = agreement_table(study(n=50), "test").heads  # five are the best tenth, and fifty are all
    assert "tau best 10 %" not in heads
    assert "tau best 50" not in heads


def test_columns_of_dashes_are_left_out():
    assert proxy_table(study()).heads == ("Proxy", "s per arch.")
    assert "given MACs" not in partial_table(study(), "test").heads
    assert "given both" in partial_table(study(), "test").heads
    made = EvaluationTable("t", ("name", "a", "b"), (("x", "–", "1"), ("y", "–", "–")))
    assert without_dashes(made).heads == ("name", "b")
    assert without_dashes(made).rows == (("x", "1"), ("y", "–"))


def test_bars_have_a_legend_that_names_what_is_there():
    drawn = bars([Bar("macs", 0.5, 0.4, 0.6, True), Bar("flatness", 0.6, 0.5, 0.7)], "tau").svg()
    assert "size alone (params, MACs)" in drawn
    assert "interval" in drawn
    assert "size alone" not in bars([Bar("flatness", 0.6, None, None)], "tau").svg()
