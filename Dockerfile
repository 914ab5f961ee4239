# syntax=docker/dockerfile:1
# Untried: no Docker was at hand.
#   CPU:   docker build -t vov .
#   CUDA:  docker build -t vov --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 .
#   Run:   docker run --rm -v "$PWD:/work" vov vov-fit --config instant.yaml          (with --gpus all for CUDA)
#   App:   docker run --rm -p 127.0.0.1:7860:7860 vov vov-app --host 0.0.0.0
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 WANDB_MODE=offline
WORKDIR /opt/vov_lightning
RUN pip install torch torchvision --index-url "$TORCH_INDEX"
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY vov_lightning vov_lightning
RUN pip install ".[app,eval,hub]"
WORKDIR /work
# The quick start, so that an image that cannot run it is not built.
RUN vov-fit --config instant.yaml --data.frames 9 --data.height 64 && rm -r runs
CMD ["vov-fit", "--help"]
