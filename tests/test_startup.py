"""What commands import: opening a session costs hardly more than torch itself."""

import subprocess
import sys

HEAVY = (
    "datasets",
    "matplotlib",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "tensorboard",
    "torchmetrics",
    "torchvision",
)

SCRIPT = """
import sys
import genas.workflows.evaluate, genas.workflows.landscape, genas.workflows.search, genas.workflows.rank, genas.workflows.retrain, genas.workflows.sweep
from genas.workflows.config import build_config
from genas.workflows.session import Session

assert Session(build_config()).splits.num_classes == 10
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_session_opens_without_what_it_does_not_use():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert set(HEAVY) & set(done.stdout.split()) == set()


def test_the_digits_are_those_of_scikit_learn():
    import torch
    from sklearn.datasets import load_digits

    from genas.data.digits import _read

    rows, digits = torch.tensor(_read()), load_digits()
    assert torch.equal(rows[:, :-1].reshape(-1, 8, 8).double(), torch.from_numpy(digits.images))
    assert torch.equal(rows[:, -1], torch.from_numpy(digits.target))
