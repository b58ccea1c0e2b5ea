"""Memory: what a model freed is kept for its next layer instead of being given back to the system.

The C library of Linux returns every array above some MB at once, and the system clears the pages anew
before the next layer gets them: measured a tenth of the time of features and of a pre-training step.
"""

import ctypes
import sys

LARGEST_KEPT = 2**30  # bytes of one array
MOST_KEPT = 2**31 - 1  # bytes that lie free at the end of the heap; the largest that can be said
# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Ask the C library of this process; False where it has no such setting, as on macOS and Windows."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(set_option(_M_MMAP_THRESHOLD, LARGEST_KEPT) and set_option(_M_TRIM_THRESHOLD, MOST_KEPT))
