"""What models of single frames share whose autoencoder takes pictures: no axis of time."""

from torch import Tensor

from vov_lightning.bases.base import ClipSize
from vov_lightning.bases.hub import HubModel


class PictureModel(HubModel):
    """A model of single frames, of diffusers' parts."""

    temporal_factor = 1
    max_frames = 1
    size_multiple = (16, 16)
    default_size = ClipSize(frames=1, height=512, width=768)

    @property
    def spatial_factor(self) -> int:
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def _encode_pixels(self, pixels: Tensor) -> Tensor:
        return super()._encode_pixels(pixels[:, :, 0]).unsqueeze(2)

    def _decode_pixels(self, latents: Tensor) -> Tensor:
        return super()._decode_pixels(latents[:, :, 0]).unsqueeze(2)
