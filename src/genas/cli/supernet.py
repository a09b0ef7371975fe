"""``genas supernet``."""

import json

from genas.cli import options


def supernet(
    data: options.Data = None,
    data_root: options.DataRoot = None,
    space: options.SpaceName = None,
    as_published: options.AsPublished = False,
    run: options.Run = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    seed: options.Seed = None,
    device: options.Device = None,
    precision: options.Precision = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train the supernet only; continue later with [bold]genas search[/bold] or score with [bold]genas score[/bold].

    On an existing run folder the settings may be left out: the run's own are used.
    """
    from genas.config import build_config
    from genas.pipeline import load_config, train_supernet_of

    named = {
        "data.name": data,
        "data.root": data_root,
        "space.name": space,
        "seed": seed,
        "device": device,
        "precision": precision,
    }
    layers = options.overrides(config, assignments, named)
    if run is not None and (run / "config.yaml").exists() and not layers and not as_published:
        settings = load_config(run)
    else:
        settings = build_config(layers, as_published=as_published)
    folder = run if run is not None else options.default_run(settings)
    checkpoint = train_supernet_of(settings, folder, quiet)
    print(json.dumps({"run": str(folder), "checkpoint": str(checkpoint)}, indent=2) if as_json else f"{checkpoint}")
