"""Prints the table of the results beside this file as Markdown.

python studies/racing/table.py
"""

import json
import sys
from pathlib import Path
from statistics import mean

HERE = Path(__file__).parent


def row(found: dict) -> list[str]:
    racing, exact = found["racing"], found["exact"]
    return [
        str(found["seed"]),
        str(found["generations"]),
        f"{exact['pictures_evaluated'] / 1e6:.2f} M",
        f"{racing['pictures_evaluated'] / 1e6:.2f} M",
        f"{100 * found['share_of_pictures']:.1f} %",
        f"{100 * racing['pictures_evaluated'] / (found['pictures'] * racing['architectures']):.1f} %",
        f"{racing['stopped']} of {racing['architectures']}",
        f"{sum(racing['kept_alike'])} of {sum(racing['kept'])}",
        " ".join(map(str, racing["kept_alike"])),
        f"{100 * (found['winner_relative'] - 1):+.2f} %",
        "the same" if racing["winner"] == exact["winner"] else "another",
    ]


def main() -> None:
    results = [json.loads(path.read_text()) for path in sorted((HERE / "".join(sys.argv[1:2])).glob("seed-*.json"))]
    heads = [
        "seed",
        "generations",
        "exact",
        "racing",
        "of exact",
        "of all",
        "stopped early",
        "kept alike",
        "by generation",
    ]
    heads += ["winner's full score", "winner"]
    print("| " + " | ".join(heads) + " |")
    print("| --- " * len(heads) + "|")
    for found in results:
        print("| " + " | ".join(row(found)) + " |")
    kept = sum(sum(found["racing"]["kept"]) for found in results)
    alike = sum(sum(found["racing"]["kept_alike"]) for found in results)
    share = mean(found["share_of_pictures"] for found in results)
    print(f"\nKept alike: {alike} of {kept} ({100 * alike / kept:.1f} %); mean share of images {100 * share:.1f} %.")


if __name__ == "__main__":
    main()
