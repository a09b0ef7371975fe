"""Everything there is to measure on a GPU, in one command of at most nine minutes.

    python benchmarks/gpu.py --out DIR [--data parquet:DIR] [--table nasbench201.csv.gz]
    python benchmarks/gpu.py --tiny --device cpu --out DIR      (tries the script without a GPU)

Four phases, each in a process of its own that is ended when its time is over, so that neither a fault nor a wait of
one harms the others: correctness (``pytest -m cuda``), speed beside the reference, variants, and science (a supernet
of NAS-Bench-201 and how well proxies rank with it). Each writes ``DIR/PHASE.json`` anew after every measurement;
``gpu.json`` and ``gpu.md`` are written after each phase. README.md beside this file says what they hold.
"""

import argparse
import hashlib
import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests" / "cuda"
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
NEEDED = {
    "": ("torch", "numpy", "pydantic", "yaml", "safetensors", "tensorboard", "PIL", "rich"),
    "correctness": ("pytest", "pytest_timeout", "xdist", "typer", "sklearn", "jinja2", "matplotlib"),
    "science": ("scipy", "sklearn", "pyarrow", "datasets", "jinja2", "matplotlib"),
}
"""Packages of every phase ("") and of single ones."""
PHASES = {"correctness": 80.0, "speed": 110.0, "variants": 110.0, "science": 215.0}
"""Seconds of each of nine minutes; what one leaves goes to the next ones."""
GRACE = 5.0  # seconds in which a phase may end its last measurement


@dataclass(frozen=True)
class Given:
    """What the command was given.

    Args:
        out: where results go.
        work: where the run folder of the fourth phase goes.
        device: ``cpu`` or ``cuda``.
        data: of the fourth phase.
        table: of the fourth phase.
        minutes: of all phases together.
        tiny: as small as can be.
    """

    out: Path
    work: Path
    device: str
    data: str
    table: Path
    minutes: float
    tiny: bool


def correctness(notes: Any, given: Given) -> None:
    """Runs the tests that need a GPU, in a process of its own; without one they say that they are skipped."""
    workers = min(8, (os.cpu_count() or 1) // 2)
    together = ["-n", str(workers), "--dist", "load"] if workers > 1 else ["-n", "0"]
    command = [sys.executable, "-m", "pytest", "-m", "cuda", *together, "-rsfE", "--durations=20", str(TESTS)]
    paths = [str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def run_tests() -> None:
        with tempfile.TemporaryFile("w+") as output:
            try:
                ended = subprocess.run(
                    command,
                    cwd=HERE.parent,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    timeout=max(notes.left, 1.0),
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                ended = None
            output.seek(0)
            lines = output.read().strip().splitlines()
        summary = lines[-1] if lines else ""
        notes.add("pytest -m cuda", {"exit_code": ended, "summary": summary, "output": "\n".join(lines[-300:])})
        if ended != 0:
            raise RuntimeError(f"tests did not end in time: {summary}" if ended is None else summary)

    notes.attempt("tests", run_tests)


def speed(notes: Any, given: Given) -> None:
    """See `gpu_speed`."""
    import gpu_phase
    import gpu_speed

    gpu_speed.run(notes, given.device, gpu_phase.TINY if given.tiny else gpu_phase.PUBLISHED)


def variants(notes: Any, given: Given) -> None:
    """See `gpu_variants`."""
    import gpu_phase
    import gpu_variants

    sizes = gpu_phase.TINY if given.tiny else gpu_phase.PUBLISHED
    gpu_variants.run(notes, given.device, sizes, best_batches(given))


def science(notes: Any, given: Given) -> None:
    """See `gpu_science`."""
    import gpu_phase
    import gpu_science

    speed = gpu_phase.read(given.out / "speed.json").get("results", {})
    step = speed.get("nasbench201: training, batch 64", {}).get("genas")
    batch = best_batches(given).get("nasbench201", 1000)
    study = gpu_science.Study(notes, given.work / "run", given.data, given.table, given.device, batch, given.tiny)
    gpu_science.run(notes, study, given.out, step)


RUN: dict[str, Callable[[Any, Given], None]] = {
    "correctness": correctness,
    "speed": speed,
    "variants": variants,
    "science": science,
}


def best_batches(given: Given) -> dict[str, int]:
    """By space the batch that the second phase found best; empty without it."""
    from gpu_phase import read

    results = read(given.out / "speed.json").get("results", {})
    return {name.partition(":")[0]: row["best"] for name, row in results.items() if name.endswith(": batches")}


def one_phase(name: str, seconds: float, given: Given) -> None:
    """In a process of its own: notes what the phase measures and, at last, what ended it."""
    from gpu_phase import Notes

    notes = Notes(given.out / f"{name}.json", seconds)
    notes.attempt(name, lambda: RUN[name](notes, given), needs=0.0)
    notes.write()


def run_phase(name: str, seconds: float, given: Given) -> dict[str, Any]:
    """Runs a phase for at most so many seconds; gives its notes, with how it ended."""
    from gpu_phase import read

    file = given.out / f"{name}.json"
    file.unlink(missing_ok=True)
    process = multiprocessing.get_context("fork").Process(target=one_phase, args=(name, seconds, given))
    begun = time.monotonic()
    process.start()  # a fork has everything imported; this process never begins to use the GPU
    process.join(seconds + GRACE)
    ended = "done"
    if process.is_alive():
        process.terminate()
        process.join(2)
        ended = f"ended after {time.monotonic() - begun:.0f} s: its time was over"
    if process.is_alive():
        process.kill()
        process.join()
    elif ended == "done" and process.exitcode:
        ended = f"died with exit code {process.exitcode}"
    return {"ended": ended, **read(file)}


def sources() -> str:
    """A digest of the code, which tells it where there is no git."""
    found = hashlib.sha256()
    for file in sorted([*HERE.glob("*.py"), *(HERE.parent / "src").rglob("*.py")]):
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def card(device: str, commit: str | None) -> dict[str, Any]:
    """What was measured on and with what: card, driver, versions, date, commit."""
    import torch

    from genas.core.device import describe_machine
    from genas.core.run_folder import environment

    facts = environment(describe_machine(torch.device("cpu")), ("scipy", "triton"))
    facts |= {"date": time.strftime("%Y-%m-%d %H:%M"), "device": device, "sources": sources()}
    facts["commit"] = facts["commit"] or commit
    facts["torch"], facts["cuda"] = torch.__version__, torch.version.cuda
    query = "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit"
    answer = ""
    if shutil.which("nvidia-smi"):  # asked of another process: a fork cannot use a GPU that its parent has begun to use
        answer = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, check=False, timeout=20
        ).stdout.strip()
    names = ("card", "driver", "memory", "clock", "power")
    facts |= (
        dict(zip(names, (part.strip() for part in answer.splitlines()[0].split(",")), strict=False)) if answer else {}
    )
    return facts


def has_gpu() -> bool:
    """Asked of another process, because a fork cannot use a GPU that its parent has begun to use."""
    asked = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def missing(phases: list[str]) -> list[str]:
    """Packages of `phases` that are not installed."""
    needed = dict.fromkeys(name for phase in ("", *phases) for name in NEEDED.get(phase, ()))
    return [name for name in needed if importlib.util.find_spec(name) is None]


def arguments(texts: list[str] | None) -> tuple[Given, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = Path(os.environ.get("GENAS_DATA", HERE.parents[1] / "shared" / "data"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder of the fourth phase's run; a temporary one if left out")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--data", default=f"parquet:{root / 'cifar10'}", help="data set of the fourth phase")
    parser.add_argument("--table", type=Path, default=root / "nasbench201.csv.gz", help="NAS-Bench-201's accuracies")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--phases", default=",".join(PHASES), help="some of them, with commas")
    parser.add_argument("--commit", help="what to record where the tree is no git checkout")
    parser.add_argument("--tiny", action="store_true", help="as small as can be, to try the script")
    found = parser.parse_args(texts)
    asked = found.phases.split(",")
    unknown = [name for name in asked if name not in PHASES]
    if unknown:
        parser.error(f"expected phases of {', '.join(PHASES)}, got {', '.join(unknown)}")
    lacking = missing(asked)
    if lacking:
        parser.error(f"the phases {found.phases} need further packages: {', '.join(lacking)}")
    if found.device == "cuda" and not has_gpu():
        parser.error("torch finds no CUDA GPU here; to try the script give --tiny --device cpu")
    work = found.work or Path(tempfile.mkdtemp(prefix="genas-gpu-"))
    found.out.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    given = Given(found.out, work, found.device, found.data, found.table, found.minutes, found.tiny)
    return given, found


def main(texts: list[str] | None = None) -> int:
    """Runs the phases; 1 where one of them left errors."""
    begun = time.monotonic()
    given, found = arguments(texts)
    from gpu_summary import write_summary

    content: dict[str, Any] = {"card": card(given.device, found.commit), "tiny": given.tiny, "phases": {}}
    chosen = [name for name in PHASES if name in found.phases.split(",")]
    try:
        for place, name in enumerate(chosen):
            write_summary(given.out, content)
            left = 60 * given.minutes - (time.monotonic() - begun) - 2 * GRACE
            share = PHASES[name] / sum(PHASES[later] for later in chosen[place:])
            content["phases"][name] = run_phase(name, max(share * left - GRACE, 1.0), given)
            print(f"{name}: {content['phases'][name]['ended']}", flush=True)
        content["seconds"] = round(time.monotonic() - begun)
        print(write_summary(given.out, content))
    finally:
        if found.work is None:
            shutil.rmtree(given.work, ignore_errors=True)
    return int(any(phase["ended"] != "done" or phase.get("errors") for phase in content["phases"].values()))


if __name__ == "__main__":
    sys.exit(main())
