"""What is no .vov file is refused, and told why there is no way back."""

import json

import pytest
import torch
from safetensors.torch import save_file

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import Limits
from vov_lightning.errors import BitstreamError, ExportError
from vov_lightning.export import export_diffusers, export_peft
from vov_lightning.export.source import open_vov

TENSORS = {"transformer.blocks.0.attn1.to_q.lora_A.weight": torch.zeros(1, 4)}


def test_a_vov_file_is_opened(make_base, make_file, tmp_path):
    file = make_file(make_base(Nano))
    file.save(tmp_path / "x.vov")
    assert open_vov(tmp_path / "x.vov", Limits()) == file


def test_somebodys_lora_is_refused_with_the_reason(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors")
    with pytest.raises(
        ExportError, match=r"no way back.*by a hash, which is not invertible.*fit the clip with vov-fit$"
    ):
        open_vov(tmp_path / "x.safetensors", Limits())


def test_a_peft_folder_is_refused_likewise(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    save_file(TENSORS, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ExportError, match="not invertible"):
        open_vov(tmp_path, Limits())


@pytest.mark.parametrize("export", [export_peft, export_diffusers])
def test_our_own_export_names_the_file_that_it_came_from(make_base, make_file, tmp_path, export):
    base = make_base(Nano)
    file, path = make_file(base), tmp_path / ("folder" if export is export_peft else "x.safetensors")
    export(file, base, path)
    with pytest.raises(ExportError, match=r"or take the \.vov file that this was exported from, SHA-256 [0-9a-f]{64}$"):
        open_vov(path, Limits())


def test_the_authors_checkpoint_has_a_tool_of_its_own(tmp_path):
    save_file({"unilora_theta_d": torch.zeros(4)}, tmp_path / "x.safetensors")
    with pytest.raises(
        ExportError, match=r"holds the vector itself; python tools/import_checkpoint\.py .*x\.safetensors"
    ):
        open_vov(tmp_path / "x.safetensors", Limits())


def test_a_pickle_is_refused_unopened(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"\x80\x04 anything")
    with pytest.raises(ExportError, match="not invertible"):
        open_vov(tmp_path / "x.bin", Limits())


def test_a_folder_of_files_is_sent_to_the_card(tmp_path):
    with pytest.raises(ExportError, match=r"is a folder; give one \.vov file, or --format card"):
        open_vov(tmp_path, Limits())


def test_other_bytes_are_a_damaged_file(tmp_path):
    (tmp_path / "x.vov").write_bytes(b"anything")
    with pytest.raises(BitstreamError, match=r"x\.vov: not a \.vov file"):
        open_vov(tmp_path / "x.vov", Limits())
