"""Makes `tables.md`, `figure.png` and `figure.svg` of the results beside this file.

python studies/ranking/table.py
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from genas.analysis.ranking.measures import bootstrap_weights, interval, kendall, once

HERE = Path(__file__).parent
COLUMNS = {"cifar10_test": "CIFAR-10", "cifar100_test": "CIFAR-100", "imagenet16_test": "ImageNet16-120"}
CHOSEN_ON = 200  # first architectures of the draw, of seeds 0 and 1: where the consensus was chosen
POOL = ("angle", "loss", "accuracy", "jacob-cov", "naswot", "macs", "params", "synflow", "flatness")
MEMBERS = ("angle", "loss", "naswot", "jacob-cov", "params", "macs")
LOGARITHMIC = ("macs", "params", "synflow")


def runs() -> dict[str, Path]:
    return {folder.name: folder for folder in sorted(HERE.iterdir()) if (folder / "final.json").exists()}


def content(folder: Path, study: str) -> dict:
    return json.loads((folder / f"{study}.json").read_text())


def scores(folder: Path) -> dict[str, np.ndarray]:
    """Columns of final.csv.gz, in the order of the draw; architectures that a proxy failed on are left out."""
    text = gzip.decompress((folder / "final.csv.gz").read_bytes()).decode()
    rows = [row for row in csv.DictReader(io.StringIO(text)) if not row["failures"]]
    names = [name for name in rows[0] if name not in ("genotype", "failures")]
    return {name.removeprefix("true:"): np.array([float(row[name]) for row in rows]) for name in names}


def figures(numbers: Iterable[float]) -> str:
    known = list(numbers)
    return f"{mean(known):.3f}" + (f" ± {stdev(known):.3f}" if len(known) > 1 else "")


def main_table(folders: dict[str, Path]) -> list[str]:
    contents = [content(folder, "final") for folder in folders.values()]
    lines = [
        "| proxy | " + " | ".join(COLUMNS.values()) + " | given MACs | given loss and MACs | best 10 % | s per arch. |",
        "| --- |" + " --- |" * 7,
    ]
    first = contents[0]["proxies"]
    for name in sorted(first, key=lambda name: -first[name]["columns"]["cifar10_test"]["tau"]["value"]):
        rows = [one["proxies"][name] for one in contents if name in one["proxies"]]
        cells = [figures(row["columns"][column]["tau"]["value"] for row in rows) for column in COLUMNS]
        for covariate in ("macs", "loss + macs"):
            found = [(row["columns"]["cifar10_test"]["partial"] or {}).get(covariate) for row in rows]
            known = [one["value"] for one in found if one and one["value"] is not None]
            cells.append(figures(known) if known else "-")
        best = [row["columns"]["cifar10_test"]["tau_best_share"] for row in rows]
        cells.append(figures(one["value"] for one in best if one))
        seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
        cells.append(f"{mean(seconds):.2f}" if seconds else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def mutual_table(folders: dict[str, Path], names: tuple[str, ...]) -> list[str]:
    matrices = []
    for folder in folders.values():
        mutual = content(folder, "final")["mutual"]
        places = [mutual["names"].index(name) for name in names]
        matrices.append(np.array(mutual["tau"], dtype=float)[np.ix_(places, places)])
    average, spread = np.mean(matrices, axis=0), np.std(matrices, axis=0, ddof=min(1, len(matrices) - 1))
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for row, name in enumerate(names):
        cells = [
            "" if column >= row else f"{average[row, column]:.2f} ± {spread[row, column]:.2f}"
            for column in range(len(names))
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def scaled(values: dict[str, np.ndarray], name: str) -> np.ndarray:
    one = np.log1p(values[name]) if name in LOGARITHMIC else values[name]
    low, high = np.percentile(one, [25, 75])
    return one / (high - low)


def consensus_table(folders: dict[str, Path]) -> list[str]:
    """The proxy `consensus` as measured, on the architectures that it was chosen on and on the others."""
    lines = [
        "| supernet | architectures | n | " + " | ".join(COLUMNS.values()) + " |",
        "| --- | --- | --- |" + " --- |" * len(COLUMNS),
    ]
    for name, folder in folders.items():
        values = scores(folder)
        whole = len(values["consensus"])
        for label, part in (("first 200", slice(0, CHOSEN_ON)), ("the others", slice(CHOSEN_ON, whole))):
            count = len(values["consensus"][part])
            if count < 20:
                continue
            weights = bootstrap_weights(count, 1000, 0)
            cells = []
            for column in COLUMNS:
                x, y = values["consensus"][part], values[column][part]
                low, high = interval(kendall(x, y, weights), 0.95)
                cells.append(f"{kendall(x, y, once(count))[0]:.3f} ({low:.3f} to {high:.3f})")
            lines.append(f"| {name} | {label} | {count} | " + " | ".join(cells) + " |")
    return lines


def many_table() -> list[str]:
    """The few proxies that were measured on more architectures, and what they add to loss and MACs."""
    lines = [
        "| supernet | proxy | n | " + " | ".join(f"{name} | given loss, MACs" for name in COLUMNS.values()) + " |",
        "| --- | --- | --- |" + " --- |" * (2 * len(COLUMNS)),
    ]
    for path in sorted(HERE.glob("*/thousand.json")):
        whole = json.loads(path.read_text())
        for name, row in whole["proxies"].items():
            cells = []
            for column in COLUMNS:
                found = row["columns"][column]
                for one in (found["tau"], (found["partial"] or {}).get("loss + macs")):
                    known = one is not None and one["value"] is not None
                    cells.append(f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})" if known else "-")
            lines.append(f"| {path.parent.name} | {name} | {whole['n']} | " + " | ".join(cells) + " |")
    return lines


def choice_table(folders: dict[str, Path]) -> list[str]:
    """Sums of three to seven proxies by their CIFAR-10 tau on what the consensus was chosen on."""
    known = [scores(folders[name]) for name in ("seed-0", "seed-1") if name in folders]
    known = [{name: values[name][:CHOSEN_ON] for name in values} for values in known]
    found = []
    for size in range(3, 8):
        for names in combinations(POOL, size):
            taus = [
                [
                    kendall(sum(scaled(one, name) for name in names), one[column], once(len(one[column])))[0]
                    for column in COLUMNS
                ]
                for one in known
            ]
            found.append((*np.mean(taus, axis=0), names))
    found.sort(key=lambda row: -row[0])
    own = next(place for place, row in enumerate(found) if set(row[3]) == set(MEMBERS))
    lines = ["| place | " + " | ".join(COLUMNS.values()) + " | members |", "| --- |" + " --- |" * 4]
    for place in sorted({*range(5), own}):
        lines.append(f"| {place + 1} | " + " | ".join(f"{v:.3f}" for v in found[place][:3]))
        lines[-1] += f" | {', '.join(found[place][3])} |"
    return [*lines, "", f"{len(found)} sums were compared."]


def along(folders: dict[str, Path]) -> dict[str, dict[int, list[float]]]:
    """CIFAR-10 tau by proxy and epoch, one for each supernet; over the architectures that were scored at all epochs."""
    lines: dict[str, dict[int, list[float]]] = {}
    for folder in folders.values():
        for path in folder.glob("epoch-*.json"):
            one = json.loads(path.read_text())
            for name in ("loss", "accuracy", "angle", "flatness"):
                tau = one["proxies"][name]["columns"]["cifar10_test"]["tau"]["value"]
                lines.setdefault(name, {}).setdefault(int(path.stem.partition("-")[2]), []).append(tau)
        last = content(folder, "final")
        count = min((json.loads(path.read_text())["n"] for path in folder.glob("epoch-*.json")), default=0)
        if count:
            values = scores(folder)
            for name in lines:
                tau = float(kendall(values[name][:count], values["cifar10_test"][:count], once(count))[0])
                epochs = last["run_settings"]["supernet"]["epochs"]
                lines[name].setdefault(epochs, []).append(tau)
    return lines


def plot(folders: dict[str, Path], lines: dict[str, dict[int, list[float]]]) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained", width_ratios=[3, 2])
    contents = [content(folder, "final")["proxies"] for folder in folders.values()]
    names = sorted(contents[0], key=lambda name: contents[0][name]["columns"]["cifar10_test"]["tau"]["value"])
    for shift, (column, label) in enumerate(COLUMNS.items()):
        for place, name in enumerate(names):
            values = [one[name]["columns"][column]["tau"]["value"] for one in contents if name in one]
            height = place + 0.25 * (shift - 1)
            left.plot([min(values), max(values)], [height] * 2, color=f"C{shift}", linewidth=1)
            left.plot(mean(values), height, "o", color=f"C{shift}", markersize=4, label=label if not place else None)
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.set(xlabel="Kendall's tau (mean and range of the supernets)")
    left.axvline(0.75, color="grey", linewidth=0.8, linestyle=":")
    left.grid(alpha=0.3, axis="x")
    left.legend(fontsize=8, loc="lower right")
    for name, points in lines.items():
        epochs = sorted(points)
        right.errorbar(
            epochs,
            [mean(points[epoch]) for epoch in epochs],
            yerr=[stdev(points[epoch]) if len(points[epoch]) > 1 else 0 for epoch in epochs],
            marker="o",
            markersize=4,
            capsize=2,
            label=name,
        )
    right.set(xlabel="epochs of the supernet", ylabel="Kendall's tau, CIFAR-10")
    right.grid(alpha=0.3)
    right.legend(fontsize=8)
    for suffix in ("png", "svg"):
        metadata = {"Date": None} if suffix == "svg" else {}
        figure.savefig(HERE / f"figure.{suffix}", dpi=150, metadata=metadata)


def main() -> None:
    small = {name: folder for name, folder in runs().items() if name.startswith("seed-")}
    lines = along(small)
    text = ["Made by `table.py`.", "", "## Kendall's tau", "", *main_table(small)]
    for name, folder in runs().items():
        if name not in small:
            text += ["", f"## Kendall's tau, {name}", "", *main_table({name: folder})]
    text += [
        "",
        "## Mutual tau",
        "",
        *mutual_table(small, ("accuracy", "loss", "flatness", "flatness-naive", "angle", "macs")),
    ]
    text += ["", "## Consensus", "", *consensus_table(runs()), "", "## More architectures", "", *many_table()]
    text += ["", "## How it was chosen", "", *choice_table(small)]
    text += ["", "## Along training (CIFAR-10)", ""]
    epochs = sorted({epoch for points in lines.values() for epoch in points})
    text += ["| proxy | " + " | ".join(f"epoch {epoch}" for epoch in epochs) + " |", "| --- |" + " --- |" * len(epochs)]
    for name, points in lines.items():
        cells = [figures(points[epoch]) if epoch in points else "-" for epoch in epochs]
        text.append(f"| {name} | " + " | ".join(cells) + " |")
    (HERE / "tables.md").write_text("\n".join(text) + "\n")
    plt.rcParams["svg.hashsalt"] = "genas"  # the same figure is the same file
    plot(small, lines)


if __name__ == "__main__":
    main()
