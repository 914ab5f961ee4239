"""`nano` as a base model: frames, latents, captions, layers and the identity of its weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import random_frames, random_tensor
from torch import Tensor

from vov_lightning.bases import ClipSize
from vov_lightning.bases.nano.model import Nano, _digest, position_planes
from vov_lightning.bases.nano.vocabulary import ATTRIBUTES
from vov_lightning.errors import BaseModelError

SIZES = [ClipSize(1, 8, 8), ClipSize(1, 24, 16), ClipSize(5, 16, 24), ClipSize(9, 16, 8)]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def saved(tiny_nano: Nano, tmp_path: Path) -> Path:
    tiny_nano.save(tmp_path / "weights")
    return tmp_path / "weights"


class TestSizes:
    @pytest.mark.parametrize("size", [*SIZES, Nano.default_size])
    def test_sizes_that_fit_are_accepted(self, tiny_nano: Nano, size: ClipSize) -> None:
        tiny_nano.check_size(size)

    @pytest.mark.parametrize("size", [ClipSize(0, 64, 64), ClipSize(9, 60, 64), ClipSize(9, 64, 63)])
    def test_sizes_that_do_not_fit_are_refused(self, tiny_nano: Nano, size: ClipSize) -> None:
        message = (
            rf"size {size.frames} x {size.height} x {size.width} does not suit base model nano: "
            "frames must be 1 or more, height a multiple of 8, width of 8; none 0"
        )
        with pytest.raises(BaseModelError, match=message):
            tiny_nano.check_size(size)

    @pytest.mark.parametrize(
        ("size", "nearest"),
        [
            (ClipSize(80, 480, 830), "80 frames of 832x480"),
            (ClipSize(79, 4, 3), "79 frames of 8x8"),
            (ClipSize(78, -3, 0), "78 frames of 8x8"),
            (ClipSize(9217, 64, 64), "9216 frames of 64x64"),
            (ClipSize(0, 61, 59), "1 frame of 56x64"),
        ],
    )
    def test_the_nearest_size_is_named(self, tiny_nano: Nano, size: ClipSize, nearest: str) -> None:
        with pytest.raises(BaseModelError, match=f"; nearest: {nearest}$"):
            tiny_nano.check_size(size)

    def test_the_nearest_size_is_within_the_models_limits(
        self, tiny_nano: Nano, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Nano, "max_positions", 10)
        with pytest.raises(BaseModelError, match=r"end at height 80 and width 80; nearest: 9 frames of 80x64$"):
            tiny_nano.check_size(ClipSize(9, 64, 88))
        monkeypatch.setattr(Nano, "max_frames", 11)
        assert tiny_nano.nearest_size(ClipSize(81, 999, 64)) == ClipSize(11, 80, 64)

    def test_the_last_clip_that_is_taken_fills_the_positions_of_the_transformer(self, tiny_nano: Nano) -> None:
        size = ClipSize(Nano.max_frames, 8 * Nano.max_positions, 64)
        transformer: Any = tiny_nano.transformer
        tiny_nano.check_size(size)
        assert tiny_nano.latent_shape(size)[1:3] == (1024, 1024) == 2 * (transformer.rope.max_seq_len,)


class TestPositions:
    @pytest.mark.parametrize("size", [(8, 8), (4, 16)])
    def test_planes_are_orthogonal_and_of_unit_variance(self, size: tuple[int, int]) -> None:
        planes = position_planes(*size)[0].flatten(1)
        products = planes @ planes.T / planes.shape[1]
        torch.testing.assert_close(products, torch.eye(15), rtol=0, atol=1e-5)
        torch.testing.assert_close(planes.mean(1), torch.zeros(15), rtol=0, atol=1e-6)

    def test_velocity_depends_on_where_a_token_lies(self, tiny_nano: Nano) -> None:
        """Without the planes, equal tokens would be moved alike."""
        velocity = tiny_nano.velocity("")(torch.ones(1, 16, 1, 4, 4), torch.tensor([0.5]))[0, :, 0]
        assert float((velocity[:, 0, 0] - velocity[:, 3, 3]).abs().max()) > 1e-3


class TestWeights:
    def test_round_trip(self, tiny_nano: Nano, saved: Path) -> None:
        loaded = Nano(str(saved))
        assert loaded.fingerprint() == tiny_nano.fingerprint()
        assert len(loaded.fingerprint()) == 8
        assert (loaded.revision, loaded.config) == ("untrained", tiny_nano.config)
        original = tiny_nano.state_dict()
        assert loaded.state_dict().keys() == original.keys()
        for name, tensor in loaded.state_dict().items():
            expected = original[name]
            if expected.is_floating_point():
                expected = expected.half().float()  # weights are stored in float16
            assert tensor.dtype == original[name].dtype
            assert torch.equal(tensor, expected), name

    def test_a_loaded_model_is_frozen_and_saves_to_the_same_bytes(self, saved: Path, tmp_path: Path) -> None:
        loaded = Nano(str(saved))
        assert not loaded.training
        assert not any(parameter.requires_grad for parameter in loaded.parameters())
        loaded.save(tmp_path / "again")
        for name in ("config.json", "weights.safetensors"):
            assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()

    def test_loaded_models_predict_the_same(self, saved: Path) -> None:
        x_t, t = random_tensor(1, 16, 2, 2, 2), torch.tensor([0.4])
        first, second = (Nano(str(saved)).velocity("red")(x_t, t) for _ in range(2))
        assert torch.equal(first, second)

    @pytest.mark.parametrize(
        "name", ["words.table.weight", "_transformer.blocks.1.ffn.net.2.bias", "autoencoder.spread"]
    )
    def test_one_changed_weight_changes_the_fingerprint(self, tiny_nano: Nano, saved: Path, name: str) -> None:
        tensors = load_file(saved / "weights.safetensors")
        tensors[name].view(-1)[-1] += 0.125
        save_file(tensors, saved / "weights.safetensors")
        assert Nano(str(saved)).fingerprint() != tiny_nano.fingerprint()

    def test_swapping_two_tensors_changes_the_fingerprint(self, tiny_nano: Nano, saved: Path) -> None:
        tensors = load_file(saved / "weights.safetensors")
        first, second = (f"_transformer.blocks.0.attn1.{kind}.weight" for kind in ("to_q", "to_k"))
        tensors[first], tensors[second] = tensors[second], tensors[first]
        save_file(tensors, saved / "weights.safetensors")
        assert Nano(str(saved)).fingerprint() != tiny_nano.fingerprint()

    @pytest.mark.parametrize(
        "other", [{"a": torch.ones(3, 2)}, {"b": torch.ones(2, 3)}, {"a": torch.ones(2, 3, dtype=torch.int16)}]
    )
    def test_fingerprints_cover_names_shapes_and_kinds(self, other: dict[str, Tensor]) -> None:
        assert _digest(other) != _digest({"a": torch.ones(2, 3)})


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def remove_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def remove_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def truncate_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def garble_weights(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"\xff" * 1000)


def garble_config(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"{\xff")


def edit_config(folder: Path, edit: Callable[[dict], object]) -> None:
    settings = json.loads((folder / "config.json").read_text())
    edit(settings)
    (folder / "config.json").write_text(json.dumps(settings))


def drop_revision(folder: Path) -> None:
    edit_config(folder, lambda settings: settings.pop("revision"))


def drop_sizes(folder: Path) -> None:
    edit_config(folder, lambda settings: settings.pop("sizes"))


def name_an_unknown_size(folder: Path) -> None:
    edit_config(folder, lambda settings: settings["sizes"].update(depth=3))


def change_a_size(folder: Path) -> None:
    edit_config(folder, lambda settings: settings["sizes"].update(ffn_dim=72))


def drop_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "weights.safetensors")
    del tensors["words.table.weight"]
    save_file(tensors, folder / "weights.safetensors")


DAMAGE = [
    remove_folder,
    remove_config,
    remove_weights,
    truncate_weights,
    garble_weights,
    garble_config,
    drop_revision,
    drop_sizes,
    name_an_unknown_size,
    change_a_size,
    drop_a_tensor,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damaged_weights_are_refused_by_folder(saved: Path, damage: Callable[[Path], None]) -> None:
    damage(saved)
    with pytest.raises(BaseModelError, match=r"^nano's weights cannot be read from .*; reinstall .*$") as caught:
        Nano(str(saved))
    assert str(saved) in str(caught.value)


class TestLayers:
    def test_layers_come_block_by_block_in_the_documented_order(self, tiny_nano: Nano) -> None:
        kinds = ["attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0"]
        kinds += ["attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0", "ffn.net.0.proj", "ffn.net.2"]
        assert list(tiny_nano.target_kinds) == kinds  # part of the format: masks in files count these
        layers = tiny_nano.adapted_layers(tuple(reversed(kinds)))
        assert list(layers) == [f"{block}.{kind}" for block in (0, 1) for kind in kinds]
        for name, layer in layers.items():
            assert layer is tiny_nano.transformer.get_submodule(f"blocks.{name}")
            assert isinstance(layer, torch.nn.Linear)

    def test_all_but_the_attention_to_the_caption_is_adapted_by_default(self, tiny_nano: Nano) -> None:
        attention = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")
        assert tiny_nano.default_targets == (*attention, "ffn.net.0.proj", "ffn.net.2")

    @pytest.mark.parametrize(
        "targets", [("attn1.to_q",), ("attn1.to_out.0", "ffn.net.2"), Nano.default_targets, Nano.target_kinds]
    )
    def test_masks_round_trip(self, tiny_nano: Nano, targets: tuple[str, ...]) -> None:
        mask = tiny_nano.targets_to_mask(targets)
        assert mask == sum(2 ** Nano.target_kinds.index(target) for target in targets)
        assert tiny_nano.mask_to_targets(mask) == targets

    def test_masks_ignore_the_order_of_targets(self, tiny_nano: Nano) -> None:
        assert tiny_nano.targets_to_mask(("ffn.net.2", "attn1.to_q")) == 0b10_0000_0001
        assert tiny_nano.mask_to_targets(0b10_0000_0001) == ("attn1.to_q", "ffn.net.2")

    @pytest.mark.parametrize("targets", [(), ("attn1.to_x",), ("attn1.to_q", "proj_out")])
    def test_unknown_targets_are_refused(self, tiny_nano: Nano, targets: tuple[str, ...]) -> None:
        with pytest.raises(BaseModelError, match=r"must name one or more of \['attn1.to_q', .*for base model nano"):
            tiny_nano.adapted_layers(targets)

    def test_masks_of_unknown_kinds_are_refused(self, tiny_nano: Nano) -> None:
        assert tiny_nano.mask_to_targets(0b11_1111_1111) == Nano.target_kinds
        with pytest.raises(BaseModelError, match=r"targets mask 0x401 names layer kinds that base model nano"):
            tiny_nano.mask_to_targets(0x401)


class TestCaptions:
    def velocity(self, nano: Nano, caption: str) -> Tensor:
        return nano.velocity(caption)(random_tensor(2, 16, 2, 2, 2), torch.tensor([0.2, 0.8]))

    def test_the_empty_caption_is_taken(self, tiny_nano: Nano) -> None:
        assert tiny_nano.embed("").shape == (1, len(ATTRIBUTES), 16)
        velocity = self.velocity(tiny_nano, "")
        assert velocity.shape == (2, 16, 2, 2, 2)
        assert velocity.dtype == torch.float32

    @pytest.mark.parametrize("caption", ["red", "moving left", "zooming out", "dark"])
    def test_velocity_depends_on_the_caption(self, tiny_nano: Nano, caption: str) -> None:
        # Exact inequality would pass on rounding; an untrained model still shifts by far more.
        difference = self.velocity(tiny_nano, caption) - self.velocity(tiny_nano, "")
        assert float(difference.abs().max()) > 1e-4

    def test_velocity_depends_on_time(self, tiny_nano: Nano) -> None:
        x_t = random_tensor(1, 16, 2, 2, 2)
        early, late = (tiny_nano.velocity("")(x_t, torch.tensor([t])) for t in (0.9, 0.1))
        assert float((early - late).abs().max()) > 1e-3

    def test_time_reaches_the_transformer_as_a_thousand_t_in_float32(
        self, tiny_nano: Nano, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []

        def forward(x_t: Tensor, timestep: Tensor, words: Tensor, return_dict: bool) -> tuple[Tensor]:
            seen.append((x_t, timestep, words))
            return (x_t[:, :16],)

        monkeypatch.setattr(tiny_nano.transformer, "forward", forward)
        t = torch.tensor([0.2001, 0.8])
        tiny_nano.velocity("red")(torch.zeros(2, 16, 1, 1, 1), t)
        _, timestep, words = seen[0]
        assert timestep.dtype == torch.float32
        assert torch.equal(timestep, 1000 * t)
        assert words.shape == (2, len(ATTRIBUTES), 16)

    def test_words_have_rows_of_their_own(self, tiny_nano: Nano) -> None:
        unsaid = tiny_nano.embed("")[0]
        rows = [*unsaid]
        for slot, words in enumerate(ATTRIBUTES.values()):
            for word in words:
                said = tiny_nano.embed(word)[0]
                assert (said != unsaid).any(-1).tolist() == [slot == other for other in range(len(ATTRIBUTES))]
                rows.append(said[slot])
        # Every row of the table has one meaning, and every meaning a row.
        assert len(torch.stack(rows).unique(dim=0)) == len(rows) == len(tiny_nano.words.table.weight)

    def test_unknown_words_are_refused(self, tiny_nano: Nano) -> None:
        with pytest.raises(BaseModelError, match="caption word 'elephant' is not in nano's vocabulary"):
            tiny_nano.embed("an elephant")

    def test_descriptions_are_captions(self, tiny_nano: Nano) -> None:
        caption = tiny_nano.describe(random_frames(ClipSize(5, 64, 64)))
        assert tiny_nano.embed(caption).shape == (1, len(ATTRIBUTES), 16)


def test_example_prompts_are_in_the_vocabulary_and_differ(tiny_nano):
    conditions = [tiny_nano.embed(prompt) for prompt in tiny_nano.example_prompts]
    assert len({condition.numpy().tobytes() for condition in conditions}) == len(conditions) >= 2
