"""``model.fit_base``: draws go through a many-step sibling, the file names the model that decodes."""

import pytest
import torch

from vov_lightning.bases.nano.model import Nano
from vov_lightning.bitstream import VovFile
from vov_lightning.cli import decode
from vov_lightning.video import read_signal


@pytest.fixture(scope="module")
def sibling(tmp_path_factory, tiny_weights):
    """The tiny model with other weights in its transformer: a few-step sibling, as far as shapes go."""
    folder = tmp_path_factory.mktemp("sibling")
    model = Nano(str(tiny_weights))
    with torch.no_grad():
        for number, parameter in enumerate(model.transformer.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter.add_(0.05 * noise)
    model.revision = "few"
    model.save(folder)
    return folder


def base_words(name: str, weights) -> list[str]:
    return [f"--model.{name}=nano", f"--model.{name}.weights={weights}"]


@pytest.mark.parametrize("objective", ["FlowMatching", "Reconstruction"])
def test_draws_go_through_it_and_the_file_names_the_decoder(objective, run_fit, sibling, tiny_weights, tmp_path):
    words = [f"--model.objective={objective}", "--model.init_range=0.5"]
    siblings = {"both": [*base_words("base", sibling), *base_words("fit_base", tiny_weights)]}
    siblings |= {"few": base_words("base", sibling), "many": base_words("base", tiny_weights)}
    files = {}
    for name, more in siblings.items():
        assert run_fit(*words, *more, f"--name={name}") == 0
        files[name] = VovFile.open(tmp_path / "runs" / name / "ramp.vov")
    both, few, many = (files[name] for name in ("both", "few", "many"))
    assert (both.header.base_revision, both.header.base_fingerprint) == ("few", few.header.base_fingerprint)
    alike, other = (many, few) if objective == "FlowMatching" else (few, many)
    assert both.symbols.tolist() == alike.symbols.tolist()
    assert both.symbols.tolist() != other.symbols.tolist()

    file, output = tmp_path / "runs" / "both" / "ramp.vov", tmp_path / "out"
    assert decode.main([str(file), "-o", str(output), "--base=nano", f"--base.weights={sibling}"]) == 0
    assert len(read_signal(output).frames) == 9


def test_another_architecture_is_refused(run_fit, tiny_weights, capsys):
    assert run_fit("--model.fit_base=nano") == 1
    assert "fit_base=nano and base=nano differ in layer" in capsys.readouterr().err
