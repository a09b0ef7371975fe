"""What `gpu.py` writes after each phase: ``gpu.json`` with everything, ``gpu.md`` to read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genas.core.run_folder import write_atomically, write_json

Row = Sequence[object]


def write_summary(out: Path, content: Mapping[str, Any]) -> str:
    """Writes both files; gives the text of the second."""
    write_json(out / "gpu.json", dict(content))
    text = "\n".join(lines_of(content)) + "\n"
    write_atomically(out / "gpu.md", text.encode())
    return text


def lines_of(content: Mapping[str, Any]) -> Iterator[str]:
    """The page, line by line."""
    facts = content["card"]
    yield "# genas on a GPU"
    yield ""
    if content["tiny"]:
        yield "**Tiny sizes, to try the script: these figures say nothing.**"
        yield ""
    named = (
        "card" if "card" in facts else "device_name",
        "driver",
        "memory",
        "torch",
        "cuda",
        "date",
        "commit",
        "sources",
    )
    yield "; ".join(f"{key} {facts[key]}" for key in named if facts.get(key)) + "."
    yield ""
    yield from goals({name: phase.get("results", {}) for name, phase in content["phases"].items()})
    for name, phase in content["phases"].items():
        results = phase.get("results", {})
        yield ""
        yield f"## {name}: {phase['ended']}, {phase.get('seconds', 0)} of {phase.get('limit', 0):.0f} s"
        yield ""
        yield from {"correctness": tests, "speed": speeds, "variants": variants, "science": studies}[name](results)
        for title, error in phase.get("errors", {}).items():
            yield f"- failed: {title}: {' '.join(error.split())[:300]}"
        if phase.get("left_out"):
            yield f"- no time was left for: {', '.join(phase['left_out'])}"


def goals(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What was aimed at, beside what was found."""
    speed, full = results.get("speed", {}), results.get("science", {}).get("full search")
    for kind, part, goal in (("image pass", "score", 20), ("supernet step", "step", 5)):
        for name, row in speed.items():
            space, _, title = name.partition(": ")
            if title != f"{kind}, batch 64":
                continue
            reference = row["reference"]["median"]
            own = [
                reference / one["genas"]["median"] for key, one in speed.items() if key.startswith(f"{space}: {kind},")
            ]
            if part == "step":
                own = [reference / row["genas"]["median"]]  # a larger batch is another training
            others = {
                key: reference / one[part]["median"]
                for key, one in results.get("variants", {}).items()
                if key.startswith(f"{space}: ") and part in one and "graph" not in key.partition("step")[2]
            }
            best = max(others, key=others.__getitem__) if others else None
            also = f"; best variant {figure(others[best])} ({best})" if best else ""
            yield f"- goal: {space}, {kind} {goal} times as fast as the reference: genas {figure(max(own))}{also}"
    if full:
        yield f"- goal: a full search under 1 hour: {full['hours']:.3g} h, extrapolated"


def table(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    """A Markdown table; nothing without rows."""
    if not rows:
        return
    yield f"| {' | '.join(map(str, head))} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def figure(value: object) -> str:
    """A number with four digits; empty for None."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2g} %"


def tests(results: Mapping[str, Any]) -> Iterator[str]:
    for name, row in results.items():
        yield f"- `{name}`: {row['summary']}"


def speeds(results: Mapping[str, Any]) -> Iterator[str]:
    """Peaks, genas beside the reference, and where the time goes."""
    for name, value in results.get("peaks", {}).items():
        yield f"- peak {name}: {value:.3g} /s"
    yield ""
    rows = []
    for name, row in results.items():
        if "unit" in row:
            other = row.get("reference", {}).get("median")
            own = row["genas"]["median"] if isinstance(row["genas"], dict) else row["genas"]
            roofline = (row.get("bound", ""), percent(row.get("share_of_flops")), percent(row.get("share_of_bytes")))
            rows.append((f"{name}, {row['unit']}", figure(other), figure(own), figure(row.get("ratio")), *roofline))
    head = ("", "reference", "genas", "ratio", "bound", "of peak FLOP/s", "of peak bytes/s")
    yield from table(head, rows)
    for name, row in results.items():
        if "images_per_second" in row:
            found = ", ".join(f"{batch}: {value:.4g}" for batch, value in row["images_per_second"].items())
            yield f"- {name}, images/s: {found}; best {row['best']}"
        if name.endswith("where time goes"):
            for part, one in row.items():
                yield f"- {name}, {part}: {one['kernels']} kernels run {percent(one['busy'])} of {one['seconds']:.4g} s"


def variants(results: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name, row in results.items():
        spent = {key: value["median"] for key, value in row.items() if isinstance(value, dict) and "median" in value}
        shown = "; ".join(f"{key} {figure(value)}" for key, value in spent.items()) or row.get("error", "")
        capture = figure(row.get("capture_seconds"))
        rows.append((name, shown, capture, figure(row["difference"]), figure(row["tolerance"])))
    yield "Seconds per image of an evaluation under noise, or per step; each equals the plain way to its tolerance."
    yield ""
    yield from table(("", "seconds", "capture, s", "difference", "tolerance"), rows)


def studies(results: Mapping[str, Any]) -> Iterator[str]:
    """Training, tau along it, precisions, and what a full search would take."""
    training = results.get("training")
    if training:
        yield (
            f"- supernet: {training['epochs']} epochs of {training['steps_per_epoch']} steps, "
            f"{training['seconds_per_epoch']:.3g} s an epoch, last loss {training['loss'][-1]:.3f}, "
            f"accuracy {training['accuracy'][-1]:.3f}"
        )
    if "published score" in results:
        score = results["published score"]
        yield f"- published score (angle + 16*flatness) on {score['images']} images: {score['seconds']:.3g} s"
    if "full search" in results:
        found = results["full search"]
        yield (
            f"- **extrapolated**, not measured: {found['of']}: {found['hours']:.3g} h "
            f"(training {found['training_hours']:.3g}, search {found['search_hours']:.3g})"
        )
    yield ""
    rows = [row for name, row in results.items() if name.startswith("ranking")]
    names = list(dict.fromkeys(proxy for row in rows for proxy in row["proxies"]))
    head = ("Kendall's tau", *(f"epoch {one['epoch']}, {one['architectures']} x {one['images']}" for one in rows))
    cells = [(name, *(figure(tau_of(row, name)) for row in rows)) for name in names]
    yield from table(head, cells)
    for precision, row in results.get("precision", {}).items():
        if isinstance(row, dict):
            for name, one in row.items():
                yield f"- {precision}, {name}: {json.dumps(one)}"


def tau_of(row: Mapping[str, Any], proxy: str) -> float | None:
    found = row["proxies"].get(proxy, {}).get("tau")
    return found.get("value") if isinstance(found, dict) else found
