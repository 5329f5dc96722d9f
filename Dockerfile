# CPU:   docker build -t rsir-bench .
# CUDA:  docker build -t rsir-bench --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg TORCH=cu128 .
# Run:   docker run --rm -v "$PWD:/work" -v "$HOME/data:/data:ro" rsir-bench run --protocol demo --methods baseline
ARG BASE=ubuntu:24.04
FROM ${BASE}

# The wheels of torch: cpu, cu126, cu128, ...
ARG TORCH=cpu
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PATH=/opt/venv/bin:$PATH
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/venv \
 && pip install uv \
 && uv pip install --python /opt/venv/bin/python --no-cache --torch-backend="${TORCH}" torch torchvision

COPY . /opt/rsir-bench
RUN pip install "/opt/rsir-bench[tif,hdf5]"

# Scenes are read from /data, runs are written below /work, pixels are cached in a volume.
ENV RSIR_BENCH_DATA=/data RSIR_BENCH_CACHE=/cache
RUN useradd --create-home bench && mkdir /cache /work && chown bench /cache /work
VOLUME /cache
USER bench
WORKDIR /work
ENTRYPOINT ["rsir-bench"]
CMD ["--help"]
