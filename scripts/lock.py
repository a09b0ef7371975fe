"""Prints the installed versions as ``requirements.lock``: GPU libraries, which come with torch, on Linux only."""

import importlib.metadata
import re

GPU = re.compile(r"(nvidia-|cuda-|triton$)")
SKIP = {"genas", "pip", "setuptools"}

print(
    "# Exact versions of everything `make` installs; made by `make lock`. GPU libraries come with torch on Linux only."
)
found = {item.metadata["Name"].lower().replace("_", "-"): item.version for item in importlib.metadata.distributions()}
for name, version in sorted(found.items()):
    if name not in SKIP:
        marker = ' ; platform_system == "Linux" and platform_machine == "x86_64"' if GPU.match(name) else ""
        print(f"{name}=={version}{marker}")
