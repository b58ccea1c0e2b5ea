"""How near to the machine's own ceiling do we compute? Prints one table and writes one JSON.

Run: python benchmarks/speed.py [speed.json]          about ten minutes on two cores, less on a GPU
     python benchmarks/speed.py --quick [speed.json]  fewer repetitions, five minutes of sound, not an hour
     BIOACOUSTICS_RECORDINGS=folder sets the recordings of the cosines, ../shared/data/unlabeled by default

The ceiling is a large matrix product in the same process, with the same threads, measured before and
after each repetition, because other programs of a machine make it faster and slower. There are two:
torch's own product of float32 matrices, and the fastest that PyTorch has on this processor (oneDNN's). A
share above 100 % of the first is no mistake: our linear layers use the second.
"""

import io
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import soundfile
import torch
from rich.console import Console
from torch.nn.attention import SDPBackend, sdpa_kernel

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.reading import read_recording
from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.audio.segments import SegmentConfig, SegmentIndex
from bioacoustics.data.batches import Batch, DataConfig, UpdatePlan
from bioacoustics.data.loading import BatchLoader
from bioacoustics.data.windows import SegmentWindows
from bioacoustics.inference.device import pick_device
from bioacoustics.inference.precision import arithmetic, prepare
from bioacoustics.models import linear
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.saved import bundle_of_encoder, load_encoder, write_bundle
from bioacoustics.objectives.masked_latent import MaskedLatent, MaskedLatentConfig
from bioacoustics.workflows.embed import EmbedConfig, embed

QUICK = "--quick" in sys.argv
RATE_HZ, WINDOW_S = 16000, 10
NUM_CLONES, NUM_FRAMES, PATCHES = 16, 1024, 512
MINUTES = 5 if QUICK else 60
PUBLISHED_UPDATES, PUBLISHED_CLIPS, PUBLISHED_GPU_HOURS = 400_000, 48, 230  # EAT base, on RTX 3090
DEVICE = pick_device()
IS_GPU = DEVICE.type == "cuda"
Row = dict[str, Any]


def main() -> None:
    """Measure, print and save."""
    torch.manual_seed(0)
    rows: list[Row] = [_machine()]
    for measure in (_step, _log_mel, _features, _lower_precision, _beats_features, _loader, _embedding):
        for row in measure():
            rows.append(row)
            _print(row)
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    if arguments:
        Path(arguments[0]).write_text(json.dumps(rows, indent=1) + "\n")


def _machine() -> Row:
    row: Row = {"what": "machine", "torch": torch.__version__, "threads": torch.get_num_threads()}
    row["device"] = (
        torch.cuda.get_device_name() if IS_GPU else "processor; no GPU here: no GPU row was measured"
    )
    row |= {f"ceiling {name}": f"{rate():.0f} GFLOP/s" for name, rate in _ceilings().items()}
    if IS_GPU:
        big = torch.empty(2**28, device=DEVICE)
        seconds = min(_seconds(big.clone) for _ in range(5))
        row["copy"] = f"{2 * big.nbytes / seconds / 1e9:.0f} GB/s"
    _print(row)
    return row


def _ceilings() -> dict[str, Callable[[], float]]:
    """Rates of large products in GFLOP/s, each measured anew when it is called."""
    size = 8192 if IS_GPU else 2048
    dtype = torch.bfloat16 if IS_GPU else torch.float32
    one, two = (torch.randn(size, size, device=DEVICE, dtype=dtype) for _ in range(2))
    gflop = 2 * size**3 / 1e9
    rates = {"matmul bf16" if IS_GPU else "matmul float32": lambda: gflop / _seconds(lambda: one @ two)}
    if linear.HAS_ONEDNN_PRODUCT and not IS_GPU:
        rates["fastest float32"] = lambda: gflop / _seconds(lambda: linear._product(one, two))
    for rate in rates.values():
        rate()
    return rates


def _against_ceilings(what: str, compute: Callable[[], object], gflop: float, repetitions: int = 5) -> Row:
    """Time a computation between two measurements of each ceiling; medians over the repetitions."""
    ceilings = _ceilings()
    compute()
    seconds, shares = [], {name: [] for name in ceilings}
    for _ in range(2 if QUICK else repetitions):
        before = {name: rate() for name, rate in ceilings.items()}
        took_s = _seconds(compute)
        seconds.append(took_s)
        for name, rate in ceilings.items():
            shares[name].append(gflop / took_s / ((before[name] + rate()) / 2))
    row: Row = {"what": what, "seconds": round(median(seconds), 4), "GFLOP": round(gflop, 1)}
    return row | {f"share of {name}": round(median(values), 3) for name, values in shares.items()}


def _seconds(compute: Callable[[], object]) -> float:
    if IS_GPU:
        torch.cuda.synchronize()
    started = time.perf_counter()
    compute()
    if IS_GPU:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _gflop_of_blocks(config: EATConfig, tokens: int) -> float:
    """Products of all blocks for one row: 12 dim^2 weights a token, and scores and mixing of attention."""
    hidden = int(config.embed_dim * config.mlp_ratio)
    weights = 4 * config.embed_dim**2 + 2 * config.embed_dim * hidden
    return config.depth * (2 * tokens * weights + 4 * tokens**2 * config.embed_dim) / 1e9


def _gflop_of_step(clips: int, visible: int) -> float:
    """Student and decoder forward and twice that backward, teacher forward; recomputation is not counted."""
    config, decoder = EATConfig.of_size("base"), DecoderConfig.of_size("base")
    convolutions = decoder.num_layers * decoder.kernel**2 * decoder.width**2 // decoder.groups
    decoded = 2 * (PATCHES * convolutions + (PATCHES - visible) * decoder.width * config.embed_dim) / 1e9
    student = clips * NUM_CLONES * (_gflop_of_blocks(config, 1 + visible) + decoded)
    return 3 * student + clips * _gflop_of_blocks(config, 1 + PATCHES)


def _base() -> AudioEncoder:
    return AudioEncoder(LogMelConfig(), EATEncoder(EATConfig.of_size("base")))


def _step() -> Iterator[Row]:
    """Forward and backward pass of pre-training; on a GPU with and without compile."""
    clips = 12 if IS_GPU else 2
    config = MaskedLatentConfig(target_length=NUM_FRAMES, num_clones=NUM_CLONES)
    objective = MaskedLatent(_base(), EATDecoder(DecoderConfig.of_size("base"), 768), config, seed=0)
    objective = objective.to(DEVICE).train()
    batch = Batch(
        waveforms=0.1 * torch.randn(clips, WINDOW_S * RATE_HZ),
        num_samples=torch.full((clips,), WINDOW_S * RATE_HZ),
        draw_ids=torch.arange(clips),
    ).to(DEVICE)
    gflop = _gflop_of_step(clips, config.mask.num_visible(PATCHES))
    for is_compiled in (False, True) if IS_GPU else (False,):
        module: Any = torch.compile(objective) if is_compiled else objective

        def step(module: Any = module) -> None:
            objective.zero_grad()
            with torch.autocast("cuda", torch.bfloat16) if IS_GPU else nullcontext():
                losses = module(batch)
            losses.total.backward()

        with _peak_memory() as peak:
            name = f"step, {clips} x {NUM_CLONES} clones{', compiled' if is_compiled else ''}"
            row = _against_ceilings(name, step, gflop, repetitions=20 if IS_GPU else 3)
        rate = clips / row["seconds"]
        row |= {"clips/s": round(rate, 2), "peak GB": round(peak[0] / 1e9, 2)}
        hours = PUBLISHED_UPDATES * PUBLISHED_CLIPS / rate / 3600
        row["hours of 400000 updates at 48"] = f"{hours:.0f} (published: {PUBLISHED_GPU_HOURS} on RTX 3090)"
        if IS_GPU and not is_compiled:
            row["attention"] = _attention_kernels(step)
            row["flash possible"] = _flash_works()
        yield row


def _attention_kernels(step: Callable[[], object]) -> str:
    """Names of the attention kernels that ran: proof of the backend."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    names = {event.key[:60] for event in profile.key_averages()}
    marks = ("flash", "fmha", "efficient", "cudnn")
    return "; ".join(sorted(name for name in names if any(mark in name.lower() for mark in marks))) or "none"


def _flash_works() -> bool:
    heads = torch.randn(2, 12, 103, 64, device=DEVICE, dtype=torch.bfloat16)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        try:
            torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)
        except RuntimeError:
            return False
    return True


@contextmanager
def _peak_memory() -> Iterator[list[float]]:
    """The most memory that was held: on the GPU allocated, else resident in this process."""
    peak, ended, process = [0.0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not ended.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss)

    if IS_GPU:
        torch.cuda.reset_peak_memory_stats()
        yield peak
        peak[0] = torch.cuda.max_memory_allocated()
        return
    watcher = threading.Thread(target=watch)
    watcher.start()
    yield peak
    ended.set()
    watcher.join()


def _log_mel() -> Iterator[Row]:
    """FLOP of log-mel: pre-emphasis and window, FFT (2.5 n log2 n for real input), power, mel filters."""
    front_end = _base().front_end.to(DEVICE)
    config, clips = front_end.config, 8
    waveforms = 0.1 * torch.randn(clips, WINDOW_S * RATE_HZ, device=DEVICE)
    size = config.fft_size
    a_frame = (
        5 * config.frame_length + 2.5 * size * np.log2(size) + (size // 2 + 1) * (3 + 2 * config.num_mels)
    )
    gflop = clips * config.num_frames(WINDOW_S * RATE_HZ) * float(a_frame) / 1e9
    with torch.inference_mode():
        row = _against_ceilings(
            f"log-mel (float64), {clips} x {WINDOW_S} s", lambda: front_end(waveforms), gflop
        )
    yield row | {"times real time": round(clips * WINDOW_S / row["seconds"])}


def _features() -> Iterator[Row]:
    yield _features_of("EAT features", _base(), 1 + PATCHES)


def _beats_features() -> Iterator[Row]:
    try:
        from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
    except ImportError:
        return
    model = AudioEncoder(LogMelConfig.beats(), BEATsEncoder(BEATsConfig.of_size("base")))
    yield _features_of("BEATs features", model, PATCHES)


def _features_of(what: str, model: AudioEncoder, tokens: int) -> Row:
    clips = 8
    model = model.to(DEVICE).eval()
    log_mel = torch.randn(clips, NUM_FRAMES, 128, device=DEVICE)
    gflop = clips * _gflop_of_blocks(EATConfig.of_size("base"), tokens)
    with torch.inference_mode(), arithmetic("bf16" if IS_GPU else "float32", DEVICE):
        row = _against_ceilings(
            f"{what}, {clips} x 10 s", lambda: model.features(log_mel), gflop, 20 if IS_GPU else 5
        )
    return row | {"clips/s": round(clips / row["seconds"], 2)}


def _lower_precision() -> Iterator[Row]:
    """bf16 and int8 against float32, in turns; cosines of embeddings of real recordings."""
    waveforms = _recordings(8)
    exact = _base().to(DEVICE).eval()
    for precision in ("bf16",) if IS_GPU else ("bf16", "int8"):
        torch.manual_seed(0)
        lower = _base().eval()
        lower.load_state_dict(exact.state_dict())
        prepare(lower, precision)
        lower = lower.to(DEVICE)

        def embedded(model: AudioEncoder, precision: Any) -> torch.Tensor:
            with torch.inference_mode(), arithmetic(precision, DEVICE):
                return model.embed(waveforms).float()

        cosines = torch.cosine_similarity(embedded(exact, "float32"), embedded(lower, precision))
        ratios = [
            _seconds(lambda: embedded(exact, "float32"))
            / _seconds(lambda low=lower, p=precision: embedded(low, p))
            for _ in range(2 if QUICK else 5)
        ]
        row: Row = {"what": f"{precision} against float32, waveform to embedding, 8 x 10 s"}
        yield row | {
            "times faster": round(median(ratios), 2),
            "smallest cosine": round(cosines.min().item(), 5),
        }


def _recordings(number: int) -> torch.Tensor:
    folder = Path(os.environ.get("BIOACOUSTICS_RECORDINGS", "../shared/data/unlabeled"))
    length = WINDOW_S * RATE_HZ
    if not folder.is_dir():
        print(f"{folder} does not exist: cosines are of noise, not of recordings")
        return 0.1 * torch.randn(number, length, device=DEVICE)
    found = scan_recordings(folder).recordings
    samples = [read_recording(found[i * len(found) // number], RATE_HZ).samples for i in range(number)]
    return torch.stack([torch.from_numpy(np.resize(one, length)) for one in samples]).to(DEVICE)


def _sound_file(path: Path, minutes: int, rate_hz: int = 48000) -> None:
    """Noise that swells and fades: like a recording, it compresses to about half."""
    rng = np.random.default_rng(0)
    second = rng.normal(0, 0.05, rate_hz) * np.sin(np.linspace(0, np.pi, rate_hz))
    with soundfile.SoundFile(path, "w", rate_hz, 1) as file:
        for _ in range(60 * minutes):
            file.write(second)


def _loader() -> Iterator[Row]:
    """Windows a second at random places of 20-minute recordings, 48 to 16 kHz, as training reads them."""
    for ending in ("wav", "flac", "ogg"):
        with tempfile.TemporaryDirectory() as name:
            _sound_file(Path(name) / f"long.{ending}", 20)
            index = SegmentIndex(scan_recordings(Path(name)).recordings, SegmentConfig(window_s=WINDOW_S))
            windows = SegmentWindows(index, sample_rate_hz=RATE_HZ, max_jitter_s=1.0)
            num_updates = 10 if QUICK else 30
            plan = UpdatePlan(num_windows=len(windows), rows_per_update=8)
            loader = BatchLoader(windows, plan, DataConfig(batch_size=8))
            started, used = time.perf_counter(), time.process_time()
            num_read = sum(len(batch) for _, _, batch in loader.batches(0, num_updates))
            took_s, cpu_s = time.perf_counter() - started, time.process_time() - used
            loader.close()
        row: Row = {"what": f"loader, {ending}", "windows/s": round(num_read / took_s, 1)}
        yield row | {"windows/s per core": round(num_read / cpu_s, 1)}


def _embedding() -> Iterator[Row]:
    """The command on one long recording, against its model alone on the same windows, before and after."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bundle(bundle_of_encoder(_base()), folder / "model.pt")
        (folder / "audio").mkdir()
        _sound_file(folder / "audio" / "long.flac", MINUTES)
        model = load_encoder(folder / "model.pt", device=DEVICE)
        precision = "bf16" if IS_GPU else "float32"
        waveforms = 0.1 * torch.randn(8, WINDOW_S * RATE_HZ, device=DEVICE)

        def alone() -> float:
            with torch.inference_mode(), arithmetic(precision, DEVICE):
                return 8 / median(_seconds(lambda: model.embed(waveforms)) for _ in range(3))

        settings = EmbedConfig(
            model_path=folder / "model.pt", data_dir=folder / "audio", output=folder / "out.parquet"
        )
        before = alone()
        took_s = _seconds(lambda: embed(settings, Console(file=io.StringIO())))
        rate = 60 * MINUTES / WINDOW_S / took_s
        row: Row = {"what": f"embed, {MINUTES} min of flac at 48 kHz", "windows/s": round(rate, 2)}
        yield row | {"share of model alone": round(rate / ((before + alone()) / 2), 3)}


def _print(row: Row) -> None:
    print(
        f"{row['what']:48}", *(f"{name} {value}" for name, value in row.items() if name != "what"), sep=" | "
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
