"""Losses of many architectures in single precision and in bfloat16: what `analyse.py` compares the rankings of.

    python studies/bf16/measure.py RUN --out OUT.jsonl

Each architecture of a random draw is measured in single precision (``f32``), again under other noise (``other``: how
far the measure agrees with itself), and with ``proxy.evaluation.precision=bf16`` by autocast (``bf16``) and by OpenVINO
(``openvino``); all on the same images and with the same batch-norm statistics. Making an engine of OpenVINO costs more
than a draw of `relative-flatness` here, so that it measures the others only. A line of the file is one architecture;
the same command continues.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch

from genas.proxies import Angle, ProxySettings
from genas.proxies.flatness import Flatness, FlatnessSettings, RelativeFlatness, RelativeFlatnessSettings
from genas.proxies.folding import Folded
from genas.proxies.perturbation import unit_noise
from genas.workflows.rank import open_scorer, weights_file
from genas.workflows.session import load_config

SIGMA = 0.001  # the smallest published one
FORMS = {  # engine, precision, set of noise draws
    "f32": ("fast", "run", 0),
    "other": ("fast", "run", 1),
    "bf16": ("fast", "bf16", 0),
    "openvino": ("openvino", "bf16", 0),
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--architectures", type=int, default=200)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--draws", type=int, default=8, help="of relative-flatness, dealt out among the images")
    parser.add_argument("--others", type=int, default=60, help="architectures that are measured under other noise too")
    parser.add_argument("--forms", nargs="*", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def draw(space, count: int) -> list:
    """Architectures of different functions."""
    rng, found = random.Random(0), {}
    while len(found) < count:
        one = space.sample(rng)
        found.setdefault(space.function_key(one), one)
    return list(found.values())


@torch.no_grad()
def rounding(network) -> dict[str, float]:
    """What rounding to bfloat16 makes of noise of `SIGMA` on the weights of the folded network.

    ``error``: |applied - intended| / |intended|, both being differences of weights. ``kept``: the share of weights that
    the noise moves at all. ``step``: median distance of neighbouring bfloat16 numbers at the weights, over sigma.
    """

    def weights(module) -> torch.Tensor:
        return torch.cat([one.detach().flatten() for one in module.refresh().parameters()])

    folded = Folded(network)
    before = weights(folded).clone()
    kept = {name: one.clone() for name, one in network.named_parameters()}
    for name, one in network.named_parameters():
        one.add_(SIGMA * unit_noise(one, 0, "study", name))
    after = weights(folded).clone()
    for name, one in network.named_parameters():
        one.copy_(kept[name])
    intended = after - before
    applied = after.bfloat16().float() - before.bfloat16().float()
    step = torch.exp2(torch.floor(torch.log2(before.abs().clamp_min(1e-30))) - 7)
    moved = intended != 0
    return {
        "error": float((applied - intended).norm() / intended.norm()),
        "kept": float((applied[moved] != 0).double().mean()),
        "step": float(step.median() / SIGMA),
    }


def main() -> None:
    given = options()
    config = load_config(given.run)
    scorer = open_scorer(given.run, config, weights_file(given.run, None, None))
    batchnorm = {"pictures": 256}
    scorings = {
        name: scorer.open_scoring(
            ProxySettings.model_validate(
                {
                    "batchnorm": batchnorm,
                    "evaluation": {"pictures": given.images, "engine": engine, "precision": precision},
                }
            ),
            config.seed,
        )
        for name, (engine, precision, _) in FORMS.items()
    }
    for scoring in scorings.values():
        scoring._recalibrated = scorings["f32"]._recalibrated  # the same statistics, estimated once
    angle = Angle(scorings["f32"])
    done = set()
    if given.out.exists():
        done = {json.loads(line)["genotype"] for line in given.out.read_text().splitlines()}
    with given.out.open("a") as file:
        for number, architecture in enumerate(draw(scorer.space, given.architectures)):
            if architecture.genotype in done:
                continue
            row: dict = {"genotype": architecture.genotype, "angle": angle.score(architecture).value}
            row["rounding"] = rounding(scorings["f32"].prepared(architecture))
            for form in given.forms:
                noise = FORMS[form][2]
                if form == "other" and number >= given.others:
                    continue
                scoring = scorings[form]
                scoring.prepared(architecture)  # not part of the seconds
                absolute = Flatness(scoring, FlatnessSettings(noise_seed=noise))
                relative = RelativeFlatness(scoring, RelativeFlatnessSettings(noise_seed=noise, draws=given.draws))
                found: dict = {"seconds": {}}
                proxies = {"flatness": absolute, "relative-flatness": relative}
                if form == "openvino":
                    del proxies["relative-flatness"]
                for name, proxy in proxies.items():
                    begun = time.perf_counter()
                    score = proxy.score(architecture)
                    found["seconds"][name] = round(time.perf_counter() - begun, 4)
                    found[name] = {"value": score.value, "losses": score.terms["losses"]}
                clean = scoring.evaluate(scoring.prepared(architecture))
                row[form] = found | {"loss": clean.loss, "accuracy": clean.accuracy}
            scorings["f32"].forget()
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(number + 1, time.strftime("%H:%M:%S"), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
