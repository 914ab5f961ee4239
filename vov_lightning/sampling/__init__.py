"""From noise to latents: the decoder's settings (`config`) and the denoising loop (`sampler`).

Where a file holds indices, they choose the noise of the steps: `steering` takes
them, by the stochastic steps of `kernels`, from the codebooks of `candidates`.
"""
