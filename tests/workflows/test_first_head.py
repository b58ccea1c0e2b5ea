"""What a new head begins as, against scikit-learn's regression."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig, whitening_of
from bioacoustics.objectives.classification import Classification, ClassificationConfig
from bioacoustics.workflows.first_head import MOST_CLIPS, begin_head, some_of

NUM_CLIPS, NUM_VIEWS, DIM = 60, 3, 8


def objective(config: HeadConfig, *, multi_label: bool) -> Classification:
    torch.manual_seed(0)
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(EATConfig(embed_dim=DIM, depth=1, num_heads=1)))
    labels = ("a", "b", "c")[: config.num_classes]
    classifier = AudioClassifier(encoder, ClassificationHead(config, DIM), labels, multi_label=multi_label)
    return Classification(classifier, ClassificationConfig(), seed=0)


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Views of clips of three classes that overlap, and their targets."""
    generator = torch.Generator().manual_seed(1)
    targets = torch.eye(3)[torch.arange(NUM_CLIPS) % 3]
    middles = targets @ torch.randn(3, DIM, generator=generator)
    apart = torch.randn(NUM_CLIPS, NUM_VIEWS, DIM, generator=generator) * torch.logspace(0, -1, DIM)
    return middles[:, None] + torch.randn(NUM_CLIPS, 1, DIM, generator=generator) + apart, targets


def inputs_of(head: ClassificationHead, views: torch.Tensor) -> np.ndarray:
    """What the regression of `begin_head` sees, one row a view."""
    with torch.no_grad():
        seen = head.represent(views)
        weight, bias = whitening_of(seen)
        return (seen @ weight + bias).flatten(0, 1).numpy()


@pytest.mark.parametrize("layers", [{}, {"whitens": True, "refines": True}])
def test_a_head_begins_as_a_logistic_regression(layers: dict[str, bool]) -> None:
    config = HeadConfig(num_classes=3, prediction_mode="MEAN_POOLING", **layers)
    learner, (views, targets) = objective(config, multi_label=False), clips()
    begin_head(learner, views, targets)
    head = learner.classifier.head
    rows, labels = inputs_of(head, views), targets.argmax(dim=1).repeat_interleave(NUM_VIEWS).numpy()
    weights = np.full(len(rows), 1 / NUM_VIEWS)
    expected = LogisticRegression(max_iter=1000, tol=1e-8).fit(rows, labels, sample_weight=weights)
    with torch.no_grad():
        said = head.head(head.represent(views)).flatten(0, 1).softmax(dim=1).numpy()
    np.testing.assert_allclose(said, expected.predict_proba(rows), atol=2e-3)


def test_what_is_not_known_or_not_heard_does_not_count() -> None:
    config = HeadConfig(num_classes=2, prediction_mode="MEAN_POOLING")
    learner, (views, targets) = objective(config, multi_label=True), clips()
    targets = targets[:, :2].clone()
    targets[: NUM_CLIPS // 2, 1] = torch.nan
    broken = torch.full_like(views[:1], torch.nan)
    begin_head(learner, torch.cat([views, broken]), torch.cat([targets, targets[:1]]))
    head = learner.classifier.head
    rows = inputs_of(head, views)
    with torch.no_grad():
        said = head.head(head.represent(views)).flatten(0, 1).sigmoid().numpy()
    for label in range(2):
        truth = targets[:, label].repeat_interleave(NUM_VIEWS).numpy()
        known = np.isfinite(truth)
        weights = np.full(known.sum(), 1 / NUM_VIEWS)
        expected = LogisticRegression(max_iter=1000, tol=1e-8).fit(
            rows[known], truth[known], sample_weight=weights
        )
        np.testing.assert_allclose(said[:, label], expected.predict_proba(rows)[:, 1], atol=2e-3)


def test_of_many_clips_some_are_heard() -> None:
    assert some_of(5, 0) == [0, 1, 2, 3, 4]
    drawn = some_of(10 * MOST_CLIPS, 0)
    assert len(set(drawn)) == MOST_CLIPS and drawn == sorted(drawn) and drawn != some_of(10 * MOST_CLIPS, 1)
