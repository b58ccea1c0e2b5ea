"""The tests of training share a small objective, which they also train as a program of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `import toy`: pytest leaves the path alone
