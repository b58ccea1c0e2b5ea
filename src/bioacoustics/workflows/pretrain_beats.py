"""Pre-train BEATs: an encoder predicts tokens, then teaches a better tokenizer, and learns again from that.

Chen et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers", ICML 2023, section 3. Every stage is a run
of its own in a sub-folder; together they go on where they were interrupted.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.writing import atomic_write
from bioacoustics.data.batches import Batch, DataConfig, UpdatePlan
from bioacoustics.data.loading import BatchLoader
from bioacoustics.data.windows import Windows
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.codebook import CodebookConfig
from bioacoustics.models.predictors import Estimator, EstimatorConfig, LabelPredictor, LabelPredictorConfig
from bioacoustics.models.saved import build_classifier, build_encoder, read_bundle, write_bundle
from bioacoustics.models.saved_tokenizers import (
    build_predictor,
    bundle_of_masked_tokens,
    bundle_of_tokenizer,
)
from bioacoustics.models.tokenizer import DistilledTokenizer
from bioacoustics.objectives.masked_tokens import MaskedTokens, MaskedTokensConfig
from bioacoustics.objectives.token_distillation import TokenDistillation, TokenDistillationConfig
from bioacoustics.training.health import HealthConfig
from bioacoustics.training.metrics import read_metrics
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.workflows.capacity import distillation_bytes_per_clip, masked_tokens_bytes_per_clip
from bioacoustics.workflows.lineage import card_of
from bioacoustics.workflows.pretraining import (
    Material,
    Stage,
    new_front_end,
    refuse_to_remeasure,
    run_stage,
    windows_of,
)
from bioacoustics.workflows.pretraining_flags import PretrainConfig
from bioacoustics.workflows.tokens import loaded_tokenizer, random_tokenizer

MASK_RATIO = 0.75
TOKENIZER_SHARE = 4  # a tokenizer learns for a quarter of the updates of an encoder
START_PATCHES_PER_CODE = 32  # that a new codebook's clusters are found in
START_BATCH_SIZE = 8  # fixed, so that a codebook starts alike on any number of processes
_BEST = "checkpoint_best.pt"


def pretrain_beats(config: PretrainConfig, material: Material) -> None:
    """Run all stages: `save_dir/iteration_<n>/tokenizer` where there is one to train, then `.../encoder`.

    The models of the iteration that ended last lie in `save_dir` itself.
    """
    model, tokens = config.model_path, config.tokenizer_path
    for iteration in range(1, config.iterations + 1):
        folder = config.save_dir / f"iteration_{iteration}"
        if model is not None and tokens is None:
            _say(material.console, f"Iteration {iteration} of {config.iterations}: the tokenizer")
            run_stage(config, _tokenizer_stage(config, material, folder / "tokenizer", model), material)
            _report(folder / "tokenizer", material)
            tokens = folder / "tokenizer" / _BEST
        _say(material.console, f"Iteration {iteration} of {config.iterations}: the encoder")
        run_stage(config, _encoder_stage(config, material, folder / "encoder", model, tokens), material)
        _report(folder / "encoder", material)
        model, tokens = folder / "encoder" / _BEST, None
        if material.accelerator.is_main_process:
            for name in (_BEST, "checkpoint_last.pt"):
                _copy(folder / "encoder" / name, config.save_dir / name)
        material.accelerator.wait_for_everyone()


def masked_tokens(
    config: PretrainConfig,
    recordings: Sequence[Recording],
    console: Console,
    *,
    model_path: Path | None,
    tokenizer_path: Path | None,
) -> MaskedTokens:
    """BEATs' objective: with a new encoder or that of a checkpoint, and its tokens from another or at random.

    The label predictor is new, unless model and tokens come from the same file, which then has it.
    """
    torch.manual_seed(config.seed)
    encoder = _encoder(config, recordings, console, model_path)
    tokenizer = (
        random_tokenizer(
            encoder, recordings, num_codes=config.num_codes, seed=config.seed, channel=config.channel
        )
        if tokenizer_path is None
        else loaded_tokenizer(tokenizer_path, encoder)
    )
    predictor = None
    if model_path is not None and model_path == tokenizer_path:
        predictor = build_predictor(read_bundle(model_path))
    if predictor is None:
        shape = LabelPredictorConfig.beside(_beats_of(encoder).config, num_codes=tokenizer.num_codes)
        predictor = LabelPredictor(shape, encoder.embedding_dim)
    objective_config = MaskedTokensConfig(
        target_length=config.target_length,
        mask_ratio=config.mask_ratio or MASK_RATIO,
        positions=config.positions,
        label_smoothing=config.label_smoothing,
    )
    return MaskedTokens(encoder, predictor, tokenizer, objective_config, seed=config.seed)


def token_distillation(config: PretrainConfig, teacher_path: Path) -> TokenDistillation:
    """The objective of a new tokenizer that begins as its teacher; a classifier teaches its logits."""
    torch.manual_seed(config.seed)
    bundle = read_bundle(teacher_path)
    student = build_encoder(bundle)
    teacher: AudioEncoder | AudioClassifier = student
    if bundle.header.kind == "classifier":
        teacher = build_classifier(bundle)
    shape = _beats_of(student, teacher_path).config
    own = BEATsEncoder(shape)
    if not config.fresh_encoders:
        own.load_state_dict(student.encoder.state_dict())
    tokenizer = DistilledTokenizer(
        AudioEncoder(student.front_end.config, own), CodebookConfig(num_codes=config.num_codes)
    )
    target_dim = len(teacher.labels) if isinstance(teacher, AudioClassifier) else teacher.embedding_dim
    estimator = Estimator(EstimatorConfig.beside(shape, target_dim=target_dim), tokenizer.codebook.config.dim)
    return TokenDistillation(
        tokenizer,
        estimator,
        teacher,
        TokenDistillationConfig(target_length=config.target_length, restart_after=config.restart_codes_after),
        seed=config.seed,
    )


def _encoder_stage(
    config: PretrainConfig, material: Material, folder: Path, model_path: Path | None, tokens: Path | None
) -> Stage:
    objective = masked_tokens(
        config, material.training, material.console, model_path=model_path, tokenizer_path=tokens
    )
    card = card_of("pretrain", [config.data_dir], material.training, model_path, tokens)
    encoder = _beats_of(objective.encoder)
    encoder.activation_checkpointing = config.activation_checkpointing
    front_end = objective.encoder.front_end.config
    num_windows = len(windows_of(config, front_end, material.training, jitters=True))
    num_updates = config.num_updates_of(num_windows, material.accelerator.num_processes)
    return Stage(
        objective=objective,
        front_end=front_end,
        folder=folder,
        optimizer=_optimizer(num_updates, config.learning_rate, config.warmup_updates),
        bytes_per_window=masked_tokens_bytes_per_clip(objective, config.target_length),
        write_model=lambda path: write_bundle(
            bundle_of_masked_tokens(objective.encoder, objective.predictor, objective.tokenizer).with_card(
                card
            ),
            path,
        ),
        settings={
            "model": _origin(model_path),
            "tokenizer": _origin(tokens),
            "encoder": encoder.config.model_dump(mode="json"),
            "log_mel": front_end.model_dump(mode="json"),
            "predictor": objective.predictor.config.model_dump(mode="json"),
            "objective": objective.config.model_dump(mode="json"),
        },
        health=HealthConfig(min_code_perplexity=config.min_code_perplexity),
    )


def _tokenizer_stage(config: PretrainConfig, material: Material, folder: Path, teacher_path: Path) -> Stage:
    objective = token_distillation(config, teacher_path)
    card = card_of("pretrain", [config.data_dir], material.training, teacher_path)
    accelerator, front_end = material.accelerator, objective.tokenizer.front_end.config
    windows = windows_of(config, front_end, material.training, jitters=True)
    if not (folder / "run_state.pt").exists():
        num_columns = config.target_length // objective.tokenizer.patch_size
        num_patches = num_columns * (front_end.num_mels // objective.tokenizer.patch_size)
        num_rows = -(-START_PATCHES_PER_CODE * config.num_codes // num_patches)
        objective.to(accelerator.device)
        with _first_batches(windows, num_rows, config, accelerator) as batches:
            objective.start(batches)
    num_updates = config.num_updates_of(len(windows), accelerator.num_processes)
    num_updates = config.tokenizer_updates or max(1, num_updates // TOKENIZER_SHARE)
    return Stage(
        objective=objective,
        front_end=front_end,
        folder=folder,
        optimizer=_optimizer(num_updates, config.tokenizer_learning_rate, None),
        bytes_per_window=distillation_bytes_per_clip(objective, config.target_length),
        write_model=lambda path: write_bundle(bundle_of_tokenizer(objective.tokenizer).with_card(card), path),
        settings={
            "teacher": _origin(teacher_path),
            "encoder": objective.tokenizer.encoder.config.model_dump(mode="json"),
            "codebook": objective.tokenizer.codebook.config.model_dump(mode="json"),
            "log_mel": front_end.model_dump(mode="json"),
            "estimator": objective.estimator.config.model_dump(mode="json"),
            "objective": objective.config.model_dump(mode="json"),
            "fresh_encoders": config.fresh_encoders,
        },
        health=HealthConfig(min_code_perplexity=config.min_code_perplexity),
    )


def _optimizer(num_updates: int, learning_rate: float, warmup_updates: int | None) -> OptimizerConfig:
    """AdamW as published, but for the schedule, which is the half cosine of all pre-training here."""
    return OptimizerConfig(
        num_updates=num_updates,
        learning_rate=learning_rate,
        warmup_updates=warmup_updates,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        clip_norm=1.0,
    )


def _encoder(
    config: PretrainConfig, recordings: Sequence[Recording], console: Console, model_path: Path | None
) -> AudioEncoder:
    if model_path is None:
        front_end = new_front_end(LogMelConfig.beats(), config, recordings, console)
        return AudioEncoder(front_end, BEATsEncoder(BEATsConfig.of_size(config.model_size)))
    if model_path == config.model_path:
        refuse_to_remeasure(config)
    encoder = build_encoder(read_bundle(model_path))
    shape = _beats_of(encoder, model_path).config
    is_our_own = model_path != config.model_path
    if is_our_own and config.fresh_encoders:
        return AudioEncoder(encoder.front_end.config, BEATsEncoder(shape))
    return encoder


def _beats_of(encoder: AudioEncoder, path: Path | None = None) -> BEATsEncoder:
    if not isinstance(encoder.encoder, BEATsEncoder):
        raise ValueError(f"{path} is no BEATs model: leave out --model beats to continue an EAT model")  # noqa: TRY004
    return encoder.encoder


@contextmanager
def _first_batches(
    windows: Windows, num_rows: int, config: PretrainConfig, accelerator: Accelerator
) -> Iterator[Iterator[Batch]]:
    """So many windows in the order of training, the same on any number of processes."""
    plan = UpdatePlan(num_windows=len(windows), rows_per_update=START_BATCH_SIZE, seed=config.seed)
    data = DataConfig(batch_size=START_BATCH_SIZE, num_threads=config.num_threads)
    loader = BatchLoader(windows, plan, data, device=accelerator.device)
    try:
        yield (batch for _, _, batch in loader.batches(0, -(-num_rows // START_BATCH_SIZE)))
    finally:
        loader.close()


def _origin(path: Path | None) -> dict[str, Any] | None:
    """Which model a stage builds on: by its content, as folders may move."""
    return None if path is None else {"fingerprint": read_bundle(path).header.fingerprint}


def _report(folder: Path, material: Material) -> None:
    """Say how a stage ended: whether its tokens are worth predicting, and how well they are predicted."""
    if not material.accelerator.is_main_process:
        return
    last: dict[str, float] = {}
    for row in read_metrics(folder):
        last |= {name.removeprefix("valid_"): value for name, value in row.items()}
    words = [
        f"{last['code_usage']:.0%} of the tokens occur, as many as {last['code_perplexity']:.0f} in effect"
    ]
    if "masked_accuracy" in last:
        words.append(
            f"of masked patches {last['masked_accuracy']:.1%} are told right (always the commonest token: "
            f"{last['majority_accuracy']:.1%})"
        )
    if "cosine" in last:
        words.append(f"the teacher is estimated with cosine {last['cosine']:.3f}")
    _say(material.console, f"{folder.parent.name}, {folder.name}: {'; '.join(words)}")


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as content, atomic_write(target) as file:
        shutil.copyfileobj(content, file)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
