"""How the architecture found is trained from scratch."""

from pydantic import Field

from genas.settings import Settings


class RetrainSettings(Settings):
    """The short retraining that ends a search. Defaults other than `epochs`: DARTS on CIFAR-10 (methods.md 2.3)."""

    epochs: int = Field(20, ge=1)
    """Epochs over the whole training set. 20 is a short check of the result; publications use 600."""
    batch_size: int = Field(96, ge=2)
    """Pictures per batch (2.3: 96)."""
    learning_rate: float = Field(0.025, gt=0)
    """First learning rate of the cosine (2.3: 0.025)."""
    final_learning_rate: float = Field(0.0, ge=0)
    """What the cosine falls to (2.3: 0)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD momentum (2.3: 0.9)."""
    weight_decay: float = Field(3e-4, ge=0)
    """Decay of all parameters (2.3: 3e-4)."""
    clip: float | None = Field(5.0, gt=0)
    """Greatest gradient norm (2.3: 5)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Label smoothing (2.3: none on CIFAR)."""
    cutout: int = Field(0, ge=0)
    """Side of the square that cutout erases, in pixels; 0 for none (2.3: 16, at 600 epochs)."""
    cells: int | None = Field(None, ge=1)
    """Cells of the network (per stage in NAS-Bench-201); None as in the supernet."""
    channels: int | None = Field(None, ge=1)
    """First width of the network; None as in the supernet."""
    checkpoint_seconds: float = Field(300.0, gt=0)
    """Least seconds between two checkpoints inside an epoch."""
