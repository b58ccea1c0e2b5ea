"""No recording on both sides, every class on both where it can be, the same split for the same seed."""

import csv
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioacoustics.data.labels import LabeledClip, LabelTable, read_labels
from bioacoustics.data.splits import (
    group_of,
    grouped_folds,
    groups_of,
    split_by_folds,
    split_groups,
    split_labels,
)


def table_of(tmp_path, rows, group_of_row=lambda row: ""):
    """A table of (filename, labels) without any files."""
    clips = tuple(
        LabeledClip(path=tmp_path / name, filename=name, labels=labels, row=row, group=group_of_row(row))
        for row, (name, labels) in enumerate(rows, start=2)
    )
    words = tuple(sorted({label for clip in clips for label in clip.labels}))
    return LabelTable(
        path=tmp_path / "labels.csv",
        audio_dir=tmp_path,
        clips=clips,
        vocabulary=words,
        multi_label=any(len(clip.labels) > 1 for clip in clips),
        warnings=(),
    )


@pytest.mark.parametrize(
    ("filename", "group"),
    [
        ("INCT17_20200211_041500_11_14.wav", "inct17_20200211041500"),
        ("site/INCT17_20200211_041500_14_17.wav", "inct17_20200211041500"),
        ("20210502_040000.WAV", "20210502040000"),
        ("SM4_20210502T040000Z_3.flac", "sm4_20210502040000"),
        ("rec 2021-05-02 04-00-10 clip 7.wav", "rec_20210502040010"),
        ("A2_202105020400_7.wav", "a2_202105020400"),
        ("female10_honeymoonbay_stbees_20081027_023000.flac", "stbees_20081027023000"),
        ("female2_honeymoonbay_stbees_20081027_023000.flac", "stbees_20081027023000"),
        ("frog_american_bullfrog_2_0.flac", "frog_american_bullfrog_2"),
        ("frog_american_bullfrog_2_0_v2.flac", "frog_american_bullfrog_2"),
        ("great_tit_2021_b32_0415_05_11.flac", "great_tit_2021_b32_0415"),
        ("1-19898-A-41.wav", "1-19898"),
        ("esc10_1-19898-B.flac", "esc10_1-19898"),
        ("xc192052.flac", "xc192052"),
        ("xc192052_clip12.flac", "xc192052"),
        ("rec12_0.0s_5.0s.wav", "rec12"),
        ("rec12 (1).wav", "rec12"),
        ("soundscape_night_01_w0.flac", "soundscape_night_01"),
        ("dog_17.wav", "dog_17"),
        ("north/rec1_2.wav", "north/rec1"),
        ("south\\rec1_3.wav", "south/rec1"),
        ("orca_1594154118.flac", "orca_1594154118"),
        ("barking", "barking"),
    ],
)
def test_group_of_knows_the_usual_names(filename, group):
    assert group_of(filename) == group


def test_group_of_agrees_with_the_known_recordings(shared):
    """Of clips that are known to be of one recording most stay together; few others are joined."""
    with (shared / "data" / "clips.csv").open(encoding="utf-8", newline="") as file:
        clips = [row for row in csv.DictReader(file) if row["path"].startswith("labeled/")]
    # One morning's currawongs were published as recordings of their own; the file names deny it.
    clips = [row for row in clips if "currawong" not in row["path"]]
    pairs = [(row["group"], group_of(row["path"])) for row in clips]
    same = joined = both = 0
    for (known, guess), (other_known, other_guess) in combinations(pairs, 2):
        same += known == other_known
        joined += guess == other_guess
        both += known == other_known and guess == other_guess
    assert both == joined, "nothing is joined that does not belong together"
    assert both / same > 0.8, "the rest cannot be seen in the names"


def test_groups_come_from_the_table_or_else_from_the_file(tmp_path):
    table = table_of(
        tmp_path,
        [("r1_1.wav", ("a",)), ("r1_2.wav", ("a",)), ("r2_1.wav", ("b",))],
        group_of_row=lambda row: "mine" if row == 4 else "",
    )
    assert groups_of(table) == ("r1", "r1", "mine")


labelled_groups = st.lists(
    st.tuples(st.integers(0, 12), st.sets(st.integers(0, 4), min_size=1, max_size=3)), min_size=2, max_size=60
)


@settings(max_examples=200, deadline=None)
@given(labelled_groups, st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.5]))
def test_any_split_keeps_groups_whole_and_classes_trainable(rows, seed, fraction):
    groups = [f"g{group}" for group, _ in rows]
    targets = np.zeros((len(rows), 5), dtype=np.float32)
    for row, (_, labels) in enumerate(rows):
        targets[row, list(labels)] = 1
    split = split_groups(groups, targets, valid_fraction=fraction, seed=seed)
    assert sorted(split.train + split.valid) == list(range(len(rows)))
    assert not {groups[i] for i in split.train} & {groups[i] for i in split.valid}
    present = targets.any(axis=0)
    assert (targets[list(split.train)].any(axis=0) == present).all(), "every class is trained"
    for column in np.flatnonzero(present):
        if len({groups[i] for i in np.flatnonzero(targets[:, column])}) == 1:
            assert not targets[list(split.valid), column].any()
    assert split == split_groups(groups, targets, valid_fraction=fraction, seed=seed)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 3))
def test_with_one_label_a_group_every_class_of_two_groups_is_on_both_sides(num_groups, seed):
    rng = np.random.default_rng(seed)
    groups, columns = [], []
    for column, count in enumerate(num_groups):
        for number in range(count):
            num_clips = int(rng.integers(1, 6))
            groups += [f"{column}-{number}"] * num_clips
            columns += [column] * num_clips
    targets = np.eye(len(num_groups), dtype=np.float32)[columns]
    split = split_groups(groups, targets, seed=seed)
    if len(set(groups)) > 1:
        in_valid = targets[list(split.valid)].any(axis=0)
        assert in_valid.tolist() == [count >= 2 for count in num_groups]


def test_shares_are_kept_when_groups_are_many():
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 5, 2000)
    groups = [f"{column}-{rng.integers(60)}" for column in columns]
    targets = np.eye(5, dtype=np.float32)[columns]
    split = split_groups(groups, targets, valid_fraction=0.2, seed=1)
    shares = targets[list(split.valid)].sum(axis=0) / targets.sum(axis=0)
    assert shares == pytest.approx(np.full(5, 0.2), abs=0.02)
    assert split != split_groups(groups, targets, valid_fraction=0.2, seed=2)


def test_without_labels_the_share_of_clips_is_kept():
    groups = [f"r{i // 3}" for i in range(300)]
    split = split_groups(groups, valid_fraction=0.1)
    assert len(split.valid) == pytest.approx(30, abs=3)


def test_no_validation_when_asked_or_impossible():
    groups = ["r1"] * 4
    assert split_groups(groups, valid_fraction=0.0).warnings == ()
    assert split_groups(["r1", "r2"], valid_fraction=0.0).valid == ()
    alone = split_groups(groups)
    assert alone.valid == ()
    assert "all 4 clips belong to one recording (r1)" in alone.warnings[0]
    with pytest.raises(ValueError, match=r"must be in \[0, 1\), got 1\.5"):
        split_groups(groups, valid_fraction=1.5)


def test_folds_hold_whole_groups_and_each_class():
    rng = np.random.default_rng(3)
    columns = np.repeat(np.arange(4), 50)
    groups = [f"{column}-{rng.integers(12)}" for column in columns]
    targets = np.eye(4, dtype=np.float32)[columns]
    folds = grouped_folds(groups, targets, num_folds=5, seed=0)
    assert set(folds) == set(range(5))
    fold_of = {}
    for group, fold in zip(groups, folds, strict=True):
        assert fold_of.setdefault(group, fold) == fold
    for fold in range(5):
        assert (targets[folds == fold].sum(axis=0) >= 5).all()
    with pytest.raises(ValueError, match="give 2 to 3 folds"):
        grouped_folds(["a", "b", "c"], None, num_folds=4)


def test_split_labels_warns_of_what_cannot_be_validated(tmp_path):
    rows = [(f"frog{r}_{c}.wav", ("frog",)) for r in range(5) for c in range(2)]
    rows += [("owl1_1.wav", ("owl",)), ("owl1_2.wav", ("owl",))]
    split = split_labels(table_of(tmp_path, rows))
    assert split.warnings == (
        f"{tmp_path / 'labels.csv'}: 1 of 2 labels: trained but not validated: owl; "
        "give them clips of more recordings",
    )
    # Where nobody asked for validation, that nothing is validated is no news.
    assert split_labels(table_of(tmp_path, rows), valid_fraction=0.0).warnings == ()


def test_split_labels_warns_when_names_tell_nothing(tmp_path):
    split = split_labels(table_of(tmp_path, [(f"dog_{i}.wav", ("dog",)) for i in range(10)]))
    assert len(split.valid) == 2
    assert "every clip counts as a recording of its own" in split.warnings[0]
    assert "add a column 'group'" in split.warnings[0]
    own = table_of(tmp_path, [(f"dog_{i}.wav", ("dog",)) for i in range(10)], group_of_row=str)
    assert split_labels(own).warnings == ()


def test_a_fold_file_is_followed(tmp_path):
    table = table_of(tmp_path, [(f"sub/c{i}.wav", (f"l{i % 2}",)) for i in range(4)])
    folds = tmp_path / "folds.csv"
    folds.write_text("filename;fold\nC0.wav;0\nsub\\c1.wav;1\nsub/c2.wav;1\nc3.wav;1\nextra.wav;0\n", "utf-8")
    split = split_by_folds(table, folds)
    assert split.valid == (0,)
    assert split.train == (1, 2, 3)
    assert split_by_folds(table, folds, valid_fold="1").valid == (1, 2, 3)
    assert any("validated but never trained, so never recognised: l1" in w
               for w in split_by_folds(table, folds, valid_fold="1").warnings)  # fmt: skip
    with pytest.raises(ValueError, match="no clip has fold '7'; its folds are 0, 1"):
        split_by_folds(table, folds, valid_fold="7")


def test_faults_of_a_fold_file_are_named(tmp_path):
    table = table_of(tmp_path, [("a.wav", ("x",)), ("b.wav", ("y",))])
    folds = tmp_path / "folds.csv"
    folds.write_text("file,fold\na.wav,0\n", "utf-8")
    with pytest.raises(ValueError, match="the columns are file, fold, but must be filename and fold"):
        split_by_folds(table, folds)
    folds.write_text("filename,fold\na.wav,0\n", "utf-8")
    with pytest.raises(ValueError, match=r"labels\.csv: row 3 'b\.wav': no fold in .*folds\.csv"):
        split_by_folds(table, folds)
    folds.write_text("filename,fold\na.wav,0\nb.wav,0\n", "utf-8")
    with pytest.raises(ValueError, match="every clip has fold '0'"):
        split_by_folds(table, folds)
    folds.write_text("filename,fold\na.wav,0\nb.wav,1\na.wav,1\n", "utf-8")
    with pytest.raises(ValueError, match=r"row 4 'a\.wav': a clip with two folds"):
        split_by_folds(table, folds)


def test_real_table_splits_well(shared):
    folder = shared / "data" / "labeled"
    table = read_labels(folder / "labels.csv", folder / "audio")
    split = split_labels(table)
    assert len(split.valid) / len(table.clips) == pytest.approx(0.2, abs=0.05)
    groups = groups_of(table)
    assert not {groups[i] for i in split.train} & {groups[i] for i in split.valid}
    targets = table.targets()
    num_groups = np.array([len({groups[i] for i in np.flatnonzero(column)}) for column in targets.T])
    assert (targets[list(split.valid)].any(axis=0) == (num_groups >= 2)).all()
    given = split_by_folds(table, folder / "folds.csv", valid_fold="3")
    assert len(given.valid) == 106
