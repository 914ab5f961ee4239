"""`nano`: the bundled text-to-video model, its autoencoder, and the closed vocabulary of its captions."""

from vov_lightning.bases.nano.model import Nano, NanoConfig

__all__ = ["Nano", "NanoConfig"]
