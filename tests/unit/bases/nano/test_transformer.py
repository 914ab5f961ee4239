"""Our transformer is diffusers' to the last bit: random start, output, gradients, under autocast too."""

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from vov_lightning.bases.nano.transformer import WanTransformer

pytestmark = pytest.mark.usefixtures("one_thread")


def made(reference: bool) -> nn.Module:
    torch.manual_seed(0)
    if not reference:
        return WanTransformer(10, 6, 8, heads=2, ffn_dim=32, layers=2)
    return WanTransformer3DModel(
        patch_size=(1, 1, 1),
        num_attention_heads=2,
        attention_head_dim=64,
        in_channels=10,
        out_channels=6,
        text_dim=8,
        freq_dim=64,
        ffn_dim=32,
        num_layers=2,
    )


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, words = torch.randn(3, 10, 2, 5, 7, generator=generator), torch.randn(3, 7, 8, generator=generator)
    return x, 1000 * torch.rand(3, generator=generator), words


def test_parameters_are_the_same():
    ours, theirs = made(False).state_dict(), made(True).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("autocast", [False, True])
def test_output_and_gradients_are_the_same(autocast):
    ours, theirs = made(False), made(True)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output, expected = ours(*inputs()), theirs(*inputs(), return_dict=False)[0]
    assert torch.equal(output, expected)
    gradients = torch.autograd.grad(output.float().square().sum(), list(ours.parameters()))
    wanted = torch.autograd.grad(expected.float().square().sum(), list(theirs.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(gradients, wanted, strict=True))


def test_as_diffusers_shares_the_weights():
    ours = made(False).eval()
    theirs = ours.as_diffusers()
    assert isinstance(theirs, WanTransformer3DModel)
    assert theirs.proj_out.weight.data_ptr() == ours.proj_out.weight.data_ptr()
    assert torch.equal(theirs(*inputs(), return_dict=False)[0], ours(*inputs()))
