"""Whether random architectures are trained beside the best one; no torch needed."""

import re

from pydantic import Field, field_validator

from genas.core.settings import Settings


class BaselineSettings(Settings):
    """Random architectures that are trained as the best one is, to compare with."""

    choice: str = "auto"
    """Train random architectures as the best one is, to see whether the search was worth anything: random:3 (any
    number), none, or auto: three where that takes at most 90 seconds or a tenth of the time so far."""
    equal_macs: float | None = Field(None, gt=0, le=1)
    """Only random architectures whose MACs differ from those of the best by at most that much, such as 10%; None for
    any MACs. As a share: 0.1."""

    @field_validator("choice")
    @classmethod
    def _known(cls, value: str) -> str:
        if not re.fullmatch(r"auto|none|random:([1-9]|[1-4][0-9]|50)", value):
            raise ValueError("expected auto, none or random:N with N from 1 to 50, such as random:3")
        return value

    @property
    def count(self) -> int | None:
        """How many; None where time decides."""
        return {"auto": None, "none": 0}.get(self.choice, int(self.choice.partition(":")[2] or 0))
