"""The code of the custom classes that a run was given: what its stored results depend on beside the settings."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genas.core.errors import RunError
from genas.core.fingerprint import fingerprint, refuse_other_code
from genas.core.registry import Registry
from genas.core.run_folder import write_json
from genas.core.run_paths import RunPaths
from genas.data.named import DATASETS
from genas.proxies import ProxySettings
from genas.proxies.expression import code_of_proxies
from genas.spaces.definition import SPACES
from genas.strategies import History, SearchSettings
from genas.strategies.named import STRATEGIES
from genas.workflows.config import Config
from genas.workflows.sections import RetrainConfig


def code_of_run(config: Config | RetrainConfig) -> dict[str, str]:
    """Fingerprints of the custom space and data set, which everything in a run folder depends on; empty without any."""
    return {**_code_of(SPACES, config.space.name), **_code_of(DATASETS, config.data.name)}


def code_of_scores(proxy: ProxySettings, search: SearchSettings) -> dict[str, str]:
    """Fingerprints of the custom proxies and of a custom strategy, which a history depends on."""
    return {**code_of_proxies(proxy), **_code_of(STRATEGIES, search.algorithm, "search")}


def _code_of(registry: Registry[Any], name: str, word: str = "") -> dict[str, str]:
    """The fingerprint of a custom class, under the registry's word unless files have another; else empty."""
    return {f"{word or registry.word} {name}": fingerprint(registry.find(name))} if registry.is_custom(name) else {}


def check_code(run: Path, code: Mapping[str, str]) -> None:
    """Compares the code with that which the run was begun with.

    Raises:
        RunError: it is another.
    """
    file = RunPaths(run).custom
    if not code or not file.is_file():
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{file} is damaged: it is not JSON ({error}).") from error
    refuse_other_code(
        before,
        code,
        f"{run} was begun, so its results would not fit together",
        "restore the code, or begin another run folder with --run (a class attribute `version` says which changes "
        "count; without one, all do)",
    )


def record_code(run: Path, code: Mapping[str, str], *, anew: bool) -> None:
    """Takes the code down that a run is begun with; what is known already stays.

    Args:
        run: the run folder, locked.
        code: what `code_of_run` gave.
        anew: nothing was made with the code that is known.

    Raises:
        RunError: the file cannot be written.
    """
    file = RunPaths(run).custom
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() and not anew else {}
    if code.keys() - before.keys():
        write_json(file, {**code, **before})


def check_scores(run: Path, code: Mapping[str, str]) -> None:
    """Compares the code of custom proxies and strategies with that which the stored scores come from.

    Raises:
        RunError: it is another.
    """
    file = RunPaths(run).history
    if not code or not file.exists():
        return
    with History(file, readonly=True) as history:
        before = history.facts()
        scored = len(history) > 0 or any(RunPaths(run).race.glob("*.safetensors"))
    if scored:
        again = f"genas search --supernet {run} ... --run OTHER"
        refuse_other_code(
            before,
            code,
            f"the scores in {file} were computed, and scores of two versions are not mixed",
            f"restore the code, or search again with the same supernet by: {again}",
        )
