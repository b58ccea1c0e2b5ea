"""Pictures show the numbers they were given, in sizes one can read, whatever the labels look like."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.metrics import precision_recall_curve

from bioacoustics.formats import pictures
from bioacoustics.formats.pictures import (
    confusion_matrix,
    loss_curves,
    per_class_bars,
    precision_recall,
    spectrograms,
    write_picture,
)

AWKWARD = ["$a$ ^ {", "_hidden", "Ñandú común", "x" * 80, "<b>"]
BLUE = np.array([0x00, 0x72, 0xB2]) / 255


def pixels(png):
    return imread(BytesIO(png))[..., :3]


def share_of_colour(png, colour, tolerance=0.02):
    return (np.abs(pixels(png) - colour).max(axis=-1) < tolerance).mean()


def rows_of(num_updates=200):
    rows = [
        {"update": u, "loss": 2 - u / 200, "frame_loss": 1.0, "learning_rate": 1e-4, "target_std": 0.5}
        for u in range(num_updates)
    ]
    return [*rows, {"update": num_updates, "valid_loss": 1.0, "valid_accuracy": 0.7}]


def test_loss_curves_grow_with_what_there_is_to_show():
    everything = pixels(loss_curves(rows_of()))
    only_loss = pixels(loss_curves([{"update": 1, "loss": 2.0}, {"update": 2, "loss": 1.0}]))
    assert everything.shape[0] > 1.5 * only_loss.shape[0], "two rows of panels"
    assert everything.shape[1] > only_loss.shape[1]


def test_loss_curves_draw_the_line_of_the_loss():
    falling = loss_curves([{"update": u, "loss": 10.0 - u} for u in range(11)])
    rows, columns = np.nonzero(np.abs(pixels(falling) - BLUE).max(axis=-1) < 0.02)
    assert np.corrcoef(rows, columns)[0, 1] > 0.99, "a line from top left to bottom right"


@pytest.mark.parametrize("language", ["en", "es"])
def test_loss_curves_survive_nothing_one_row_and_nan(language):
    for rows in (
        [],
        [{"update": 1, "loss": 2.0}],
        [{"update": u, "loss": float("nan")} for u in range(60)],
        [{"update": u, "loss": float("nan") if u % 7 else 1.0} for u in range(100)],
    ):
        assert loss_curves(rows, language=language).startswith(b"\x89PNG")


def test_smoothing_equals_the_obvious_mean():
    values = np.random.default_rng(0).normal(size=130)
    values[[3, 4, 50]] = np.nan
    values[77] = np.inf
    half = 130 // 50
    expected = []
    for i in range(130):
        window = values[max(i - half, 0) : i + half + 1]
        expected.append(window[np.isfinite(window)].mean())
    assert pictures._smooth(values) == pytest.approx(np.array(expected))
    assert np.isnan(pictures._smooth(np.full(60, np.nan))).all()


def test_spectrograms_put_high_frequencies_on_top_and_time_to_the_right():
    log_mel = np.zeros((100, 64), dtype=np.float32)
    log_mel[50:, 48:] = 5.0  # late and high
    picture = pixels(spectrograms([log_mel], ["late and high"]))
    is_bright = (picture[..., 0] > 0.9) & (picture[..., 2] < 0.85) & (picture[..., 1] > 0.8)
    rows, columns = np.nonzero(is_bright)
    assert rows.mean() < 0.4 * picture.shape[0]
    assert columns.mean() > 0.6 * picture.shape[1]


def test_spectrograms_come_in_rows_of_three_with_awkward_titles():
    log_mels = [np.random.default_rng(i).normal(size=(40 + i, 32)).astype(np.float32) for i in range(5)]
    five = pixels(spectrograms(log_mels, AWKWARD, frame_shift_s=0.02, high_hz=96000.0, language="es"))
    one = pixels(spectrograms(log_mels[:1], AWKWARD[:1]))
    assert five.shape[1] > 2.5 * one.shape[1]
    assert spectrograms([], []).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="zip"):
        spectrograms(log_mels, ["one title only"])


def test_mel_ticks_lie_where_the_filters_lie():
    # 1000 Hz is 1000 mel by the definition of the scale.
    assert pictures._mel(1000.0) == pytest.approx(1000, abs=0.2)


@pytest.mark.parametrize("num_classes", [1, 5, 60])
def test_confusion_matrices_of_any_size(num_classes):
    counts = np.eye(num_classes, dtype=np.int64) * 7
    labels = (AWKWARD * 12)[:num_classes]
    png = confusion_matrix(counts, labels)
    picture = pixels(png)
    assert picture.shape[0] >= 144 * min(2.5 + 0.36 * num_classes, 22) - 2
    dark_blue = np.array([8, 48, 107]) / 255  # the top of the colour scale: all clips of a label
    assert share_of_colour(png, dark_blue) > 0.002


def test_confusion_matrix_takes_labels_without_clips():
    assert confusion_matrix(np.zeros((3, 3), dtype=np.int64), ["a", "b", "c"]).startswith(b"\x89PNG")


def test_mean_precision_equals_the_obvious_one():
    rng = np.random.default_rng(1)
    targets = (rng.random((80, 3)) < 0.3).astype(np.float64)
    scores = targets + rng.normal(0, 0.7, (80, 3))
    grid = np.linspace(0, 1, 21)
    expected = []
    for recall in grid:
        curves = [precision_recall_curve(targets[:, column], scores[:, column]) for column in range(3)]
        expected.append(np.mean([curve[0][curve[1] >= recall].max() for curve in curves]))
    classes = list(zip(targets.T, scores.T, strict=True))
    assert pictures._mean_precision(classes, grid) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("num_classes", [1, 6, 40])
def test_precision_recall_of_few_and_many_classes(num_classes):
    rng = np.random.default_rng(1)
    targets = (rng.random((200, num_classes)) < 0.2).astype(np.float32)
    targets[:, 0] = 0  # a class that is never present is left out
    scores = rng.random((200, num_classes)).astype(np.float32)
    labels = (AWKWARD * 8)[:num_classes]
    assert precision_recall(targets, scores, labels, language="es").startswith(b"\x89PNG")


def test_bars_are_as_long_as_their_values():
    full = per_class_bars(["a", "b"], np.array([1.0, 1.0]), name="recall")
    half = per_class_bars(["a", "b"], np.array([0.5, 0.5]), name="recall")
    assert share_of_colour(half, BLUE) / share_of_colour(full, BLUE) == pytest.approx(0.5, abs=0.02)


def test_bars_grow_with_the_classes_and_show_nan_last():
    values = np.array([0.3, np.nan, 0.9, 1.0, 0.0])
    few = pixels(per_class_bars(AWKWARD, values, name="average_precision", num_clips=np.arange(5)))
    many = pixels(per_class_bars(AWKWARD * 11, np.tile(values, 11), name="recall"))
    assert many.shape[0] > 5 * few.shape[0]
    rows, _ = np.nonzero(np.abs(few - BLUE).max(axis=-1) < 0.02)
    assert rows.min() < 0.2 * few.shape[0], "the best class is on top"


def test_a_picture_is_written_whole(tmp_path):
    path = tmp_path / "run" / "loss.png"
    png = loss_curves(rows_of(20))
    write_picture(png, path)
    assert path.read_bytes() == png
    assert [entry.name for entry in path.parent.iterdir()] == ["loss.png"]
