"""A whole `genas search` as a user starts it, with seconds and peak memory of each phase.

    python benchmarks/search.py parquet:DIR --space darts --out benchmarks/search-darts.json

By default one epoch of the supernet of the published size, 100 architectures scored whole on 1,000 images, one epoch of
retraining on few batches. The process is watched from outside: a phase ends when its file appears in the run folder;
its peak is the largest resident set within it as the kernel counts it (reset between phases), its CPU seconds those of
all threads, which a busy machine stretches less than the clock's. ``--set`` changes any setting.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from genas.core.device import describe_machine

POLL = 0.05  # seconds
ENDS = {  # phase: file of the run folder that ends it
    "start and data": "config.yaml",
    "supernet": "supernet/metrics.csv",
    "search": "best.json",
    "noise and retraining": "retrain/result.json",
    "report": "report.html",
}


def settings_of(given: argparse.Namespace) -> dict:
    generations = 2
    return {
        "supernet.epochs": 1,
        "strategy.budget": "exact",
        "strategy.generations": generations,
        "strategy.population": given.architectures // generations,
        "proxy.evaluation.images": given.images,
        "retrain.epochs": 1,
        "retrain.limit_batches": 30,
        "baseline.choice": "none",
    } | dict(one.split("=", 1) for one in given.set)


def used(process: int) -> tuple[float, float]:
    """CPU seconds so far, and peak resident memory in GB since `reset_peak`."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    status = Path(f"/proc/{process}/status").read_text()
    high = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return seconds, int(high.split()[1]) * 1024 / 1e9


def reset_peak(process: int) -> None:
    Path(f"/proc/{process}/clear_refs").write_text("5")


def watch(command: list[str], run: Path) -> tuple[list[dict], str]:
    """Phases with seconds and memory, and what the command wrote."""
    phases: list[dict] = []
    waiting = list(ENDS.items())
    begun, before, peak = time.perf_counter(), 0.0, 0.0
    with tempfile.TemporaryFile("w+") as output, subprocess.Popen(command, stdout=output, text=True) as process:
        while process.poll() is None:
            try:
                seconds, high = used(process.pid)
            except (OSError, StopIteration):
                break  # it is ending
            peak = max(peak, high)
            if waiting and (run / waiting[0][1]).exists():
                now = time.perf_counter()
                row = {"phase": waiting.pop(0)[0], "seconds": now - begun, "cpu_seconds": seconds - before}
                phases.append({key: round(one, 1) if key != "phase" else one for key, one in row.items()})
                phases[-1]["peak_gb"] = round(peak, 3)
                begun, before, peak = now, seconds, 0.0
                reset_peak(process.pid)
            time.sleep(POLL)
        if process.wait():
            raise SystemExit(f"{' '.join(command)} failed")
        output.seek(0)
        return phases, output.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--space", default="darts")
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--images", type=int, default=1_000, help="validation images of each score")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    settings = settings_of(given)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "genas",
            "search",
            "--data",
            given.data,
            "--space",
            given.space,
        ]
        command += ["--run", str(run), "--json", "--quiet"]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        load = os.getloadavg()[0]
        phases, said = watch(command, run)
        disk = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    best = json.loads(said)
    result = {
        "date": time.strftime("%Y-%m-%d"),
        "data": Path(given.data).name,
        "space": given.space,
        "settings": settings,
        "phases": phases,
        "seconds": round(sum(phase["seconds"] for phase in phases), 1),
        "cpu_seconds": round(sum(phase["cpu_seconds"] for phase in phases), 1),
        "peak_gb": max(phase["peak_gb"] for phase in phases),
        "disk_mb": round(disk / 1e6, 1),
        "best_score": best["score"],
        "load_before": load,
        "machine": describe_machine(torch.device("cpu")),
        "torch": torch.__version__,
    }
    print(json.dumps(result, indent=1))
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
