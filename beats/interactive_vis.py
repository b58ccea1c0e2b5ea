"""Door of `streamlit run beats/interactive_vis.py -- ...`: the same page as `bioacoustics explore ...`."""

from bioacoustics.cli.explore import main

if __name__ == "__main__":
    main()
