"""Every computed point of a landscape, in one CSV file that grows line by line: what a resume continues from.

A line is on disk before the next point is begun. A kill in the middle of a line leaves a torn one, which is cut off at
the next opening. Coordinates are written so that they read back exactly.
"""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from genas.core.errors import RunError
from genas.core.run_folder import explain, write_atomically
from genas.proxies.scoring import LossAndAccuracy

COLUMNS = ("network", "data", "kind", "direction", "x", "y", "loss", "accuracy")


@dataclass(frozen=True)
class Place:
    """A point of a network's landscape.

    Args:
        kind: ``centre`` (the weights themselves), ``line``, ``plane`` or ``noise``.
        direction: number of the line's direction or of the draw of noise; 0 for the others.
        x: distance along the direction, or the strength of the noise; on a plane along direction 0.
        y: on a plane, the distance along direction 1; 0 for the others.
    """

    kind: str
    direction: int = 0
    x: float = 0.0
    y: float = 0.0


CENTRE = Place("centre")
Key = tuple[str, str, Place]  # network, data, place


class Points:
    """The open file; use it as a context manager.

    Args:
        path: ``points.csv``.

    Raises:
        RunError: the file is damaged or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[Key, LossAndAccuracy] = {}
        self._file: io.TextIOWrapper | None = None

    def __enter__(self) -> Self:
        if self.path.exists():
            self._read()
        else:
            write_atomically(self.path, (",".join(COLUMNS) + "\n").encode())
        try:
            self._file = self.path.open("a", encoding="utf-8", newline="")
        except OSError as error:
            raise explain(error, self.path) from error
        return self

    def _read(self) -> None:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            write_atomically(self.path, whole)
        try:
            reader = csv.reader(io.StringIO(whole.decode("utf-8")))
            if tuple(next(reader, ())) != COLUMNS:
                raise ValueError(f"its first line is not {','.join(COLUMNS)}")
            for network, data, kind, direction, x, y, loss, accuracy in reader:
                place = Place(kind, int(direction), float(x), float(y))
                self._known[network, data, place] = LossAndAccuracy(float(loss), float(accuracy))
        except (ValueError, csv.Error) as error:
            raise RunError(f"{self.path} is damaged ({error}); remove it, or choose another --name.") from error

    def get(self, network: str, data: str, place: Place) -> LossAndAccuracy | None:
        """What was computed at a place, or None."""
        return self._known.get((network, data, place))

    def __getitem__(self, key: Key) -> LossAndAccuracy:
        return self._known[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, network: str, data: str, place: Place, found: LossAndAccuracy) -> None:
        """Adds a point; a loss that is not finite counts as infinite.

        Raises:
            RunError: the file cannot be written.
        """
        assert self._file is not None
        loss = found.loss if math.isfinite(found.loss) else math.inf
        row = (network, data, place.kind, place.direction, repr(place.x), repr(place.y), repr(loss), found.accuracy)
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        try:
            self._file.write(line.getvalue())
            self._file.flush()
        except OSError as error:
            raise explain(error, self.path) from error
        self._known[network, data, place] = LossAndAccuracy(loss, found.accuracy)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
