"""One of several processes that embed or predict together; it may kill itself after so many commits."""

import io
import json
import os
import signal
import sys

from rich.console import Console

from bioacoustics.workflows import traverse
from bioacoustics.workflows.embed import EmbedConfig, embed
from bioacoustics.workflows.predict import PredictConfig, predict
from bioacoustics.workflows.store_journal import StoreJournal
from bioacoustics.workflows.table_journal import TableJournal

traverse.ROWS_PER_COMMIT = 2


def end_after(num_commits: int) -> None:
    for journal in (TableJournal, StoreJournal):

        def commit(self, chunk, commit=journal.commit):  # type: ignore[no-untyped-def]
            nonlocal num_commits
            commit(self, chunk)
            num_commits -= 1
            if num_commits == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        journal.commit = commit  # type: ignore[method-assign]


def main() -> None:
    settings, doomed_rank, num_commits = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if os.environ["RANK"] == doomed_rank:
        end_after(num_commits)
    quiet = Console(file=io.StringIO())
    if "events" in settings:
        outcome = predict(PredictConfig.model_validate(settings), quiet)
    else:
        outcome = embed(EmbedConfig.model_validate(settings), quiet)
    assert os.environ["RANK"] == "0"  # the others have ended by now
    print([file.relative_path for file in outcome.unusable], sorted(outcome.files_with_findings))


if __name__ == "__main__":
    main()
