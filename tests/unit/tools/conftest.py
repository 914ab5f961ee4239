"""Lets tests import the scripts in ``tools/``, which find each other only when one of them is run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "tools"))
