"""The fuzzers import one another by name, as they do when they are run as programs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
