#!/bin/sh
# Door of `bioacoustics pretrain`: the active Python environment, else the one that `make` sets up here, else python3.
python="$(dirname "$0")/../.venv/bin/python"
if [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]; then python=python; elif [ ! -x "$python" ]; then python=python3; fi
exec "$python" -m bioacoustics pretrain "$@"
