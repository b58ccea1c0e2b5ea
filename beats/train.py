"""Door of `accelerate launch beats/train.py ...`: the same as `bioacoustics train ...`."""

from bioacoustics.cli.commands import main

if __name__ == "__main__":
    main("train")
