"""The schema: the tables of a store and what their columns mean."""

import pyarrow as pa

SCHEMA_VERSION = 3  # a change of these tables raises it and adds a step to migration.py

# What every row says about where its sound is; the three fingerprints tell which results may stand together.
PLACE = (
    ("id", pa.string()),  # recording, channel and number of the window
    ("recording", pa.string()),  # id in the table of recordings
    ("file", pa.string()),  # as the recording is named below the folder that was heard
    ("site", pa.string()),  # empty where nobody said
    ("channel", pa.string()),  # a number from 0, mix or loudest
    ("start_s", pa.float64()),  # true seconds from the start of the recording
    ("end_s", pa.float64()),
    ("start_time", pa.string()),  # ISO 8601, with the zone where it is known; empty where no time is known
    ("time_source", pa.string()),  # header, guano, name, or as a guess file_time; empty in old rows
    ("start_utc", pa.timestamp("us", tz="UTC")),  # null where no zone is known
    ("second_of_day", pa.int32()),  # by the recorder's clock; null where the time is a guess
    ("findings", pa.string()),  # what was noticed, such as "clipped dc"
    ("model", pa.string()),  # fingerprints
    ("front_end", pa.string()),
    ("audio", pa.string()),
)

RECORDINGS = pa.schema(
    [
        ("id", pa.string()),  # of name and content
        ("file", pa.string()),
        ("path", pa.string()),  # where it was found when it was last heard
        ("site", pa.string()),
        ("start_time", pa.string()),
        ("duration_s", pa.float64()),
        ("sample_rate_hz", pa.int32()),
        ("num_channels", pa.int32()),
        ("audio", pa.string()),
    ]
)

PROGRESS = pa.schema(
    [
        ("id", pa.string()),  # recording, channel and run
        ("recording", pa.string()),
        ("file", pa.string()),
        ("channel", pa.string()),
        ("run", pa.string()),  # a key in the table `about`
        ("status", pa.string()),  # "done" or "unusable"
        ("reason", pa.string()),  # why it is unusable
        ("findings", pa.string()),
    ]
)

LABELS = pa.schema(
    [
        ("id", pa.string()),  # window, label and who
        ("window", pa.string()),
        ("file", pa.string()),
        ("channel", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("label", pa.string()),
        ("is_present", pa.bool_()),  # false says that the label was looked for and is not there
        ("who", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
    ]
)

SCORES = pa.schema(
    [
        *PLACE,
        ("predicted", pa.string()),
        ("probability", pa.float32()),
        ("scores", pa.list_(pa.float32())),  # one for each label of the model, which `about` lists
    ]
)

# Where in a window its likeliest labels were heard, only for windows in which one stands out; the grid of the
# patches is in `about`, with the run.
PATCH_SCORES = pa.schema(
    [
        ("id", pa.string()),  # of the window, as in `scores`
        ("recording", pa.string()),
        ("channel", pa.string()),
        ("start_s", pa.float64()),
        ("model", pa.string()),
        ("kept", pa.list_(pa.int32())),  # numbers of the labels; -1 where fewer stand out
        ("patches", pa.list_(pa.float16())),  # label by label, column by column, from the lowest band
    ]
)

ABOUT = pa.schema([("key", pa.string()), ("value", pa.string())])  # values are JSON


def windows_schema(dim: int) -> pa.Schema:
    """Windows with their embeddings, in half precision: cosines keep three digits, the disk half its room."""
    return pa.schema([*PLACE, ("vector", pa.list_(pa.float16(), dim))])


FIXED_SCHEMAS = {
    "about": ABOUT,
    "recordings": RECORDINGS,
    "progress": PROGRESS,
    "labels": LABELS,
    "scores": SCORES,
    "patch_scores": PATCH_SCORES,
}
# Where filters look; LanceDB finds a recording among a million windows in milliseconds with them.
INDEXED = {
    "windows": ("id", "recording", "start_utc", "second_of_day", "site"),
    "scores": ("id", "recording", "start_utc"),
    "patch_scores": ("id", "recording"),
    "progress": ("id",),
    "recordings": ("id",),
    "labels": ("window",),
}
