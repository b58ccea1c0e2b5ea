"""Reconstruction: hidden patches of the log-mel told from what is seen, each as seen against its own mean.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, section 3: the error is the mean
square over hidden patches, and a patch is normalised by its own mean and deviation, so that loudness and the
colour of the microphone count less than what happens within the patch.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

SMALLEST_VARIANCE = 1e-3  # of a patch of normalised log-mel; below, it is as good as empty


class Reconstruction(nn.Module):
    """A linear layer from the decoder's features to the pixels of a patch."""

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.pixels = nn.Linear(width, patch_size**2)

    def forward(self, features: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows pixels"]:
        """The normalised patch that is expected at each place."""
        pixels: Tensor = self.pixels(features)
        return pixels

    def loss(
        self,
        pixels: Float[Tensor, "batch clones hidden pixels"],
        log_mel: Float[Tensor, "batch frames mels"],
        hidden: Int[Tensor, "batch clones hidden"],
    ) -> Float[Tensor, ""]:
        """Mean square error over the pixels of the hidden patches; 1 is what a constant guess of 0 costs."""
        patches = normalised_patches(log_mel, self.patch_size)
        places = hidden.flatten(1)[..., None].expand(-1, -1, patches.shape[-1])
        return (pixels - patches.gather(1, places).view_as(pixels)).square().mean()


def normalised_patches(
    log_mel: Float[Tensor, "batch frames mels"], patch_size: int
) -> Float[Tensor, "batch patches pixels"]:
    """The patches in the encoder's order, column after column of bands, each with mean 0 and deviation 1."""
    columns = log_mel.unfold(1, patch_size, patch_size).unfold(2, patch_size, patch_size)
    patches = columns.flatten(3).flatten(1, 2)
    variance = patches.var(dim=-1, keepdim=True, correction=0)
    mean = patches.mean(dim=-1, keepdim=True)
    return (patches - mean) / (variance + SMALLEST_VARIANCE).sqrt()
