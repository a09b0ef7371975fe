"""Makes `tables.md`, `figure.png` and `figure.svg` of the results beside this file.

python studies/published-cells/table.py
"""

import json
import math
import statistics
from itertools import combinations
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from scipy.stats import f_oneway, spearmanr

HERE = Path(__file__).parent
TITLES = {"photos": "Imagenette, 96x96", "cifar10": "CIFAR-10, 16x16"}


def networks(data: str) -> list[dict]:
    path = HERE / f"results-{data}.json"
    return json.loads(path.read_text())["networks"] if path.exists() else []


def rise(network: dict) -> float:
    """How much the loss grows under noise of a fifth of each filter's norm."""
    noise = network["flatness"]["noise"]["relative"]
    return noise["losses"][noise["sigmas"].index(0.2)] - noise["losses"][0]


def sharpness(network: dict) -> float:
    """How much the loss grows after an adaptive ascent step (ASAM) of length 0.5."""
    (row,) = [row for row in network["flatness"]["sharpness"] if row["kind"] == "adaptive"]
    return row["increase"]


MEASURES = {
    "top-1, %": lambda network: 100 * network["clean"]["top1"],
    "top-5, %": lambda network: 100 * network["clean"]["top5"],
    "corrupted top-1, %": lambda network: 100 * network["corruption_accuracy"],
    "calibration error, %": lambda network: 100 * network["clean"]["ece"],
    "loss rise, noise 0.2": rise,
    "sharpness (adaptive)": sharpness,
}


def spread(values: list[float], digits: int = 2) -> str:
    mean = statistics.mean(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def by_cell(rows: list[dict]) -> dict[str, list[dict]]:
    cells: dict[str, list[dict]] = {}
    for row in rows:
        cells.setdefault(row["cell"], []).append(row)
    return cells


def table(rows: list[dict]) -> list[str]:
    lines = ["| cell | width | params k | MACs M | " + " | ".join(MEASURES) + " |"]
    lines.append("| --- " * (4 + len(MEASURES)) + "|")
    for cell, group in by_cell(rows).items():
        first = group[0]
        cost = [str(first["channels"]), f"{first['params'] / 1e3:.0f}", f"{first['macs'] / 1e6:.2f}"]
        values = [
            spread([measure(one) for one in group], 3 if "rise" in name or "sharp" in name else 2)
            for name, measure in MEASURES.items()
        ]
        lines.append("| " + " | ".join([cell, *cost, *values]) + " |")
    return lines


def between(rows: list[dict]) -> list[str]:
    """Is the spread between cells more than the spread between seeds? One-way analysis of variance, per measure."""
    lines = ["| measure | sd of cells' means | sd between seeds | F | p |", "| --- | --- | --- | --- | --- |"]
    cells = by_cell(rows)
    for name, measure in MEASURES.items():
        groups = [[measure(one) for one in group] for group in cells.values()]
        groups = [group for group in groups if len(group) > 1]
        means = statistics.stdev([statistics.mean(group) for group in groups])
        within = math.sqrt(statistics.mean([statistics.variance(group) for group in groups]))
        found = f_oneway(*groups)
        lines.append(f"| {name} | {means:.3f} | {within:.3f} | {found.statistic:.2f} | {found.pvalue:.3f} |")
    return lines


def agreement(rows: list[dict]) -> list[str]:
    lines = ["| of all networks, Spearman's rho | " + " | ".join(list(MEASURES)[:4]) + " |"]
    lines.append("| --- " * 5 + "|")
    for flat in list(MEASURES)[4:]:
        values = [MEASURES[flat](row) for row in rows]
        cells = []
        for other in list(MEASURES)[:4]:
            found = spearmanr(values, [MEASURES[other](row) for row in rows])
            cells.append(f"{found.statistic:.2f} (p {found.pvalue:.2f})")
        lines.append(f"| {flat} | " + " | ".join(cells) + " |")
    return lines


def pairs(rows: list[dict]) -> str:
    """How many pairs of cells are ordered alike by every seed."""
    cells = [group for group in by_cell(rows).values() if len(group) > 1]
    alike = total = 0
    for first, second in combinations(cells, 2):
        signs = {
            math.copysign(1, a["clean"]["top1"] - b["clean"]["top1"])
            for a, b in zip(first, second, strict=False)
            if a["clean"]["top1"] != b["clean"]["top1"]
        }
        alike, total = alike + (len(signs) == 1), total + 1
    return f"{alike} of {total} pairs of cells are ordered alike by all seeds (by top-1); half would be by chance."


def draw(found: dict[str, list[dict]]) -> None:
    shown = [name for name in MEASURES if name != "top-5, %"]
    figure, grid = plt.subplots(
        len(found), len(shown), figsize=(13, 2.9 * len(found)), squeeze=False, layout="constrained", sharey="row"
    )
    for line, (data, rows) in zip(grid, found.items(), strict=True):
        cells = by_cell(rows)
        for axes, name in zip(line, shown, strict=True):
            for place, group in enumerate(cells.values()):
                values = [MEASURES[name](one) for one in group]
                colour = (
                    "#8a94a6"
                    if "random" in group[0]["cell"]
                    else "#c2410c"
                    if group[0]["cell"] == "GeNAS"
                    else "#1d5fb4"
                )
                axes.plot(values, [place] * len(values), "o", color=colour, markersize=4.5, alpha=0.75)
                axes.plot([statistics.mean(values)], [place], "|", color=colour, markersize=16, markeredgewidth=2)
            axes.set_xlabel(name)
            axes.grid(axis="x", color="#e5e8ee")
            axes.set_axisbelow(True)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(axis="y", length=0)
        line[0].set_yticks(range(len(cells)), list(cells))
        line[0].invert_yaxis()
        line[0].set_title(TITLES[data], loc="left", fontweight="bold")
    for kind in ("png", "svg"):
        figure.savefig(HERE / f"figure.{kind}", dpi=130)


def main() -> None:
    found = {data: rows for data in TITLES if (rows := networks(data))}
    lines = []
    for data, rows in found.items():
        seeds = sorted({row["seed"] for row in rows})
        lines += [f"## {TITLES[data]}: seeds {', '.join(map(str, seeds))}", "", *table(rows), "", *between(rows), ""]
        lines += [*agreement(rows), "", pairs(rows), ""]
    (HERE / "tables.md").write_text("\n".join(lines))
    draw(found)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
