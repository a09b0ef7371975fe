"""What was found in a data set, as one line and as a value for the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from genas.core.display import visible

BOTH_HALVES = "half each for supernet and scores, all for the final network"
SUPERNET = "trains the supernet and the final network"
SCORES = "scores architectures"
TEST = "test"
_MOST_NAMED = 5


@dataclass(frozen=True)
class SplitSummary:
    """One split.

    Args:
        name: in the files.
        images: how many.
        use: what it is used for.
    """

    name: str
    images: int
    use: str


@dataclass(frozen=True)
class DataSummary:
    """What was found in a data set.

    Args:
        name: of the data set.
        classes: number of classes.
        used_shape: channels, height and width of the images as they are used.
        splits: all splits in use.
        smallest: width and height of the image with the fewest pixels; None where files have no size of their own.
        largest: of the one with the most.
        looked_at: how many images `smallest` and `largest` come from; None for all.
        ignored: number of files and folders that were left out, by suffix or reason.
        notes: what a user should know before training, one sentence each.
    """

    name: str
    classes: int
    used_shape: tuple[int, int, int]
    splits: tuple[SplitSummary, ...]
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    looked_at: int | None = None
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """Number of images of all splits."""
        return sum(split.images for split in self.splits)

    def line(self) -> str:
        """All of it but the notes in one line without characters that do not print."""
        parts = [f"{self.images:,} images in {self.classes} classes, {self._sizes()}"]
        parts += [f"{split.name} {split.images:,} ({split.use})" for split in self.splits]
        if self.ignored:
            parts.append(f"ignored {listed(self.ignored)}")
        return shown(f"{self.name}: {'; '.join(parts)}.")

    def as_dict(self) -> dict[str, Any]:
        """The value as JSON can hold it."""
        return {
            "line": self.line(),
            "images": self.images,
            "sizes": None
            if self.smallest is None or self.largest is None
            else {"smallest": list(self.smallest), "largest": list(self.largest), "looked_at": self.looked_at},
            "splits": {split.name: {"images": split.images, "use": split.use} for split in self.splits},
            "ignored": dict(self.ignored),
            "notes": list(self.notes),
        }

    def _sizes(self) -> str:
        _, height, width = self.used_shape
        used = f"{width}x{height}"
        if self.smallest is None or self.largest is None:
            return f"{used} pixels"
        least, most = ("x".join(map(str, size)) for size in (self.smallest, self.largest))
        some = "" if self.looked_at is None else f" in a sample of {self.looked_at}"
        own = (least if least == most else f"{least} to {most}") + " pixels" + some
        return own if own == f"{used} pixels" else f"{own}, used at {used}"


def with_halves(summary: DataSummary, weights: int, validation: int, by: str) -> DataSummary:
    """The summary of a set whose train split is divided by a list, in place of what would score without one."""
    use = f"{weights:,} train the supernet, {validation:,} score architectures, by {by}"
    kept = [split for split in summary.splits if split.use != SCORES]
    splits = tuple(replace(split, use=use) if split.use in (SUPERNET, BOTH_HALVES) else split for split in kept)
    return replace(summary, splits=splits)


def listed(counts: Mapping[str, int]) -> str:
    """``3 .txt, 1 hidden``: the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{count:,} {name}" for name, count in ranked[:_MOST_NAMED])
    return text + (f" and {len(ranked) - _MOST_NAMED} other kinds" if len(ranked) > _MOST_NAMED else "")


def named(texts: Sequence[str], most: int = _MOST_NAMED) -> str:
    """The first texts of a list, and how many more there are."""
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def shown(text: str) -> str:
    """The text on one line, with what does not print written as an escape."""
    return visible(text, keep="")
