"""The landscape of a run's architectures, from the run folder to the page: `genas landscape`."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genas.analysis.landscape.directions import cosine, random_direction
from genas.analysis.landscape.page import build_landscape_page
from genas.analysis.landscape.points import Points
from genas.analysis.landscape.settings import LandscapeSettings, read_settings
from genas.analysis.landscape.summary import summarise
from genas.analysis.landscape.walk import Site, measured, places, walk
from genas.core.deprecation import formerly
from genas.core.errors import ConfigError, GenotypeError, RunError
from genas.core.interrupt import StopRequest
from genas.core.progress import Bar
from genas.core.result import Result
from genas.core.run_folder import RunFolder, digest_of, write_json
from genas.core.run_paths import LandscapePaths, RunPaths
from genas.core.settings import current_names
from genas.data import Dataset, Splits
from genas.data.base import LabelledImages, Normalisation
from genas.proxies import Scoring
from genas.reporting.page import letter
from genas.spaces import Architecture, Network, Space
from genas.training.standalone.loading import TrainedModel, find_models, load_model
from genas.workflows.config import fill_defaults
from genas.workflows.session import Session, changed_settings
from genas.workflows.subject import parse_architecture, text_of

FORMAT = "genas-landscape-1"


@dataclass(frozen=True)
class Ground:
    """A network that a landscape is asked of.

    Args:
        name: in the file of points.
        label: in tables and figures.
        genotype: its architecture.
        weights: ``supernet``, or the file of a trained network.
        digest: of those weights: points of others are never mixed with them.
        open: loads it.
    """

    name: str
    label: str
    genotype: str
    weights: str
    digest: str
    open: Callable[[], Site]


@dataclass(frozen=True)
class Landscape(Result):
    """The loss around networks; what ``landscape.json`` holds.

    Args:
        format: of the file.
        run: the run folder.
        folder: where the results lie.
        settings: with every default that depends on others written out.
        networks: what was walked around: ``name``, ``label``, ``genotype``, ``weights``.
        results: for each network and data: see `genas.analysis.landscape.summary.summarise`.
    """

    format: str
    run: Path
    folder: Path
    settings: dict[str, Any]
    networks: list[dict[str, Any]]
    results: list[dict[str, Any]]


@formerly("run", "subjects")
def landscape(
    run: str | Path,
    *,
    subjects: Sequence[str | Architecture] = (),
    retrained: bool = False,
    name: str = "default",
    data: str | type[Dataset] | Dataset | None = None,
    data_root: str | Path | None = None,
    settings: LandscapeSettings | Mapping[str, Any] | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> Landscape:
    """Computes the loss around architectures of a run, or continues, and draws it.

    Args:
        run: a run folder with a finished supernet.
        subjects: architectures or their text forms, walked around at the weights that the supernet gives them (batch
            norm recalibrated as for scoring), and folders of trained networks. None: the best one of the search.
        retrained: also the network that the run trained at its end.
        name: the results lie in ``landscape/NAME`` of the run folder.
        data: where the run's data are now: ``folder:PATH``, or an object; None for where they were.
        data_root: the same, of a named data set.
        settings: `LandscapeSettings` or a mapping of its fields.
        device: ``auto``, ``cpu`` or ``cuda``; None for the run's.
        quiet: no progress.

    Raises:
        GenasError: no finished supernet, a malformed genotype, unfit networks, points of other settings.
        Interrupted: Ctrl-C; the points computed so far are kept.
    """
    asked = settings if isinstance(settings, LandscapeSettings) else read_settings(settings or {})
    run = Path(run)
    folder = RunPaths(run).landscapes / check_name(name)
    fewer = {} if asked.images is None else {"proxy": {"evaluation": {"images": asked.images}}}
    config = changed_settings(run, [fewer], ["proxy"], data=data, data_root=data_root, device=device)
    session = Session(config, run, quiet=quiet)
    grounds = _grounds(session, run, [text_of(one) for one in subjects], retrained, asked)
    with RunFolder(run):
        _check_identity(folder, session, grounds, asked)
        wanted = places(asked)
        with Points(LandscapePaths(folder).points) as points:
            with StopRequest() as stop, Bar("landscape", len(grounds) * len(wanted), 0, "point", quiet) as bar:

                def tick() -> None:
                    bar.step(1)
                    stop.check()

                facts = []
                for ground in grounds:
                    site = ground.open()
                    facts.append(_facts(ground, site, session.config.seed, asked))
                    walk(site, wanted, asked, session.config.seed, points, tick)
            names = [ground.name for ground in grounds]
            result = Landscape(FORMAT, run, folder, _described(asked), facts, summarise(points, names, asked))
            write_json(LandscapePaths(folder).content, result.to_dict())
            build_landscape_page(folder, points, asked)
    return result


def check_name(name: str) -> str:
    """The name of a folder for results.

    Raises:
        ConfigError: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f"Invalid --name {name!r}: expected letters, digits, dots, dashes and underscores.")
    return name


def _described(settings: LandscapeSettings) -> dict[str, Any]:
    """The settings with every default that depends on others written out."""
    decided = {"range": settings.reach, "radius": settings.measured_radius, "sigmas": list(settings.strengths)}
    return {**settings.model_dump(mode="json"), **decided}


def _grounds(
    session: Session, run: Path, subjects: Sequence[str], retrained: bool, settings: LandscapeSettings
) -> list[Ground]:
    """What to walk around; everything that the user may have written wrongly shows here."""
    asked = [_labelled(text, session.space) for text in subjects]
    if not subjects and not retrained:
        if not RunPaths(run).best_architecture.is_file():
            raise RunError(f"the search of {run} is not finished, so there is no best architecture; name a genotype.")
        asked = [("best", json.loads(RunPaths(run).best_architecture.read_text(encoding="utf-8"))["genotype"])]
    folders = [(label, text) for label, text in asked if _exists(text)]
    paths = [(label, parse_architecture(session.space, text)) for label, text in asked if not _exists(text)]
    if "test" in settings.data and session.splits.test is None:
        raise ConfigError("the data set has no test images; take --split validation.")
    grounds = []
    if paths:
        scorings = _scorings(session.scoring(run), session.splits, settings)
        digest = digest_of(RunPaths(run).supernet.checkpoint)
        grounds = [_of_path(label, scorings, architecture, digest) for label, architecture in paths]
    own_network = [("retrained", str(run))] if retrained else []
    for label, text in [*own_network, *folders]:
        path = Path(text)
        found = find_models(path)
        for weights in found:
            own = f"{label}, {weights.parent.name}" if label and len(found) > 1 else label
            grounds.append(_of_trained(own, session, run, weights, settings))
    once = list({ground.name: ground for ground in reversed(grounds)}.values())[::-1]
    return _all_labelled(once)


def _all_labelled(grounds: Sequence[Ground]) -> list[Ground]:
    """A letter, by the place in the row, for each that has no label.

    Raises:
        ConfigError: two have the same, and figures could not tell them apart.
    """
    labels = [ground.label or letter(number) for number, ground in enumerate(grounds)]
    twice = next((label for place, label in enumerate(labels) if label in labels[:place]), None)
    if twice is not None:
        raise ConfigError(f"two networks are labelled {twice!r}; give one of them another label: LABEL=GENOTYPE.")
    return [replace(ground, label=label) for ground, label in zip(grounds, labels, strict=True)]


def _labelled(text: str, space: Space) -> tuple[str, str]:
    """``LABEL=GENOTYPE`` in its parts; a genotype of a space of one's own may have an equals sign itself."""
    match = re.fullmatch(r"([^=()\[\]|/]+)=(.+)", text, re.DOTALL)
    if match is None or _exists(text):
        return "", text
    try:
        parse_architecture(space, text)
    except GenotypeError:
        return match.group(1).strip(), match.group(2)
    return "", text


def _exists(text: str) -> bool:
    return os.path.exists(text)  # a genotype may be too long for a path, which Path.exists refuses


def _scorings(scoring: Scoring, splits: Splits, settings: LandscapeSettings) -> dict[str, Scoring]:
    """The scoring of each data set; that of ``test`` takes the test images for validation images."""
    found: dict[str, Scoring] = {}
    for data in settings.data:
        if data == "validation":
            found[data] = scoring
            continue
        assert splits.test is not None
        found[data] = Scoring(
            scoring.space,
            scoring.supernet,
            scoring.initial,
            replace(splits, validation=splits.test),
            scoring.fabric,
            scoring.seed,
            scoring.batchnorm,
            scoring.evaluation,
        )
    return found


def _site(name: str, network: Network, architecture: Architecture, scorings: Mapping[str, Scoring]) -> Site:
    first = next(iter(scorings.values()))
    measures = {data: partial(measured, scoring, network) for data, scoring in scorings.items()}
    return Site(name, network, measures, partial(first.recalibrate, network, architecture))


def _of_path(label: str, scorings: Mapping[str, Scoring], architecture: Architecture, digest: str) -> Ground:
    first = next(iter(scorings.values()))

    def load() -> Site:
        return _site(architecture.short, first.prepared(architecture), architecture, scorings)

    return Ground(architecture.short, label, architecture.genotype, "supernet", digest, load)


def _of_trained(label: str, session: Session, run: Path, weights: Path, settings: LandscapeSettings) -> Ground:
    model = load_model(weights)
    _check_fit(session, model, weights)
    folder, above = weights.parent.resolve(), run.resolve()
    name = f"trained: {folder.relative_to(above) if folder.is_relative_to(above) else folder}"

    def load() -> Site:
        network = model.network.to(session.fabric.device)
        splits, proxy = _normalised(session.splits, model), session.config.proxy
        space = model.facts.open_space()
        scoring = Scoring(
            space, network, {}, splits, session.fabric, session.config.seed, proxy.batchnorm, proxy.evaluation
        )
        if proxy.evaluation.engine != "plain":
            network.to(memory_format=torch.channels_last)
        return _site(name, network, space.parse(model.facts.genotype), _scorings(scoring, splits, settings))

    return Ground(name, label, model.facts.genotype, str(weights), digest_of(weights), load)


def _check_fit(session: Session, model: TrainedModel, weights: Path) -> None:
    facts, splits = model.facts, session.splits
    if facts.class_names != splits.class_names or facts.image_shape != splits.image_shape:
        shapes = [" x ".join(str(side) for side in shape) for shape in (facts.image_shape, splits.image_shape)]
        raise ConfigError(
            f"{weights.parent} was trained on {facts.classes} classes of images {shapes[0]}; the run has "
            f"{splits.num_classes} classes of images {shapes[1]}, and both must be the same."
        )


def _normalised(splits: Splits, model: TrainedModel) -> Splits:
    """The images with the normalisation that a trained network wants."""
    own = Normalisation(model.facts.mean, model.facts.std, "the network's description")
    if (own.mean, own.std) == (splits.normalisation.mean, splits.normalisation.std):
        return splits

    def changed(images: LabelledImages) -> LabelledImages:
        return images.with_normalisation(own)

    return replace(
        splits,
        weights=changed(splits.weights),
        validation=changed(splits.validation),
        train=changed(splits.train),
        test=changed(splits.test) if splits.test is not None else None,
        normalisation=own,
    )


def _check_identity(folder: Path, session: Session, grounds: Sequence[Ground], settings: LandscapeSettings) -> None:
    """Points of other settings, or of other weights, are never mixed with those that are there.

    Raises:
        RunError: the folder's points were computed otherwise; the first difference is named.
    """
    path, proxy = LandscapePaths(folder).identity, session.config.proxy
    now: dict[str, Any] = {
        "images": settings.images,
        "normalise": settings.normalise,
        "vectors": settings.vectors,
        "batchnorm": settings.batchnorm,
        "noise": settings.noise,
        "device": session.fabric.device.type,
        "recalibration": proxy.batchnorm.model_dump(mode="json"),
        "evaluation": proxy.evaluation.model_dump(mode="json"),
    }
    known: dict[str, str] = {}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        known = before.pop("networks")
        before = current_names(LandscapeSettings, before)
        read = {"batchnorm": before["recalibration"], "evaluation": before["evaluation"]}
        whole = fill_defaults({"proxy": read})["proxy"]  # settings that came later, at their defaults
        before |= {"recalibration": whole["batchnorm"], "evaluation": whole["evaluation"]}
        if "none" in (before["noise"], now["noise"]):  # a landscape may get its noise later
            before["noise"] = now["noise"] = now["noise"] if before["noise"] == "none" else before["noise"]
        for key, value in now.items():
            if before.get(key) != value:
                raise RunError(
                    f"the points in {folder} were computed with {key} {before.get(key)!r}, and {value!r} is asked for "
                    "now; choose another --name, or remove the folder."
                )
        for ground in grounds:
            if known.get(ground.name, ground.digest) != ground.digest:
                raise RunError(
                    f"the weights of {ground.name!r} have changed since its points in {folder} were computed; choose "
                    "another --name, or remove the folder."
                )
    write_json(path, {**now, "networks": {**known, **{ground.name: ground.digest for ground in grounds}}})


def _facts(ground: Ground, site: Site, seed: int, settings: LandscapeSettings) -> dict[str, Any]:
    """What is known of a network beside its points."""
    weights = {name: value.detach() for name, value in site.network.named_parameters()}
    pair = [random_direction(weights, seed, number, settings.normalise, settings.vectors) for number in (0, 1)]
    return {
        "name": ground.name,
        "label": ground.label,
        "genotype": ground.genotype,
        "weights": ground.weights,
        # retraining uses both halves of the training set
        "trained_on_validation": ground.weights != "supernet",
        "cosine_of_plane": cosine(*pair) if settings.contour else None,
    }
