# Airflow and Handover in one image; docker-compose.yaml says what runs from it.
FROM python:3.11-slim
# Lists and certificates are printed with the font of this package.
RUN apt-get update && apt-get install -y --no-install-recommends fonts-noto-cjk \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --home-dir /var/lib/handover --create-home --shell /usr/sbin/nologin handover
WORKDIR /opt/handover
COPY requirements-uv.txt requirements.txt requirements-dev.txt pyproject.toml ./
COPY scripts scripts
COPY include include
COPY dags dags
COPY plugins plugins
RUN python scripts/install.py && rm -rf ~/.cache
ENV PATH=/opt/handover/.venv/bin:$PATH
USER handover
