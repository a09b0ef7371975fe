"""How well do proxies rank NAS-Bench-201, and how does that grow while the supernet trains?

    GENAS_DATA=... python studies/ranking/run.py --seed 0

Trains a supernet on CIFAR-10 (25,000 images, 16x16 pixels, 16 channels, one cell per stage, 40 epochs), ranks
architectures of the benchmark with the finished supernet and with the weights kept along training, and copies what
came out to `seed-N/` beside this file. What is there already is not done again; the same command continues.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SUPERNET = {
    "space.cells_per_stage": 1,
    "space.channels": 16,
    "supernet.keep_every": 5,
    "supernet.learning_rate": 0.1,
    "supernet.nesterov": "true",
    "supernet.weight_decay": 5e-4,
    "supernet.clip": "null",
}
PROXIES = (
    "loss,accuracy,angle,flatness,angle + 16*flatness,accuracy + flatness,params,synflow,naswot,jacob-cov,grad-norm,"
    "snip,consensus,ranks(loss,macs),logranks(macs,naswot,jacob-cov),logranks(loss,macs,naswot,jacob-cov)"
)
ALONG = "loss,accuracy,angle,flatness"


def genas(*arguments: object) -> None:
    command = [sys.executable, "-m", "genas", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment)


def assignments(settings: dict) -> list[str]:
    return [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the supernet")
    parser.add_argument("--architectures", default="200", help="ranked by all proxies; 0 for none")
    parser.add_argument("--consensus", default="1000", help="ranked by thousand.yaml; 0 for none")
    parser.add_argument("--along", type=int, default=150, help="architectures at epochs before the last; 0 for none")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=1000, help="validation images of a score")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/ranking"))
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    data = Path(os.environ.get("GENAS_DATA", "../shared/data"))
    name = (
        f"seed-{given.seed}" if given.image_size == 16 else f"{given.image_size}x{given.image_size}-seed-{given.seed}"
    )
    run, target = given.folder / f"c10-{name}", given.out / name
    target.mkdir(parents=True, exist_ok=True)
    settings = SUPERNET | {"supernet.epochs": given.epochs, "data.image_size": given.image_size}
    genas(
        *("supernet", "--data", f"parquet:{data / 'cifar10'}", "--space", "nasbench201", "--run", run),
        *("--seed", given.seed, "--device", "cpu", *assignments(settings)),
    )
    common = ("rank", run, "--table", data / "nasbench201.csv.gz", "--workers", given.workers)
    common += ("--set", f"proxy.evaluation.images={given.pictures}", "--device", "cpu")
    studies = {}
    if given.architectures != "0":
        studies["final"] = ("--architectures", given.architectures, "--proxies", PROXIES)
        studies["final"] += ("--variants", HERE / "proxies.yaml")
    if given.consensus != "0":
        studies["thousand"] = ("--architectures", given.consensus, "--proxies", "loss,angle")
        studies["thousand"] += ("--variants", HERE / "thousand.yaml")
    for epoch in (5, 10, 20, 30) if given.along else ():
        studies[f"epoch-{epoch}"] = ("--architectures", given.along, "--proxies", ALONG, "--epoch", epoch)
    for study, arguments in studies.items():
        genas(*common, "--name", study, *arguments)
        shutil.copy(run / "rank" / study / "rank.json", target / f"{study}.json")
        raw = (run / "rank" / study / "scores.csv").read_bytes()
        (target / f"{study}.csv.gz").write_bytes(gzip.compress(raw, mtime=0))
    shutil.copy(run / "config.yaml", target / "config.yaml")


if __name__ == "__main__":
    main()
