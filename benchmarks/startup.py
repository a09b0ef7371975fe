"""CPU seconds that it takes to import genas and open a session: ``python benchmarks/startup.py``."""

import resource
import statistics
import subprocess
import sys

COMMANDS = {
    "import torch": "import torch",
    "open a session (digits, darts)": (
        "import genas.workflows.search; from genas.workflows.config import build_config; "
        "from genas.workflows.session import Session; "
        "Session(build_config()).splits"
    ),
}


def seconds(script: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", script], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


for name, script in COMMANDS.items():
    print(f"{name}: {statistics.median(seconds(script) for _ in range(5)):.2f} s CPU")
