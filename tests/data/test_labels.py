"""labels.csv: what is right is read, what is doubtful is warned of, what is wrong names row and remedy."""

import unicodedata

import numpy as np
import pytest

from bioacoustics.data.labels import read_labels

CLIPS = ("a.wav", "b.wav", "c.wav", "d.wav")


@pytest.fixture
def read(tmp_path):
    """Read a table of this text beside four clips."""
    audio_dir = tmp_path / "audio"
    audio_dir.mkdir()
    for name in CLIPS:
        (audio_dir / name).write_bytes(b"RIFF")

    def read_text(text, **options):
        (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
        return read_labels(tmp_path / "labels.csv", audio_dir, **options)

    return read_text


def test_one_label_a_clip(read, tmp_path):
    table = read("filename,labels\na.wav,owl\nb.wav,frog\nc.wav,owl\nd.wav,frog\n")
    assert table.vocabulary == ("frog", "owl")
    assert not table.multi_label
    assert table.warnings == ()
    assert [clip.row for clip in table.clips] == [2, 3, 4, 5]
    assert table.clips[0].path == tmp_path / "audio" / "a.wav"
    assert table.targets().dtype == np.float32
    assert table.targets().tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]


def test_several_labels_a_clip(read):
    table = read('filename,labels\na.wav,"owl, frog,owl"\nb.wav,frog\nc.wav,owl\n')
    assert table.multi_label
    assert table.clips[0].labels == ("frog", "owl")
    assert table.targets().tolist() == [[1, 1], [1, 0], [0, 1]]


def test_semicolon_tables_need_no_quotes(read):
    table = read("filename;labels\na.wav;owl,frog\nb.wav;frog\nc.wav;owl\n")
    assert table.clips[0].labels == ("frog", "owl")
    assert table.warnings == ()


def test_the_column_may_be_called_label(read):
    assert read("Filename,Label\na.wav,owl\nb.wav,owl\n").vocabulary == ("owl",)


def test_one_label_a_clip_may_be_read_for_a_multi_label_model(read):
    assert read("filename,labels\na.wav,owl\nb.wav,owl\n", multi_label=True).multi_label


@pytest.mark.parametrize("header", ["file,labels", "filename,species", "a.wav,owl", "filename,label,labels"])
def test_wrong_columns_are_an_error(read, header):
    with pytest.raises(ValueError, match=r"labels\.csv, row 1: .*write 'filename,labels' as the first line"):
        read(f"{header}\na.wav,owl\n")


def test_unknown_columns_are_a_warning_that_tells_of_groups(read):
    table = read("filename,labels,speaker\na.wav,owl,1\nb.wav,owl,2\n")
    (warning,) = table.warnings
    assert "row 1: nothing reads the column speaker" in warning
    assert "name that column 'group'" in warning


def test_group_site_and_day_are_kept_in_that_order_of_preference(read):
    table = read("filename,labels,site,group,day\na.wav,owl,s1,g1,d1\nb.wav,owl,s1,,d1\n")
    assert [clip.group for clip in table.clips] == ["g1", ""]
    assert read("filename,labels,day,site\na.wav,owl,d1,s1\nb.wav,owl,d1,s2\n").clips[1].group == "s2"
    assert table.warnings == ()


def test_missing_files_are_skipped_counted_and_named(read):
    table = read("filename,labels\na.wav,owl\nx.wav,owl\nb.wav,owl\ny.wav,frog\n")
    assert len(table.clips) == 2
    assert table.vocabulary == ("owl",)
    (warning,) = table.warnings
    assert "row 3 'x.wav', row 5 'y.wav'" in warning
    assert "copy the file there or correct the name" in warning


def test_nothing_but_missing_files_is_an_error(read):
    with pytest.raises(FileNotFoundError, match=r"(?s)none of its 2 rows .*right folder.*row 2 'x\.wav'"):
        read("filename,labels\nx.wav,owl\ny.wav,owl\n")


def test_missing_table_folder_and_rows_are_errors(read, tmp_path):
    with pytest.raises(ValueError, match="has a header but no rows"):
        read("filename,labels\n")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_labels(tmp_path / "labels.csv", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_labels(tmp_path / "nothing.csv", tmp_path / "audio")


def test_rows_without_label_or_name_are_skipped_with_a_warning(read):
    table = read('filename,labels\na.wav,\nb.wav,owl\nc.wav,owl\nd.wav," , "\n,owl\n')
    assert [clip.filename for clip in table.clips] == ["b.wav", "c.wav"]
    no_label, no_name = table.warnings
    assert "row 2 'a.wav', row 5 'd.wav': no label" in no_label
    assert "row 6: no file name" in no_name


def test_equal_duplicates_are_merged_with_a_warning(read):
    table = read("filename,labels\na.wav,owl\nb.wav,owl\na.wav,owl\n")
    assert [clip.row for clip in table.clips] == [2, 3]
    assert "row 4 and row 2 'a.wav': the same file twice" in table.warnings[0]


def test_duplicates_by_another_spelling_of_the_file_are_seen(read):
    table = read("filename,labels\na.wav,owl\nb.wav,owl\nA,owl\n")
    assert len(table.clips) == 2
    assert any("the same file twice" in warning for warning in table.warnings)


def test_conflicting_duplicates_are_an_error_that_names_both_rows(read):
    with pytest.raises(ValueError, match=r"row 4 and row 2 'a\.wav' \(frog, owl\): .*keep one row"):
        read("filename,labels\na.wav,owl\nb.wav,owl\na.wav,frog\n")


def test_with_several_labels_allowed_duplicates_add_up(read):
    table = read('filename,labels\na.wav,owl\nb.wav,"frog,owl"\na.wav,frog\na.wav,fox\nc.wav,fox\n')
    assert table.clips[0].labels == ("fox", "frog", "owl")
    assert "all of them are used" in table.warnings[0]


def test_several_labels_are_an_error_for_a_single_label_model(read):
    with pytest.raises(ValueError, match=r"row 3 \(frog, owl\): several labels"):
        read('filename,labels\na.wav,owl\nb.wav,"owl,frog"\n', multi_label=False)


def test_a_label_that_occurs_once_is_a_warning_with_its_row(read):
    table = read("filename,labels\na.wav,owl\nb.wav,frog\nc.wav,owl\n")
    (warning,) = table.warnings
    assert "row 3 'frog': a label of one clip" in warning


def test_spaces_quotes_and_unicode_forms_do_not_make_new_labels(read):
    decomposed = unicodedata.normalize("NFD", "ñandú común")
    table = read(f"filename,labels\n a.wav , ñandú  común \n'b.wav',{decomposed}\nc.wav,\"'ñandú común'\"\n")
    assert table.vocabulary == ("ñandú común",)
    assert len(table.clips) == 3
    assert table.warnings == ()


def test_labels_in_two_spellings_are_a_warning(read):
    table = read("filename,labels\na.wav,Tree frog\nb.wav,Tree frog\nc.wav,tree_frog\nd.wav,tree_frog\n")
    (warning,) = table.warnings
    assert "'Tree frog' (row 2, 2 clips), 'tree_frog' (row 4, 2 clips)" in warning
    assert len(table.vocabulary) == 2


def test_labels_with_another_separator_are_a_warning(read):
    table = read("filename,labels\na.wav,owl;frog\nb.wav,owl;frog\n")
    assert table.vocabulary == ("owl;frog",)
    assert "row 2 'owl;frog', row 3 'owl;frog': labels are separated by commas" in table.warnings[0]


def test_num_classes_is_checked(read):
    text = "filename,labels\na.wav,owl\nb.wav,frog\nc.wav,owl\nd.wav,frog\n"
    assert len(read(text, num_classes=2).vocabulary) == 2
    with pytest.raises(
        ValueError, match=r"--num_classes is 10, but .*labels\.csv has 2 labels \(frog, owl\)"
    ):
        read(text, num_classes=10)
    with pytest.raises(ValueError, match="--num_classes is 2, but the model has 3 labels"):
        read(text, num_classes=2, vocabulary=("owl", "frog", "fox"))


def test_a_given_vocabulary_keeps_its_order_and_refuses_other_labels(read):
    table = read("filename,labels\na.wav,owl\nb.wav,owl\n", vocabulary=("owl", "fox", "frog"))
    assert table.vocabulary == ("owl", "fox", "frog")
    assert table.targets().tolist() == [[1, 0, 0], [1, 0, 0]]
    with pytest.raises(
        ValueError, match=r"row 3 'bat': labels that the model does not know; it knows owl, fox"
    ):
        read("filename,labels\na.wav,owl\nb.wav,bat\n", vocabulary=("owl", "fox"))


def test_real_tables(shared):
    folder = shared / "data" / "labeled"
    single = read_labels(folder / "labels.csv", folder / "audio", num_classes=55)
    assert len(single.clips) == 626
    assert not single.multi_label
    assert single.warnings == ()
    several = read_labels(folder / "labels_taxa.csv", folder / "audio")
    assert len(several.clips) == 626
    assert several.multi_label
    assert {"bird", "animal", "great_argus"} <= set(several.vocabulary)
    assert several.targets().sum() > 626
