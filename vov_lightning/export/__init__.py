"""Exports of ``.vov`` files: LoRA for PEFT and diffusers, merged weights, a card for a folder of files.

There is no way back: a hash is not invertible (`source`). Writing needs neither PEFT nor the text encoder, but the base
model's weights, whose fingerprint says that the file belongs to them.
"""

from vov_lightning.export.lora import export_diffusers, export_native, export_peft, lora_matrices
from vov_lightning.export.merged import export_merged
from vov_lightning.export.unilora import export_unilora

__all__ = ["export_diffusers", "export_merged", "export_native", "export_peft", "export_unilora", "lora_matrices"]
