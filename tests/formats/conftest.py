"""The tests of formats share a few events."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `import some_events`: pytest leaves the path alone
