"""Engines of an evaluation, interleaved: ``python benchmarks/engines.py [SPACE] [--out FILE]``.

Milliseconds per image of three paths of the supernet (DARTS: 8 cells x 16 channels) on random 32x32 images, and
milliseconds to make what a library computes one set of weights with. The engines are settings of
``proxy.evaluation.engine`` and ``precision``, as `Scoring.evaluate` runs them: folding the present weights and making
the session included. The ways that were not taken make a session too, but for weights as inputs, where one session
serves all weights. ``--scores PROXY`` times whole scores instead: recalibration of batch norm and the losses of all
draws.
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from made import random_splits, scoring_of

from genas.core.device import open_fabric
from genas.proxies import EvaluationSettings, ProxySettings, Scoring, open_proxy
from genas.proxies.engine import PIECE, SERVED
from genas.proxies.folding import Folded
from genas.spaces import open_space
from genas.spaces.graph import IMAGES, Graph

PATHS = 3
ENGINES = {
    "fast": {},
    "onnxruntime": {"engine": "onnxruntime"},
    "openvino": {"engine": "openvino"},
    "fast, bf16": {"precision": "bf16"},
    "openvino, bf16": {"engine": "openvino", "precision": "bf16"},
}


def with_weights_as_inputs(model: onnx.ModelProto, graph: Graph) -> onnx.ModelProto:
    """The model with the network's weights as inputs of their names; constants stay."""
    kept = [one for one in model.graph.initializer if one.name not in graph.weights]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(one.shape))
        for name, one in graph.weights.items()
    )
    return model


def session_of(model: onnx.ModelProto, threads: int, **entries: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    for name, value in entries.items():
        options.add_session_config_entry(f"session.{name}", value)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def forms_of(space, scorings: dict, number: int, pool: ThreadPoolExecutor) -> dict[str, Callable[[], object]]:
    """What is timed, by name: a path's evaluation on all images, and the making of sessions."""
    path = space.sample(random.Random(number))
    networks = {name: scoring.prepared(path) for name, scoring in scorings.items()}
    folded = Folded(networks["fast"], torch.contiguous_format)
    graph = Graph(folded.refresh(), (3, 32, 32))
    weights = {name: one.detach().contiguous().numpy() for name, one in graph.weights.items()}
    images = np.concatenate([batch.numpy() for batch, _ in scorings["fast"].validation_batches()])
    threads = torch.get_num_threads()
    lasting = session_of(with_weights_as_inputs(graph.model(), graph), 1)

    def pieces(size: int) -> list[np.ndarray]:
        return [images[start : start + size] for start in range(0, len(images), size)]

    def side_by_side(session: onnxruntime.InferenceSession, size: int, fed: dict) -> None:
        list(pool.map(lambda piece: session.run(None, {IMAGES: piece, **fed}), pieces(size)))

    def within(size: int, **entries: str) -> None:
        folded.refresh()
        session = session_of(graph.model(), threads, **entries)
        for piece in pieces(size):
            session.run(None, {IMAGES: piece})

    def whole_batches() -> None:
        folded.refresh()
        side_by_side(session_of(graph.model(), 1), 64, {})

    model = graph.model().SerializeToString()
    served = {name: kind(networks["fast"], (3, 32, 32)) for name, kind in SERVED.items()}
    return {
        **{name: lambda name=name: scorings[name].evaluate(networks[name]) for name in scorings},
        "onnxruntime, whole batches side by side": whole_batches,
        "onnxruntime, threads in the operators": lambda: within(64),
        f"onnxruntime, threads in the operators, {PIECE} at a time": lambda: within(PIECE),
        "onnxruntime, threads in the operators, no prepacking": lambda: within(64, disable_prepacking="1"),
        "onnxruntime, weights as inputs": lambda: side_by_side(lasting, PIECE, weights),
        **{f"making: {name}": lambda name=name: served[name].make(model, threads) for name in served},
    }


def scorings_of(space, images: int) -> dict[str, Scoring]:
    plain = scoring_of(space, random_splits(images), open_fabric("cpu"))
    scorings = {name: plain.reseeded(0, EvaluationSettings(**settings)) for name, settings in ENGINES.items()}
    for scoring in scorings.values():
        scoring._recalibrated = plain._recalibrated  # once for all; `--scores` forgets it
    return scorings


def measure(name: str, images: int, rounds: int) -> list[dict]:
    """For each path medians by form: ms per image; of ``making``, ms."""
    space = open_space(name)
    scorings = scorings_of(space, images)
    rows = []
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for number in range(PATHS):
            forms = forms_of(space, scorings, number, pool)
            seconds: dict[str, list[float]] = {form: [] for form in forms}
            for turn in range(rounds + 1):
                for form, work in random.Random(turn).sample(list(forms.items()), len(forms)):
                    begun = time.perf_counter()
                    work()
                    if turn:  # the first one warms up
                        seconds[form].append(time.perf_counter() - begun)
            medians = {form: 1e3 * statistics.median(each) for form, each in seconds.items()}
            rows.append({form: ms if form.startswith("making") else ms / images for form, ms in medians.items()})
    return rows


def measure_scores(name: str, proxy: str, images: int, rounds: int, engines: list[str]) -> list[dict]:
    """For each path median seconds of a whole score by engine."""
    space = open_space(name)
    scorings = {engine: one for engine, one in scorings_of(space, images).items() if engine in engines}
    opened = {
        engine: open_proxy(one, ProxySettings(expression=proxy)) for engine, one in scorings.items()
    }  # keep noise
    rows = []
    for number in range(PATHS):
        architecture = space.sample(random.Random(number))
        seconds: dict[str, list[float]] = {engine: [] for engine in scorings}
        for turn in range(rounds + 1):
            for engine, scoring in random.Random(turn).sample(list(scorings.items()), len(scorings)):
                scoring.forget()
                begun = time.perf_counter()
                opened[engine].score(architecture)
                if turn:  # the first one warms up
                    seconds[engine].append(time.perf_counter() - begun)
        rows.append({engine: statistics.median(each) for engine, each in seconds.items()})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("space", nargs="?", default="darts")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scores", metavar="PROXY", help="time whole scores of it instead")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="of whole scores")
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    if given.scores:
        rows = measure_scores(given.space, given.scores, given.images, given.rounds, given.engines)
    else:
        rows = measure(given.space, given.images, given.rounds)
    unit = "s" if given.scores else "ms per image"
    for form in rows[0]:
        figures = " / ".join(f"{row[form]:.3g}" for row in rows)
        ratios = " / ".join(f"{row['fast'] / row[form]:.2f}" for row in rows)
        print(
            f"{form}: {figures} " + ("ms" if form.startswith("making") else f"{unit}, {ratios} times as fast as fast")
        )
    if given.out is not None:
        facts = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"cpu {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
            "versions": {name: version(name) for name in ("torch", "onnxruntime", "openvino")},
            "space": given.space,
            "score": given.scores,
            "images": given.images,
            "rounds": given.rounds,
            "paths": rows,
        }
        given.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
