"""Masked latent: EAT's pre-training, in which a student that sees few patches predicts a teacher's features.

Chen et al., "EAT: Self-Supervised Pre-Training with Efficient Audio Transformer", IJCAI 2024, section 3. The
teacher is a moving average of the student's encoder and hears whole clips.
"""

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bioacoustics.audio.draws import Stream, seed_of, uniforms
from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATDecoder, EATEncoder
from bioacoustics.objectives.masks import MaskConfig, inverse_block_masks
from bioacoustics.objectives.objective import Losses, Objective

NOISE_TABLE_SIZE = 2**20
CLONES_AT_A_TIME = 4  # of the decoder on the processor: fewer are slower, more take more memory
NORM_EPS = 1e-5  # of the target norms; those of the encoder have their own


class MaskedLatentConfig(BaseModel, frozen=True, extra="forbid"):
    """What the student has to predict and how its errors count; the defaults are those of EAT base.

    Attributes:
        target_length: Frames of log-mel to pad or cut every clip to; None keeps the length of the batch.
        num_clones: Masked copies of every clip in a batch.
        mask: How patches are hidden.
        mask_noise_std: Spread of the Gaussian noise that stands for hidden patches at the decoder.
        average_top_k_layers: How many of the teacher's last blocks make the target; None takes all.
        target_source: A block's target is the output of its MLP or that of the whole block.
        target_layer_norm: Norm of each block's target: over the patches, over the channels, or none.
        normalises_targets: The mean over the blocks is normalised over the channels.
        removes_position: What each block of the teacher says of an empty clip, all patches at the mean of the
            normalised log-mel, is taken from what it says of the clip, before any norm. A young teacher tells
            little but the place of a patch, which the student knows anyway: without this, short runs learn
            places. Off in the published recipe, which has 400 000 updates to outgrow it.
        loss_beta: Errors above this count linearly (smooth L1); 0 squares all.
        loss_scale: Factor of both losses; None takes 1 / sqrt(dim).
        utterance_weight: Factor of the utterance loss, which is a mean over clips and clones.
        sums_utterance_rows: The utterance loss is a sum over the clips and clones of a micro-batch, as in the
            published code. Its balance with the frame loss then depends on batch size, number of processes
            and accumulation. The default mean with weight 192 has the balance of the published recipe,
            12 clips x 16 clones x weight 1, at any size.
        ema_decay: Decay of the teacher's moving average at the beginning.
        ema_end_decay: Decay from `ema_anneal_updates` on, reached in a straight line.
        ema_anneal_updates: Updates until `ema_end_decay`.
    """

    target_length: int | None = Field(None, ge=1)
    num_clones: int = Field(16, ge=1)
    mask: MaskConfig = MaskConfig()
    mask_noise_std: float = Field(0.01, ge=0.0)
    average_top_k_layers: int | None = Field(None, ge=1)
    target_source: Literal["mlp", "block"] = "mlp"
    target_layer_norm: Literal["instance", "layer", "none"] = "instance"
    normalises_targets: bool = True
    removes_position: bool = False
    loss_beta: float = Field(0.0, ge=0.0)
    loss_scale: float | None = Field(None, gt=0.0)
    utterance_weight: float = Field(192.0, ge=0.0)
    sums_utterance_rows: bool = False
    ema_decay: float = Field(0.9998, ge=0.0, le=1.0)
    ema_end_decay: float = Field(0.99999, ge=0.0, le=1.0)
    ema_anneal_updates: int = Field(100_000, ge=1)

    def ema_decay_at(self, num_updates: int) -> float:
        """Decay of the moving average after so many updates."""
        share = min(num_updates / self.ema_anneal_updates, 1.0)
        return self.ema_decay + (self.ema_end_decay - self.ema_decay) * share


class MaskedLatent(Objective):
    """Student, decoder and teacher of EAT's pre-training, and the losses between them."""

    noise_table: Float[Tensor, " noise"]

    def __init__(
        self,
        encoder: AudioEncoder,
        decoder: EATDecoder,
        config: MaskedLatentConfig,
        *,
        seed: int,
        teacher: EATEncoder | None = None,
    ) -> None:
        """Build the objective around a student; a teacher that is not given starts as its copy."""
        super().__init__()
        student = encoder.encoder
        if not isinstance(student, EATEncoder):
            raise ValueError(  # noqa: TRY004 -- it is the user's checkpoint that does not suit
                "masked latent prediction is the pre-training of EAT, and this encoder is of another kind"
            )
        depth = student.config.depth
        if (config.average_top_k_layers or depth) > depth:
            raise ValueError(
                f"average_top_k_layers is {config.average_top_k_layers}, but the encoder has {depth} blocks"
            )
        self.config, self.seed = config, seed
        self.encoder = encoder
        self.decoder = decoder
        self.teacher = copy.deepcopy(student) if teacher is None else teacher
        # Steps of the average are far below the resolution of half precision.
        self.teacher.float().requires_grad_(requires_grad=False).eval()
        generator = torch.Generator().manual_seed(seed_of(seed, Stream.MASK_NOISE, 0))
        table = torch.randn(NOISE_TABLE_SIZE, generator=generator) * config.mask_noise_std
        self.register_buffer("noise_table", table, persistent=False)

    @property
    def student(self) -> EATEncoder:
        """The encoder that learns."""
        assert isinstance(self.encoder.encoder, EATEncoder)
        return self.encoder.encoder

    def train(self, mode: bool = True) -> "MaskedLatent":
        """Switch to training or evaluation; the teacher stays in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, batch: Batch) -> Losses:
        """Losses of a batch with masks and noise that follow from the seed and each clip's draw id.

        `weight` counts clips. Terms: `loss` = `frame_loss` + `utterance_loss`, `prediction_std` and
        `target_std` over the masked patches (near 0: collapsed), and `masked_share`.
        """
        with torch.no_grad():
            log_mel = self.encoder.log_mel(
                batch.waveforms, batch.num_samples, target_length=self.config.target_length
            )
        num_columns, num_bands = self._grid(log_mel)
        masks = inverse_block_masks(
            self.config.mask,
            batch.draw_ids,
            num_columns=num_columns,
            num_bands=num_bands,
            num_clones=self.config.num_clones,
            seed=self.seed,
        )
        return self.losses_of(log_mel, masks, self.mask_noise(batch.draw_ids, num_columns * num_bands))

    def losses_of(
        self,
        log_mel: Float[Tensor, "batch frames mels"],
        masks: Bool[Tensor, "batch clones patches"],
        noise: Float[Tensor, "rows patches dim"],
    ) -> Losses:
        """Losses for given masks (all rows with the configured count) and noise; rows = clips x clones."""
        targets = self.targets(log_mel)
        cls, grid = self.encode_visible(log_mel, masks, noise)
        hidden = self._hidden(masks)
        predictions = self._predictions(grid, hidden, self._grid(log_mel)[0])
        with torch.autocast(log_mel.device.type, enabled=False):
            cls = cls.float().view(*masks.shape[:2], -1)
            return self._losses(cls, predictions.float(), targets, hidden, masks.shape[-1])

    @torch.no_grad()
    def targets(self, log_mel: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch patches dim"]:
        """What the decoder has to predict: the teacher's normalised features of the whole clip."""
        if self.config.removes_position:
            log_mel = torch.cat([log_mel, torch.zeros_like(log_mel[:1])])
        layers = self._teacher_layers(self.teacher.embed_patches(log_mel))
        layers = layers[-(self.config.average_top_k_layers or len(layers)) :]
        with torch.autocast(log_mel.device.type, enabled=False):
            mean = torch.zeros(())
            for layer in layers:
                mean = mean + self._normalised(self._of_clips(layer[:, 1:].float())) / len(layers)
            if self.config.normalises_targets:
                mean = F.layer_norm(mean, mean.shape[-1:], eps=NORM_EPS)
        return mean

    def encode_visible(
        self,
        log_mel: Float[Tensor, "batch frames mels"],
        masks: Bool[Tensor, "batch clones patches"],
        noise: Float[Tensor, "rows patches dim"],
    ) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, "rows patches dim"]]:
        """CLS of every clone, and the decoder's input: student features where visible, else noise."""
        student = self.student
        patches = student.embed_patches(log_mel)
        num_patches, dim = patches.shape[1:]
        num_visible = self.config.mask.num_visible(num_patches)
        # The count is known beforehand, so that the device need not be asked for it.
        visible = masks.to(torch.uint8).argsort(dim=-1, stable=True)[..., :num_visible]
        seen = patches.gather(1, visible.flatten(1)[..., None].expand(-1, -1, dim))
        tokens = student.encode(seen.reshape(-1, num_visible, dim)).tokens
        places = visible.flatten(0, 1)[..., None].expand(-1, -1, dim)
        return tokens[:, 0], noise.to(tokens.dtype).scatter(1, places, tokens[:, 1:])

    def _hidden(self, masks: Bool[Tensor, "batch clones patches"]) -> Int[Tensor, "batch clones hidden"]:
        """Numbers of the patches that each clone does not see."""
        num_visible = self.config.mask.num_visible(masks.shape[-1])
        return masks.to(torch.uint8).argsort(dim=-1, stable=True)[..., num_visible:]

    def _predictions(
        self,
        grid: Float[Tensor, "rows patches dim"],
        hidden: Int[Tensor, "batch clones hidden"],
        num_columns: int,
    ) -> Float[Tensor, "batch clones hidden dim"]:
        """What the decoder says of the hidden patches, the only ones that count.

        On the processor some clones go through it at a time, and again in the backward pass: its activations,
        a third of the memory of a step, never exist for all at once.
        """
        wanted = hidden.flatten(0, 1)
        if grid.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            predictions: Tensor = self.decoder(grid, num_columns, wanted)
        else:
            parts = (torch.split(rows, CLONES_AT_A_TIME) for rows in (grid, wanted))
            decoded = [
                checkpoint(self.decoder, some, num_columns, at, use_reentrant=False, preserve_rng_state=False)
                for some, at in zip(*parts, strict=True)
            ]
            predictions = torch.cat(decoded)
        return predictions.view(*hidden.shape, -1)

    def mask_noise(
        self, draw_ids: Int[Tensor, " batch"], num_patches: int
    ) -> Float[Tensor, "rows patches dim"]:
        """Gaussian noise for every patch of every clone, each a stretch of one long table.

        Numbers from a generator seeded by each clip would need the draw ids on the host, and a wait for the
        device; hashing each number costs more memory than the rest of the decoder's input.
        """
        dim = self.student.config.embed_dim
        num_clones = self.config.num_clones
        draws = uniforms(self.seed, Stream.MASK_NOISE, draw_ids, num_clones * num_patches)
        starts = (draws * (NOISE_TABLE_SIZE - dim)).long().view(-1, num_patches)
        return self.noise_table.unfold(0, dim, 1)[starts]

    @torch.no_grad()
    def after_step(self, num_updates: int) -> None:
        """Move the teacher towards the student: teacher = decay * teacher + (1 - decay) * student."""
        weight = 1 - self.config.ema_decay_at(num_updates)
        student = [parameter.float() for parameter in self.student.parameters()]
        torch._foreach_lerp_(list(self.teacher.parameters()), student, weight)

    def _grid(self, log_mel: Float[Tensor, "batch frames mels"]) -> tuple[int, int]:
        """Patches along time and along frequency."""
        size = self.student.config.patch_size
        return log_mel.shape[1] // size, log_mel.shape[2] // size

    def _teacher_layers(
        self, patches: Float[Tensor, "batch patches dim"]
    ) -> list[Float[Tensor, "batch tokens dim"]]:
        if self.config.target_source == "mlp":
            return list(self.teacher.encode(patches, collect_mlp_outputs=True).mlp_outputs)
        return list(self.teacher.encode(patches, collect_block_outputs=True).block_outputs)

    def _of_clips(self, layer: Float[Tensor, "rows patches dim"]) -> Float[Tensor, "batch patches dim"]:
        """A block's output for every clip, without its output for the empty clip in the last row."""
        return layer[:-1] - layer[-1:] if self.config.removes_position else layer

    def _normalised(self, layer: Float[Tensor, "batch patches dim"]) -> Float[Tensor, "batch patches dim"]:
        match self.config.target_layer_norm:
            case "instance":
                by_channel = layer.transpose(1, 2)
                return F.layer_norm(by_channel, by_channel.shape[-1:], eps=NORM_EPS).transpose(1, 2)
            case "layer":
                return F.layer_norm(layer, layer.shape[-1:], eps=NORM_EPS)
            case "none":
                return layer

    def _losses(
        self,
        cls: Float[Tensor, "batch clones dim"],
        predictions: Float[Tensor, "batch clones hidden dim"],
        targets: Float[Tensor, "batch patches dim"],
        hidden: Int[Tensor, "batch clones hidden"],
        num_patches: int,
    ) -> Losses:
        scale = self.config.loss_scale or targets.shape[-1] ** -0.5
        places = hidden.flatten(1)[..., None].expand(-1, -1, targets.shape[-1])
        wanted = targets.gather(1, places).view_as(predictions)
        frame_loss = scale * self._errors(predictions, wanted).mean()
        utterance_errors = self._errors(cls, targets.mean(dim=1)[:, None])
        over_rows = utterance_errors.sum() if self.config.sums_utterance_rows else utterance_errors.mean()
        utterance_loss = self.config.utterance_weight * scale * over_rows
        total = frame_loss + utterance_loss
        terms = {
            "loss": total.detach(),
            "frame_loss": frame_loss.detach(),
            "utterance_loss": utterance_loss.detach(),
            "prediction_std": _mean_std(predictions.detach()),
            "target_std": _mean_std(wanted),
            "masked_share": total.new_full((), hidden.shape[-1] / num_patches),
        }
        return Losses(total=total, weight=total.new_full((), len(targets)), terms=terms)

    def _errors(
        self, predictions: Float[Tensor, "*rows dim"], targets: Float[Tensor, "*wanted dim"]
    ) -> Float[Tensor, "*rows"]:
        """Error of each row, summed over its channels; targets are broadcast over the clones."""
        differences = predictions - targets
        if self.config.loss_beta == 0:
            return differences.square().sum(dim=-1)
        zeros = torch.zeros_like(differences)
        return F.smooth_l1_loss(differences, zeros, reduction="none", beta=self.config.loss_beta).sum(dim=-1)


def _mean_std(values: Float[Tensor, "batch clones hidden dim"]) -> Float[Tensor, ""]:
    """Standard deviation over all patches of all clips, averaged over channels; 0.001 if constant."""
    return (values.flatten(0, 2).var(dim=0) + 1e-6).sqrt().mean()
