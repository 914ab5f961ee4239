"""Captions from vision-language models, for base models that bring no captioner of their own.

`EndpointCaptioner` asks a server, `LocalCaptioner` runs a model on this
machine; another one is a subclass of `Captioner`. Only fitting asks for a
caption: the file stores it, and decoding imports nothing from here.
"""

from vov_lightning.captioners.base import DEFAULT_PROMPT, Captioner
from vov_lightning.captioners.endpoint import EndpointCaptioner
from vov_lightning.captioners.local import LocalCaptioner

__all__ = ["DEFAULT_PROMPT", "Captioner", "EndpointCaptioner", "LocalCaptioner"]
