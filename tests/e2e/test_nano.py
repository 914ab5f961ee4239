"""The bundled model on the bundled clip: a fit of half a minute already brings the clip back into view."""

import torch

import vov_lightning as vov
from vov_lightning.codec import build_file
from vov_lightning.fitting.draws import DrawConfig
from vov_lightning.fitting.module import psnr_db


def test_a_short_fit_gains_decibels_over_the_unadapted_model(tmp_path):
    base, sampler = vov.load_base("nano"), vov.SamplerConfig(steps=4)
    draws = DrawConfig(batch_size=4, decoder_noise=1.0)
    module = vov.VOVModule(base, draws=draws, sampler=sampler)
    stages = [vov.Unconstrained(60, learning_rate=0.03, warmup=5), vov.RateConstrained(20, learning_rate=0.01)]
    result = vov.fit(vov.SignalData("sample"), module, stages, tmp_path / "run", accelerator="cpu")
    target = module.target

    plain = build_file(base, module.source, module.caption, torch.zeros(0), 1.0, vov.AdapterConfig(), sampler)
    unadapted_db = psnr_db(vov.decode(plain, base), target)
    assert result.metrics["psnr_db"] > unadapted_db + 2
    assert result.metrics["autoencoder_psnr_db"] > 24
    assert result.metrics["bpp"] == 8 * len(result.file.to_bytes()) / target.num_pixels
    assert torch.equal(vov.decode(vov.VovFile.open(result.path)).frames, result.decoded.frames)
