"""What the tests share."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
REPORT = Path(__file__).with_name("report.json")
sys.path.insert(0, str(SCRIPTS))


def stand_in(folder, name, script):
    """Puts a program of that name first in the PATH of the environment that is returned."""
    program = Path(folder) / name
    program.write_text(f"#!/bin/bash\n{script}")
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def run(*command, env):
    """Runs one of the scripts."""
    return subprocess.run([str(part) for part in command], env=env, text=True, capture_output=True, check=False)


def outputs(file):
    """What a step has put out."""
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
