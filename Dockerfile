# Switchboard with the embedded model inside: docker build -t switchboard . && docker run -p 127.0.0.1:8000:8000 switchboard

FROM python:3.11-slim-bookworm AS build
# An index, or a folder of wheels, to take torch from. Empty: the CPU build.
ARG TORCH_INDEX=
WORKDIR /app
# Releases of pip before 23.3 download a whole package only to say where it lies.
RUN python -m venv /venv && /venv/bin/python -m pip install --no-cache-dir --quiet "pip>=23.3"
COPY requirements.txt ./
COPY tools tools
RUN /venv/bin/python -m tools.install_torch \
    && /venv/bin/python -m pip install --no-cache-dir --quiet -r requirements.txt
RUN /venv/bin/python -m tools.fetch_model
# Drop the installers, and what only building against torch or testing it would need.
RUN /venv/bin/python -m pip uninstall --yes --quiet uv pip \
    && cd /venv/lib/python3.11/site-packages \
    && rm -rf torch/include torch/share torch/test torch/bin/test_* torch/bin/*Test torch/bin/protoc* \
    && find . -name '*.a' -delete && find numpy -name tests -type d -prune -exec rm -rf {} +

# The engine's own kernels for every processor of the image's kind. The compiler stays behind.
FROM python:3.11-slim-bookworm AS kernels
RUN apt-get update && apt-get install --yes --no-install-recommends g++
WORKDIR /app
COPY engine/__init__.py engine/errors.py engine/
COPY engine/kernels engine/kernels
RUN python -m engine.kernels.build engine/kernels/built

FROM python:3.11-slim-bookworm
RUN useradd --uid 1000 --no-create-home --home-dir /app --shell /usr/sbin/nologin switchboard \
    && mkdir -p /app/models /app/data && chown switchboard /app/models /app/data
WORKDIR /app
COPY --from=build /venv /venv
COPY --from=build --chown=switchboard /app/models models
COPY . .
COPY --from=kernels /app/engine/kernels/built engine/kernels/built
USER switchboard
# Inside a container, 127.0.0.1 is the container alone, so the server listens on every address; who may reach it is
# decided by how the port is published. AUTH=off says that this is meant: publish on 127.0.0.1, or put a proxy that
# asks who is there in front.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8000 AUTH=off
EXPOSE 8000
VOLUME ["/app/models", "/app/data"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health/live\", timeout=4)"]
CMD ["python", "app.py"]
