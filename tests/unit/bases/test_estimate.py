"""Costs that are counted without weights, against formulas and against the same model with weights."""

from dataclasses import replace

import pytest
import torch
from jsonargparse import Namespace

from vov_lightning.bases import ClipSize
from vov_lightning.bases.estimate import Estimate, estimate
from vov_lightning.bases.flux2 import Flux2KleinBase4B
from vov_lightning.bases.hub import HubModel
from vov_lightning.bases.hunyuan_video15 import HunyuanVideo15
from vov_lightning.bases.ltx_video import LTXVideo
from vov_lightning.bases.qwen_image import QwenImage
from vov_lightning.bases.wan import Wan13B
from vov_lightning.bases.wan22 import Wan22TI2V5B
from vov_lightning.bases.z_image import ZImage
from vov_lightning.cli import info
from vov_lightning.cli.costs import format_costs
from vov_lightning.errors import BaseModelError

HUB = [Wan13B, Wan22TI2V5B, QwenImage, LTXVideo, HunyuanVideo15, ZImage, Flux2KleinBase4B]

pytestmark = pytest.mark.usefixtures("one_thread")


def test_wan_at_the_papers_size_is_what_its_sizes_say():
    costs = estimate(Wan13B.skeleton(), ClipSize(81, 480, 832), rank=1)
    tokens, width, inner, layers, text = 21 * 30 * 52, 1536, 8960, 30, 512
    assert costs.tokens == tokens
    assert (costs.adapted_layers, costs.num_entries) == (8 * layers, 8 * layers * 2 * width)
    assert costs.latent_entries == 16 * 21 * 60 * 104
    assert 1.41e9 < costs.parameters < 1.43e9
    assert costs.attention_flops == 4 * layers * tokens * (tokens + text) * width
    linear = 2 * layers * tokens * (6 * width**2 + 2 * width * inner)  # without the text's keys and values
    assert linear < costs.linear_flops < 1.01 * linear
    assert costs.draw_flops == 2 * costs.linear_flops + 3.5 * costs.attention_flops
    assert 60e9 < costs.activation_bytes < 90e9
    assert costs.block_bytes < costs.activation_bytes / 10


@pytest.mark.parametrize(
    "family",
    [Wan13B, Wan22TI2V5B, QwenImage, LTXVideo, HunyuanVideo15, ZImage, Flux2KleinBase4B],
    ids=lambda family: family.name,
)
def test_no_weights_are_needed_for_the_same_figures(family: type[HubModel]):
    size = ClipSize(1, 64, 96)
    with torch.device("meta"):
        skeleton = family.untrained()
    assert estimate(skeleton, size, 2) == estimate(family.untrained(), size, 2)


@pytest.mark.parametrize(
    ("size", "tokens", "teraflops"), [(ClipSize(81, 480, 832), 8190, 98), (ClipSize(121, 704, 1280), 27280, 517)]
)
def test_wan22_has_a_quarter_of_the_tokens(size: ClipSize, tokens: int, teraflops: int):
    costs = estimate(Wan22TI2V5B.skeleton(), size, rank=1)
    assert (costs.tokens, round(costs.forward_flops / 1e12)) == (tokens, teraflops)
    assert 4.99e9 < costs.parameters < 5.01e9


def test_rank_and_targets_count():
    base, size = Wan13B.untrained(), ClipSize(5, 64, 64)
    one, two = (estimate(base, size, rank) for rank in (1, 2))
    everything = estimate(base, size, 1, base.target_kinds)
    assert two.num_entries == 2 * one.num_entries
    assert everything.adapted_layers > one.adapted_layers
    assert everything.activation_bytes > one.activation_bytes


def test_vov_info_answers_before_anything_is_downloaded(capsys):
    assert info.main(["--base=wan2.1-t2v-1.3b", "--size=832x480", "--frames=81"]) == 0
    text = capsys.readouterr().out
    for figure in (
        "32760 tokens",
        "D = 737280 entries",
        "D / k = 5.62",
        "283 TFLOP",
        "H100 80 GB",
        "checkpointing",
        "A model, not a measurement",
    ):
        assert figure in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a .vov file, or --base"),
        (["x.vov", "--base=nano"], "give a .vov file, or --base"),
        (["--base=nano", "--size=64"], "size='64' is not WIDTHxHEIGHT"),
        (["--base=nano", "--size=64x60"], "height a multiple of 8"),
        (["--base=qwen-image", "--frames=3"], "3 frames do not suit base model qwen-image"),
        (["--base=sora"], "base model 'sora' is not registered"),
        (["--base=nano", "--rank=0"], "--rank 0 is below 1"),
        (["--base=nano", "--k=-5"], "--k -5 is below 1"),
        (["--base=nano", "--steps=0"], "--steps 0 is below 1"),
    ],
)
def test_what_cannot_be_estimated_is_refused(arguments, message, capsys):
    assert info.main(arguments) == 1
    assert message in capsys.readouterr().err


def test_a_vector_longer_than_the_adapter_is_said_to_be_refused(capsys):
    assert info.main(["--base=nano", "--k=36865"]) == 0
    assert "a fit refuses k above D" in capsys.readouterr().out
    assert info.main(["--base=nano", "--k=36864"]) == 0
    assert "refuses" not in capsys.readouterr().out


def test_times_are_of_what_fits_the_gpu(capsys):
    arguments = Namespace(rank=1, k=1, draws=1, steps=1)
    costs = Estimate(1, 1, 1, 1, 1, 60e12, 40e12, 0, 0, 0, 0)
    times = {}
    for none, attention, everything in ((1e9, 1e9, 1e9), (1e15, 1e9, 1e9), (1e15, 1e15, 1e9), (1e15, 1e15, 1e15)):
        needs = replace(costs, activation_bytes=int(none), attention_bytes=int(attention), block_bytes=int(everything))
        (row,) = [line for line in format_costs(needs, ClipSize(1, 8, 8), arguments).splitlines() if "A100" in line]
        times[none, attention, everything] = row.split()[3:]
    found = list(times.values())
    assert found[0] == ["none", "2.1", "s", "2.1", "s", "801.3", "ms"]
    assert found[1] == ["attention", "2.6", "s", "2.6", "s", "801.3", "ms"]  # all but attention once more
    assert found[2] == ["all", "2.9", "s", "2.9", "s", "801.3", "ms"]  # a forward pass more
    assert found[3] == ["does", "not", "fit", "-", "-", "-"]


def test_estimates_know_the_models_rules():
    with pytest.raises(BaseModelError, match="must name one or more"):
        estimate(Wan13B.untrained(), ClipSize(1, 64, 64), 1, ("attn9",))
