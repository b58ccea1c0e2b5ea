"""The transformer block with its parts: attention, MLP and stochastic depth."""

from jaxtyping import Float
from torch import Tensor, nn

from bioacoustics.models.attention import attend
from bioacoustics.models.linear import Linear, gelu_mlp


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection for queries, keys and values."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Every token attends to every token of its row."""
        by_head = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = by_head.unbind(0)
        mixed = attend(queries, keys, values)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class Mlp(nn.Module):
    """Two linear layers with the exact (erf) GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(dim, hidden)
        self.fc2 = Linear(hidden, dim)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Transform each token by itself."""
        return gelu_mlp(self.fc1, self.fc2, tokens)


class DropPath(nn.Module):
    """Stochastic depth: while training, zero a branch in random rows and scale up the kept rows."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Return the branch unchanged in eval mode; its expectation is the same in training mode."""
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        return branch * (branch.new_empty(branch.shape[0], 1, 1).bernoulli_(keep) / keep)


class PostNormBlock(nn.Module):
    """Transformer block that normalises after each residual sum, as in BERT, data2vec 2.0 and EAT."""

    def __init__(
        self, dim: int, num_heads: int, hidden: int, *, norm_eps: float, drop_path_rate: float
    ) -> None:
        super().__init__()
        self.attn = Attention(dim, num_heads)
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, hidden)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.drop_path = DropPath(drop_path_rate)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"]
    ) -> tuple[Float[Tensor, "batch tokens dim"], Float[Tensor, "batch tokens dim"]]:
        """Return the block's output, and the MLP's alone before drop path (EAT's regression target)."""
        attended = self.norm1(tokens + self.drop_path(self.attn(tokens)))
        mlp_output: Tensor = self.mlp(attended)
        return self.norm2(attended + self.drop_path(mlp_output)), mlp_output
