"""`python -m bioacoustics`: the same as the `bioacoustics` command."""

from bioacoustics.cli.commands import main

if __name__ == "__main__":
    main()
