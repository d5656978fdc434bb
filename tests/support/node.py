"""Packages of Node, installed from its registry: nothing of them is kept with the project."""

import shutil
import subprocess
from pathlib import Path

import pytest

OPTIONS = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]


def installed(folder: Path, package: str) -> Path:
    """Install a package into a folder, or skip the test; return the folder of its modules."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip(f"node and npm are not here: {package} was not tested")
    command = [npm, "install", *OPTIONS, "--prefix", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install {package} here: it was not tested")
    return folder / "node_modules"
