"""Contrastive: clips of one class become alike and unlike `negative/`, against memory banks of momentum keys.

Supervised contrastive loss with the mean outside the logarithm (Khosla et al. 2020, equation 2), keys of a
momentum encoder (He et al. 2020), hard negatives by weight (Robinson et al. 2021).

An anchor is compared with its own second view and with the banks, which hold the keys of *earlier* updates;
the keys of an update enter the banks after it, in the order of their draw ids. So what an anchor costs does
not depend on which other rows share its micro-batch or its process.

Clips of `negative/` are never anchors, but they have to learn, too: were only anchors to move, away from
keys that stand still, all sounds would move together and end in one point. So each of them also costs what
it would cost the positives in the bank as their negative (`repulsion`).
"""

import copy
import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, Field
from torch import Tensor, nn

from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.heads import ClassificationHead
from bioacoustics.objectives.memory_bank import Keys, MemoryBank, gathered
from bioacoustics.objectives.objective import Losses

PAIRED_SLOTS = 256  # of each bank: all pairs of large banks would take longer than the encoder


class ContrastiveConfig(BaseModel, frozen=True, extra="forbid"):
    """How clips are compared.

    Attributes:
        projection_dim: Length of the vectors that are compared.
        temperature: Similarities are divided by it.
        momentum: How slowly the key encoder follows; 0: keys come from the encoder itself.
        bank_size: Slots of each of the two banks, for positives and for negatives.
        negative_weight: How much an entry of the negative bank counts in the denominator, beside 1 of a
            positive: lambda.
        hardness: Negatives are weighted by exp(hardness * similarity), with mean 1 over an anchor's
            negatives: beta. The weights are taken as given: no gradient flows through them.
        dropped_share: Share of an anchor's most similar clips of `negative/` that does not count: often they
            hold the target, unnoticed.
        warmup_updates: Until then all negatives count alike and none is dropped: similarities say little yet.
    """

    projection_dim: int = Field(128, ge=1)
    temperature: float = Field(0.2, gt=0)
    momentum: float = Field(0.99, ge=0, lt=1)
    bank_size: int = Field(4096, ge=1)
    negative_weight: float = Field(1.0, gt=0)
    hardness: float = Field(0.5, ge=0)
    dropped_share: float = Field(0.01, ge=0, lt=1)
    warmup_updates: int = Field(0, ge=0)


class Contrastive(nn.Module):
    """Projection, momentum encoder and the two banks; compares views that someone else has encoded.

    Args:
        encoder: Encoder that learns, of which the keys' encoder is a slow copy; None where features do not
            change, so that one encoder serves both.
        head: Its pooling and hidden layer are the first layer of the projection.
        config: How clips are compared.
    """

    num_updates: Int[Tensor, ""]

    def __init__(
        self, encoder: AudioEncoder | None, head: ClassificationHead, config: ContrastiveConfig
    ) -> None:
        super().__init__()
        self.config = config
        self.projection = nn.Linear(head.head.in_features, config.projection_dim)
        # In a list, so that what belongs to others is not registered a second time.
        self._fast: list[nn.Module] = [
            module for module in (encoder, head, self.projection) if module is not None
        ]
        slow = nn.ModuleList(copy.deepcopy(module) for module in self._fast)
        self.slow = slow.float().requires_grad_(requires_grad=False).eval()
        self.positives = MemoryBank(config.bank_size, config.projection_dim)
        self.negatives = MemoryBank(config.bank_size, config.projection_dim)
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))
        self._waiting: dict[str, list[Keys]] = {"positives": [], "negatives": []}

    def train(self, mode: bool = True) -> "Contrastive":
        """Switch to training or evaluation; the keys' encoder stays in evaluation."""
        super().train(mode)
        self.slow.eval()
        return self

    @property
    def key_encoder(self) -> AudioEncoder:
        """The slow copy of the encoder."""
        encoder = self.slow[0]
        assert isinstance(encoder, AudioEncoder), "features that do not change have no encoder of their own"
        return encoder

    def queries(self, pooled: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows projected"]:
        """Unit vectors of anchors, through which gradients flow."""
        return _projected(pooled, self._fast[-2], self.projection)

    @torch.no_grad()
    def keys(self, pooled: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows projected"]:
        """Unit vectors of what anchors are compared with."""
        return _projected(pooled, self.slow[-2], self.slow[-1])

    def forward(self, queries: Float[Tensor, "rows projected"], keys: Keys) -> Losses:
        """What anchors cost; `keys` are their own second views and say which clips they are.

        `weight` counts the anchors that have a positive; the others are skipped. Terms: `contrastive_loss`,
        and what tells how it goes: `positive_similarity` and `negative_similarity` (means over pairs),
        `harder_negatives` (the share that is more similar than the mean positive), `alignment` and
        `uniformity` (Wang and Isola 2020), `bank_age` (updates) and `bank_filled`.
        """
        with torch.autocast(queries.device.type, enabled=False):
            similarities = self._similarities(queries.float(), keys.features.float())
            is_positive, is_negative = self._relations(keys)
            log_weights = self._log_weights(similarities.detach(), is_positive, is_negative)
            logits = similarities / self.config.temperature
            losses, has_positive = supervised_contrastive(logits, is_positive, log_weights)
            weight = has_positive.sum().float()
            total = losses.sum() / weight.clamp(min=1)
            terms = self._read_outs(similarities.detach(), is_positive, is_negative)
        return Losses(total=total, weight=weight, terms={"contrastive_loss": total.detach(), **terms})

    def repulsion(self, queries: Float[Tensor, "rows projected"]) -> Losses:
        """What clips of `negative/` cost for being similar to the positives in the bank.

        The loss of positive i of the bank is log(1 + W exp(s / temperature) / S_i) when its negatives, of
        total weight W, are all like this clip, which is s similar to it; S_i sums over its positives in the
        bank. The cost of a clip is the mean over i. `weight` counts clips. Terms: `repulsion_loss`.
        """
        bank, config = self.positives, self.config
        with torch.autocast(queries.device.type, enabled=False):
            anchors, is_anchor = bank.features[:PAIRED_SLOTS], bank.is_valid[:PAIRED_SLOTS]
            similarities = queries.float() @ anchors.T
            is_positive = bank.is_valid & (bank.classes[:PAIRED_SLOTS, None] == bank.classes)
            is_positive &= bank.recordings[:PAIRED_SLOTS, None] != bank.recordings
            own = torch.arange(len(anchors), device=anchors.device)
            is_positive[own, own] = is_anchor
            to_positives = (anchors @ bank.features.T / config.temperature).masked_fill(
                ~is_positive, -torch.inf
            )
            log_positives = to_positives.logsumexp(dim=1).masked_fill(~is_anchor, 0.0)
            log_weight = (config.negative_weight * self.negatives.is_valid.sum().clamp(min=1)).log()
            errors = F.softplus(similarities / config.temperature + log_weight - log_positives)
            counts = is_anchor & ~self._is_suspicious(similarities.detach(), anchors)
            costs = _row_means(errors, counts)
        weight = costs.new_full((), len(costs))
        total = _mean(costs)
        return Losses(total=total, weight=weight, terms={"repulsion_loss": total.detach()})

    def remember(self, positives: Keys, negatives: Keys) -> None:
        """Note the keys of a micro-batch; they enter the banks after the update."""
        self._waiting["positives"].append(positives)
        self._waiting["negatives"].append(negatives)

    @torch.no_grad()
    def after_step(self, num_updates: int) -> None:
        """Let the keys of all processes into the banks, then the slow encoder follow; all must call it."""
        self.num_updates.fill_(num_updates)
        nothing = Keys.none(self.config.projection_dim, self.num_updates.device)
        for name, bank in (("positives", self.positives), ("negatives", self.negatives)):
            bank.enqueue(gathered(Keys.joined([nothing, *self._waiting[name]])), num_updates)
            self._waiting[name] = []
        slow: list[Tensor] = list(self.slow.parameters())
        fast = [parameter.float() for module in self._fast for parameter in module.parameters()]
        torch._foreach_lerp_(slow, fast, 1 - self.config.momentum)

    def _similarities(
        self, queries: Float[Tensor, "rows projected"], own: Float[Tensor, "rows projected"]
    ) -> Float[Tensor, "rows entries"]:
        """Of each anchor with its own second view, the positive bank and the negative bank."""
        with_own = (queries * own).sum(dim=1, keepdim=True)
        banks = torch.cat([self.positives.features, self.negatives.features])
        return torch.cat([with_own, queries @ banks.T], dim=1)

    def _relations(self, keys: Keys) -> tuple[Bool[Tensor, "rows entries"], Bool[Tensor, "rows entries"]]:
        """Which entries shall be similar to an anchor and which not; the rest does not count.

        Its own clip in the bank does not count, and of its class not its recording either: that would teach
        the microphone and the weather.
        """
        bank = self.positives
        counts = bank.is_valid & (keys.items[:, None] != bank.items)
        is_same_class = keys.classes[:, None] == bank.classes
        is_same_recording = keys.recordings[:, None] == bank.recordings
        own = torch.ones_like(counts[:, :1])
        others = self.negatives.is_valid.expand(len(keys), -1)
        is_positive = torch.cat(
            [own, counts & is_same_class & ~is_same_recording, torch.zeros_like(others)], dim=1
        )
        is_negative = torch.cat([~own, counts & ~is_same_class, others], dim=1)
        return is_positive, is_negative

    def _log_weights(
        self,
        similarities: Float[Tensor, "rows entries"],
        is_positive: Bool[Tensor, "rows entries"],
        is_negative: Bool[Tensor, "rows entries"],
    ) -> Float[Tensor, "rows entries"]:
        """Logarithm of how much each entry counts in the denominator; minus infinity where it does not."""
        config = self.config
        is_warm = self.num_updates >= config.warmup_updates
        is_counted = is_negative & ~(self._dropped(similarities, is_negative) & is_warm)
        hardness = config.hardness * similarities * is_warm
        hardness = hardness - _log_mean_exp(hardness, is_counted)[:, None]
        log_weights = hardness.masked_fill(~is_counted, -torch.inf).masked_fill(is_positive, 0.0)
        log_weights[:, -self.negatives.size :] += math.log(config.negative_weight)
        return log_weights

    def _dropped(
        self, similarities: Float[Tensor, "rows entries"], is_negative: Bool[Tensor, "rows entries"]
    ) -> Bool[Tensor, "rows entries"]:
        """The most similar entries of the negative bank, as many of each anchor as the config says."""
        size = self.negatives.size
        masked = similarities[:, -size:].masked_fill(~is_negative[:, -size:], -torch.inf)
        ranks = masked.argsort(dim=1, descending=True, stable=True).argsort(dim=1, stable=True)
        num_dropped = (self.negatives.is_valid.sum() * self.config.dropped_share).floor()
        dropped = torch.zeros_like(is_negative)
        dropped[:, -size:] = ranks < num_dropped
        return dropped

    def _is_suspicious(
        self, similarities: Float[Tensor, "rows anchors"], anchors: Float[Tensor, "anchors projected"]
    ) -> Bool[Tensor, "rows anchors"]:
        """Whether a negative is as similar to an anchor as those of the bank that do not count for it."""
        of_bank = (anchors @ self.negatives.features.T).masked_fill(~self.negatives.is_valid, -torch.inf)
        descending = of_bank.sort(dim=1, descending=True).values
        num_dropped = (self.negatives.is_valid.sum() * self.config.dropped_share).floor().long()
        least = descending[:, (num_dropped - 1).clamp(min=0)]
        drops = (num_dropped > 0) & (self.num_updates >= self.config.warmup_updates)
        return (similarities >= least) & drops

    def _read_outs(
        self,
        similarities: Float[Tensor, "rows entries"],
        is_positive: Bool[Tensor, "rows entries"],
        is_negative: Bool[Tensor, "rows entries"],
    ) -> dict[str, Float[Tensor, ""]]:
        positive = _row_means(similarities, is_positive)
        is_harder = (similarities > positive[:, None]).float()
        banks = (self.positives, self.negatives)
        ages = torch.stack([bank.mean_age(self.num_updates) for bank in banks])
        filled = torch.stack([bank.is_valid.float().mean() for bank in banks])
        return {
            "positive_similarity": _mean(positive),
            "negative_similarity": _mean(_row_means(similarities, is_negative)),
            "harder_negatives": _mean(_row_means(is_harder, is_negative)),
            "alignment": _mean(2 - 2 * similarities[:, 0]),
            "uniformity": self._uniformity(),
            "bank_age": ages.mean(),
            "bank_filled": filled.mean(),
        }

    def _uniformity(self) -> Float[Tensor, ""]:
        """Log of the mean of exp(-2 d^2) over pairs of different bank entries; 0: all alike, -4 at best."""
        banks = (self.positives, self.negatives)
        vectors = torch.cat([bank.features[:PAIRED_SLOTS] for bank in banks])
        is_valid = torch.cat([bank.is_valid[:PAIRED_SLOTS] for bank in banks])
        exponents = -2 * (2 - 2 * vectors @ vectors.T)
        are_pairs = (is_valid[:, None] & is_valid).fill_diagonal_(fill_value=False)
        return _log_mean_exp(exponents.flatten()[None], are_pairs.flatten()[None])[0]


def supervised_contrastive(
    logits: Float[Tensor, "rows entries"],
    is_positive: Bool[Tensor, "rows entries"],
    log_weights: Float[Tensor, "rows entries"],
) -> tuple[Float[Tensor, " rows"], Bool[Tensor, " rows"]]:
    """L_out of each anchor, and whether it has a positive; without one its loss is 0 and is to be skipped.

    Args:
        logits: Similarities divided by the temperature.
        is_positive: The entries that an anchor shall be similar to.
        log_weights: Log of how much each entry counts in the denominator; minus infinity: not at all.
    """
    has_positive = is_positive.any(dim=1)
    # A row where nothing counts would be minus infinity minus itself, and poison the gradient of all.
    safe_weights = log_weights.masked_fill(~has_positive[:, None], 0.0)
    log_denominators = (logits + safe_weights).logsumexp(dim=1, keepdim=True)
    log_probabilities = (logits - log_denominators).masked_fill(~is_positive, 0.0)
    return -log_probabilities.sum(dim=1) / is_positive.sum(dim=1).clamp(min=1), has_positive


def _projected(
    pooled: Float[Tensor, "rows dim"], head: nn.Module, projection: nn.Module
) -> Float[Tensor, "rows projected"]:
    assert isinstance(head, ClassificationHead)
    vectors: Tensor = projection(head.represent(pooled))
    with torch.autocast(vectors.device.type, enabled=False):
        return F.normalize(vectors.float(), dim=-1)


def _row_means(
    values: Float[Tensor, "rows entries"], counts: Bool[Tensor, "rows entries"]
) -> Float[Tensor, " rows"]:
    return (values * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1)


def _mean(values: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    return values.sum() / max(1, len(values))


def _log_mean_exp(
    values: Float[Tensor, "rows entries"], counts: Bool[Tensor, "rows entries"]
) -> Float[Tensor, " rows"]:
    """Log of the mean exponential of the entries that count; 0 where none does."""
    total = values.masked_fill(~counts, -torch.inf).logsumexp(dim=1)
    number = counts.sum(dim=1)
    return torch.where(number > 0, total - number.clamp(min=1).log(), torch.zeros_like(total))
