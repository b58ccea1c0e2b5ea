"""Rows of models: pre-training steps, features, tokenizers, log-mel and lower precision."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import operations
import torch
from ceilings import Bench, Row
from torch.nn.attention import SDPBackend, sdpa_kernel

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.reading import read_recording
from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.data.batches import Batch
from bioacoustics.inference.precision import Precision, arithmetic, prepare
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.codebook import CodebookConfig
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.predictors import LabelPredictor, LabelPredictorConfig
from bioacoustics.models.random_projection import RandomProjectionConfig
from bioacoustics.models.saved import load_encoder
from bioacoustics.models.tokenizer import DistilledTokenizer, RandomTokenizer
from bioacoustics.objectives.masked_latent import MaskedLatent, MaskedLatentConfig
from bioacoustics.objectives.masked_tokens import MaskedTokens, MaskedTokensConfig
from bioacoustics.objectives.objective import Objective

RATE_HZ, WINDOW_S = 16000, 10
NUM_SAMPLES = WINDOW_S * RATE_HZ
NUM_CLONES, NUM_FRAMES, PATCHES = 16, 1024, 512
CLIPS = 8  # of a batch of features
STEP_CLIPS, STEP_CLIPS_GPU = 2, 12
PUBLISHED_UPDATES, PUBLISHED_CLIPS, PUBLISHED_GPU_HOURS = 400_000, 48, 230  # EAT base, on RTX 3090
HEAD_DIM, VISIBLE_TOKENS = 64, 103  # of attention in the pre-training of EAT base


def eat_encoder(bench: Bench) -> AudioEncoder:
    """A new EAT."""
    return AudioEncoder(LogMelConfig(), EATEncoder(EATConfig.of_size(bench.size)))


def beats_encoder(bench: Bench) -> AudioEncoder:
    """A new BEATs; no block is left out at random, so that every pass is the same work."""
    config = BEATsConfig.of_size(bench.size).model_copy(update={"layer_drop": 0.0})
    return AudioEncoder(LogMelConfig.beats(), BEATsEncoder(config))


def usual_precision(bench: Bench) -> Precision:
    """What `embed` takes on the device by itself."""
    return "bf16" if bench.meter.is_gpu else "float32"


def step_rows(bench: Bench) -> Iterator[Row]:
    """EAT's pre-training step, with and without activation checkpointing; on a GPU compiled as well."""
    encoder = eat_encoder(bench)
    decoder = DecoderConfig.of_size(bench.size)
    config = MaskedLatentConfig(target_length=NUM_FRAMES, num_clones=NUM_CLONES)
    objective = MaskedLatent(encoder, EATDecoder(decoder, encoder.embedding_dim), config, seed=0)
    clips = _step_clips(bench)
    gflop = operations.of_eat_step(
        EATConfig.of_size(bench.size),
        decoder,
        clips=clips,
        clones=NUM_CLONES,
        patches=PATCHES,
        visible=config.mask.num_visible(PATCHES),
    )
    what = f"EAT step, {clips} x {NUM_CLONES} clones"
    # The one that takes least memory first: what a process once held it may keep.
    objective.student.activation_checkpointing = True
    yield step_row(bench, f"{what}, checkpointing", objective, gflop)
    objective.student.activation_checkpointing = False
    for is_compiled in (False, True) if bench.meter.is_gpu else (False,):
        row = step_row(bench, what + ", compiled" * is_compiled, objective, gflop, is_compiled)
        hours = PUBLISHED_UPDATES * PUBLISHED_CLIPS / row["clips/s"] / 3600
        yield row | {
            "hours of 400000 updates at 48": f"{hours:.0f} (published: {PUBLISHED_GPU_HOURS} on RTX 3090)"
        }


def step_row(bench: Bench, what: str, objective: Objective, gflop: float, is_compiled: bool = False) -> Row:
    """Forward and backward pass of an objective, with the memory of the whole process."""
    device = bench.meter.device
    objective = objective.to(device).train()
    module: Any = torch.compile(objective) if is_compiled else objective
    batch = noise_batch(_step_clips(bench)).to(device)

    def step() -> None:
        objective.zero_grad()
        with _training_precision(bench):
            losses = module(batch)
        losses.total.backward()

    with bench.meter.peak_memory() as peak:
        row = bench.meter.against_ceilings(what, step, gflop)
    row |= {"clips/s": round(len(batch) / row["seconds"], 3), "peak GB": round(peak[0], 2)}
    if bench.meter.is_gpu and not is_compiled:
        row["attention"] = attention_kernels(step, torch.profiler.ProfilerActivity.CUDA)
        row["flash possible"] = flash_works(device)
    return row


def _step_clips(bench: Bench) -> int:
    return STEP_CLIPS_GPU if bench.meter.is_gpu else STEP_CLIPS


def _training_precision(bench: Bench) -> AbstractContextManager[object]:
    return torch.autocast("cuda", torch.bfloat16) if bench.meter.is_gpu else nullcontext()


def noise_batch(clips: int) -> Batch:
    """Noise as long as the windows of pre-training."""
    return Batch(
        waveforms=0.1 * torch.randn(clips, NUM_SAMPLES),
        num_samples=torch.full((clips,), NUM_SAMPLES),
        draw_ids=torch.arange(clips),
    )


def attention_kernels(step: Callable[[], object], activity: torch.profiler.ProfilerActivity) -> str:
    """Names of the attention kernels that ran: proof of the backend."""
    with torch.profiler.profile(activities=[activity]) as profile:
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    marks = ("flash", "fmha", "efficient", "cudnn")
    names = {event.key[:60] for event in profile.key_averages()}
    return "; ".join(sorted(name for name in names if any(mark in name.lower() for mark in marks))) or "none"


def flash_works(device: torch.device) -> bool:
    """Whether flash attention takes heads of the shape that pre-training has."""
    heads = torch.randn(2, 12, VISIBLE_TOKENS, HEAD_DIM, device=device, dtype=torch.bfloat16)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        try:
            torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)
        except RuntimeError:
            return False
    return True


def feature_rows(bench: Bench) -> Iterator[Row]:
    """EAT's features of whole clips."""
    gflop = operations.of_eat(EATConfig.of_size(bench.size), PATCHES)
    yield _features(bench, "EAT features", eat_encoder(bench), gflop)


def beats_rows(bench: Bench) -> Iterator[Row]:
    """BEATs: features, both tokenizers and the pre-training step."""
    config = BEATsConfig.of_size(bench.size)
    yield _features(bench, "BEATs features", beats_encoder(bench), operations.of_beats(config, PATCHES))
    random = RandomTokenizer(LogMelConfig.beats(), RandomProjectionConfig())
    gflop = operations.of_random_tokens(random.random_projection.config, PATCHES)
    yield _tokens(bench, "BEATs random tokenizer", random, gflop)
    codes = CodebookConfig()
    distilled = DistilledTokenizer(beats_encoder(bench), codes)
    gflop = operations.of_distilled_tokens(config, codes, PATCHES)
    yield _tokens(bench, "BEATs learnt tokenizer", distilled, gflop)
    yield _beats_step(bench)


def _beats_step(bench: Bench) -> Row:
    encoder, settings = beats_encoder(bench), MaskedTokensConfig(target_length=NUM_FRAMES)
    tokenizer = RandomTokenizer(LogMelConfig.beats(), RandomProjectionConfig())
    config = BEATsConfig.of_size(bench.size)
    shape = LabelPredictorConfig.beside(config, num_codes=tokenizer.num_codes)
    predictor = LabelPredictor(shape, encoder.embedding_dim)
    clips = _step_clips(bench)
    gflop = operations.of_beats_step(
        config,
        shape,
        tokenizer.random_projection.config,
        clips=clips,
        patches=PATCHES,
        visible=round(PATCHES * (1 - settings.mask_ratio)),
    )
    objective = MaskedTokens(encoder, predictor, tokenizer, settings, seed=0)
    return step_row(bench, f"BEATs step, {clips} clips", objective, gflop)


def _features(bench: Bench, what: str, model: AudioEncoder, gflop: float) -> Row:
    model = model.to(bench.meter.device).eval()
    return _of_log_mel(bench, what, model.features, gflop)


def _tokens(bench: Bench, what: str, tokenizer: RandomTokenizer | DistilledTokenizer, gflop: float) -> Row:
    tokenizer = tokenizer.to(bench.meter.device).eval()
    return _of_log_mel(bench, what, tokenizer.tokenize, gflop)


def _of_log_mel(bench: Bench, what: str, compute: Callable[[torch.Tensor], object], gflop: float) -> Row:
    log_mel = torch.randn(CLIPS, NUM_FRAMES, 128, device=bench.meter.device)
    with torch.inference_mode(), arithmetic(usual_precision(bench), bench.meter.device):
        what = f"{what}, {CLIPS} x {WINDOW_S} s"
        row = bench.meter.against_ceilings(what, lambda: compute(log_mel), CLIPS * gflop)
    return row | {"clips/s": round(CLIPS / row["seconds"], 2)}


def log_mel_rows(bench: Bench) -> Iterator[Row]:
    """From waveforms to log-mel."""
    front_end = eat_encoder(bench).front_end.to(bench.meter.device)
    waveforms = 0.1 * torch.randn(CLIPS, NUM_SAMPLES, device=bench.meter.device)
    gflop = CLIPS * operations.of_log_mel(front_end.config, NUM_SAMPLES)
    with torch.inference_mode():
        what = f"log-mel (float64), {CLIPS} x {WINDOW_S} s"
        row = bench.meter.against_ceilings(what, lambda: front_end(waveforms), gflop)
    yield row | {"times real time": round(CLIPS * WINDOW_S / row["seconds"])}


def precision_rows(bench: Bench) -> Iterator[Row]:
    """bf16 and int8 against float32, waveform to embedding; cosines of embeddings of real recordings."""
    device, path = bench.meter.device, bench.model_path
    exact = eat_encoder(bench).to(device).eval() if path is None else load_encoder(path, device=device)
    weights = "random" if path is None else path.name
    waveforms, heard = _recordings(bench, exact.sample_rate_hz)
    precisions: tuple[Precision, ...] = ("bf16",) if bench.meter.is_gpu else ("bf16", "int8")
    for precision in precisions:
        lower = eat_encoder(bench).eval() if path is None else load_encoder(path, device=torch.device("cpu"))
        lower.load_state_dict(exact.state_dict())
        prepare(lower, precision)
        lower = lower.to(device)

        def embedded(model: AudioEncoder, precision: Precision, rows: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode(), arithmetic(precision, device):
                return model.embed(rows).float()

        cosines = torch.cat(
            [
                torch.cosine_similarity(embedded(exact, "float32", rows), embedded(lower, precision, rows))
                for rows in waveforms.split(CLIPS)
            ]
        )
        some = waveforms[:CLIPS]
        faster = bench.meter.times_faster(
            lambda some=some: embedded(exact, "float32", some),  # type: ignore[misc]
            lambda low=lower, p=precision, some=some: embedded(low, p, some),  # type: ignore[misc]
        )
        row: Row = {"what": f"{precision} against float32, {CLIPS} x {WINDOW_S} s", "times faster": faster}
        row |= {"smallest cosine": round(cosines.min().item(), 5), "mean": round(cosines.mean().item(), 5)}
        yield row | {"weights": weights, "heard": heard}


def _recordings(bench: Bench, rate_hz: int) -> tuple[torch.Tensor, str]:
    """Windows of recordings spread over the folder; of noise, where there is none."""
    number, length = CLIPS if bench.is_quick else 4 * CLIPS, WINDOW_S * rate_hz
    if not bench.recordings.is_dir():
        return 0.1 * torch.randn(number, length, device=bench.meter.device), "noise, no recordings"
    found = scan_recordings(bench.recordings).recordings
    samples = [read_recording(found[i * len(found) // number], rate_hz).samples for i in range(number)]
    rows = torch.stack([torch.from_numpy(np.resize(one, length)) for one in samples])
    return rows.to(bench.meter.device), f"{number} recordings"
