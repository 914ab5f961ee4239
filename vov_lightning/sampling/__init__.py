"""From noise to latents: the decoder's settings (`config`) and the denoising loop (`sampler`)."""
