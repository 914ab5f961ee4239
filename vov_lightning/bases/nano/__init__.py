"""`nano`: the bundled text-to-video model, its autoencoder, and the closed vocabulary of its captions."""

from vov_lightning.bases.nano.model import Nano, Nano3, NanoConfig

__all__ = ["Nano", "Nano3", "NanoConfig"]
