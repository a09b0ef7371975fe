"""What data sets, scales and the published code change of the models' defaults; spaces: `genas.spaces.definition`.

The defaults of the settings models are the published ones, so that the scale ``paper`` changes nothing but what a data
set's preset changed before. ``quick`` and ``standard`` have no publication behind them: what they cost stands in
docs/scales.md.
"""

from typing import Any, Literal

Scale = Literal["quick", "standard", "paper"]
SCALES: tuple[Scale, ...] = ("quick", "standard", "paper")

DATA_PRESETS: dict[str, dict[str, Any]] = {
    # The demonstration: small enough for two minutes on two cores; no publication behind it.
    "digits": {
        "supernet": {"epochs": 30, "batch_size": 32, "learning_rate": 0.05},
        "proxy": {
            "batchnorm": {"images": 256},
            "evaluation": {"batch_size": 128},
            "flatness": {"sigmas": [0.005, 0.015, 0.03]},
        },
        "strategy": {"generations": 5, "population": 12, "parents": 4, "mutations": 6, "crossovers": 4},
        "retrain": {"epochs": 12, "batch_size": 32, "learning_rate": 0.05},
    },
}

SCALE_PRESETS: dict[Scale, dict[str, Any]] = {
    "quick": {
        # on 1,000 photographs a rate of 0.05 or 12 epochs leave the supernet at chance (docs/scales.md)
        "supernet": {"epochs": 40, "batch_size": 16, "learning_rate": 0.01},
        "proxy": {"batchnorm": {"images": 128}, "evaluation": {"images": 256}},
        "strategy": {"generations": 4, "population": 12, "parents": 4, "mutations": 6, "crossovers": 4},
        "retrain": {"epochs": 15, "batch_size": 32, "learning_rate": 0.05},
    },
    "standard": {
        "supernet": {"epochs": 150, "batch_size": 32, "learning_rate": 0.01},
        "proxy": {"batchnorm": {"images": 256}, "evaluation": {"images": 1024}},
        "strategy": {"generations": 8, "population": 24, "parents": 8, "mutations": 12, "crossovers": 8},
        "retrain": {"epochs": 100, "batch_size": 64, "learning_rate": 0.05},
    },
    # methods.md 4.2 to 4.4 and 2.1, in full, so that they win over a data set's preset too
    "paper": {
        "supernet": {"epochs": 250, "batch_size": 64, "learning_rate": 0.025},
        "proxy": {
            "batchnorm": {"images": 896},
            "evaluation": {"images": None, "batch_size": 64},
            "flatness": {"sigmas": [0.001, 0.003, 0.006]},
        },
        "strategy": {"generations": 20, "population": 50, "parents": 10, "mutations": 25, "crossovers": 25},
        "retrain": {"epochs": 600, "batch_size": 96, "learning_rate": 0.025},
    },
}

LEAST_SIDE = 8
"""What `data.image_size` takes; smaller images are enlarged, or refused where they show nothing."""
LARGE_SIDE = 64
"""From this side on, own images are large: they get the scale ``standard``, and a space may change its options."""

# methods.md 4.6 and 3, point by point; every entry is an option of its own (docs/as-published.md)
AS_PUBLISHED: dict[str, Any] = {
    "supernet": {"shifted_schedule": True, "unused_gradients": "zero"},  # T1, T6
    "strategy": {"budget": "exact", "breeding": "as-published"},  # 4.4
    "proxy": {
        "flatness": {"noise": "nominal-increments", "common_noise": False, "alpha": 1.0, "draws": 1},  # G4, G5, G6
        "angle": {"dil_shift": "scale"},  # G2
        "batchnorm": {"averaging": "momentum", "common_images": False},  # G3, T7; 4.3
        "evaluation": {"weighting": "batches", "batch_size": 64},  # G7
    },
}


def is_own(data: str) -> bool:
    """Whether a data set is images of the user's."""
    return data.startswith(("folder:", "parquet:"))


def default_scale(side: int | None) -> Scale | None:
    """The scale where none is asked for: ``standard`` for own images of at least `LARGE_SIDE` pixels.

    Args:
        side: of own images as they are stored; None for others. Small ones keep the published settings.
    """
    return "standard" if side is not None and side >= LARGE_SIDE else None
