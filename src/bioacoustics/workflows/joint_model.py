"""Joint model: the encoder, the classifier and the objective that `train` works on."""

from collections.abc import Mapping

import torch
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.beats import BEATsConfig
from bioacoustics.models.eat import EATConfig
from bioacoustics.models.encoders import EncoderConfig, architecture_of, encoder_of
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import Bundle, build_encoder, read_bundle
from bioacoustics.objectives.classification import Classification, ClassificationConfig
from bioacoustics.objectives.contrastive import Contrastive, ContrastiveConfig
from bioacoustics.objectives.joint import Joint, JointConfig
from bioacoustics.objectives.objective import Objective
from bioacoustics.workflows.self_supervision import self_supervision, weight_of_window
from bioacoustics.workflows.train_flags import TrainConfig
from bioacoustics.workflows.training_data import TrainingData

HEAD_DIM = 64  # of an attention head, as in all published sizes
LARGEST_BANK = 4096
WARMUP_SHARE = 0.1  # of the updates, before negatives are weighted and dropped by similarity


class Learning:
    """What `train` trains: an encoder and what its flags and data put around it.

    Args:
        config: The flags.
        data: What there is to learn from.
        console: Where to say what a checkpoint lacks.
    """

    def __init__(self, config: TrainConfig, data: TrainingData, console: Console) -> None:
        torch.manual_seed(config.seed)
        self.config, self.data = config, data
        self.augment = JointConfig().augment
        self.bundle = None if config.model_path is None else read_bundle(config.model_path)
        self.encoder = _encoder(config, self.bundle)
        size = self.encoder.config.patch_size
        frames = config.segment_duration * 1000 / self.encoder.front_end.config.frame_shift_ms
        self.target_length = max(size, -int(-frames // size) * size)  # whole patches, no less than asked for
        self.classifier = _classifier(config, data, self.encoder, self.target_length)
        self.classification: Classification | None = None
        if self.classifier is not None:
            self.classification = Classification(
                self.classifier,
                ClassificationConfig(freezes_encoder=config.freeze_encoder),
                seed=config.seed,
            )
        self.self_supervised: Objective | None = None
        if data.unlabeled is not None:
            self.self_supervised = self_supervision(
                config, self.encoder, self.bundle, data.unlabeled[0], self.target_length, console
            )

    @property
    def window_s(self) -> float:
        """Length of a window, such that nothing is to be padded."""
        front_end = self.encoder.front_end.config
        return front_end.num_samples(self.target_length) / front_end.sample_rate_hz

    def objective(self, num_rows: Mapping[str, int], num_updates: int) -> Joint:
        """The objective of a run with so many rows of each source in an update."""
        config = self.config
        joint = JointConfig(
            self_supervised_weight=config.self_supervised_weight,
            supervised_weight=config.supervised_weight if self.data.unlabeled or self.data.examples else 1.0,
            detector_weight=config.detector_weight,
            contrastive_weight=config.contrastive_weight,
            has_cached_features=config.freeze_encoder,
        )
        contrastive = None
        if self.data.examples is not None and config.contrastive_weight > 0:
            assert self.classifier is not None
            contrastive = Contrastive(
                None if config.freeze_encoder else self.encoder,
                self.classifier.head,
                _contrastive_config(config, len(self.data.examples.split.train), num_updates),
            )
        return Joint(
            joint,
            num_rows,
            self_supervised=self.self_supervised,
            weight_of_window=weight_of_window(self.self_supervised, self.target_length),
            classification=self.classification,
            contrastive=contrastive,
            seed=config.seed,
        )


def _encoder(config: TrainConfig, bundle: Bundle | None) -> AudioEncoder:
    if bundle is not None:
        found = bundle.header.architecture
        if config.model is not None and config.model != found:
            raise ValueError(
                f"--model is {config.model}, but {config.model_path} is of {found}: leave out --model"
            )
        return build_encoder(bundle)
    embed_dim, depth = config.encoder_embed_dim or 768, config.encoder_layers or 12
    num_heads = max(1, embed_dim // HEAD_DIM)
    shape: EncoderConfig
    if config.model == "eat":
        shape = EATConfig(embed_dim=embed_dim, depth=depth, num_heads=num_heads)
    else:
        shape = BEATsConfig(
            embed_dim=embed_dim,
            hidden_dim=4 * embed_dim,
            patch_dim=min(512, embed_dim),
            depth=depth,
            num_heads=num_heads,
        )
    front_end = LogMelConfig.eat() if architecture_of(shape) == "eat" else LogMelConfig.beats()
    return AudioEncoder(front_end, encoder_of(shape))


def _classifier(
    config: TrainConfig, data: TrainingData, encoder: AudioEncoder, target_length: int
) -> AudioClassifier | None:
    if not data.labels:
        return None
    if config.prediction_mode == "CLS_TOKEN" and not encoder.config.has_cls:
        raise ValueError("--prediction_mode CLS_TOKEN: this encoder has no such token; choose MEAN_POOLING")
    head = ClassificationHead(
        HeadConfig(
            num_classes=len(data.labels),
            prediction_mode=config.prediction_mode,
            # Examples are compared by what this layer makes of them, and the detector reads it.
            refines=data.examples is not None,
            whitens=data.examples is not None,
        ),
        encoder.embedding_dim,
    )
    return AudioClassifier(
        encoder, head, data.labels, multi_label=data.multi_label, target_length=target_length
    )


def _contrastive_config(config: TrainConfig, num_clips: int, num_updates: int) -> ContrastiveConfig:
    return ContrastiveConfig(
        projection_dim=config.projection_dim,
        temperature=config.temperature,
        momentum=config.key_momentum,
        bank_size=config.bank_size or min(LARGEST_BANK, num_clips),
        negative_weight=config.negative_weight,
        hardness=config.hardness,
        dropped_share=config.dropped_share,
        warmup_updates=round(WARMUP_SHARE * num_updates),
    )
