# The one image of scheduler, workers, migration and Flower; which it is, its command says.
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY requirements/ requirements/
ENV VIRTUAL_ENV=/opt/inspectq UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
# Everything that is fetched, the installer and the build backend included, is checked against a hash.
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        --require-hashes -r requirements/bootstrap.txt \
    && uv venv "$VIRTUAL_ENV" \
    && uv pip install --require-hashes -r requirements/runtime.txt
# After the libraries: 5 GB of them stay cached when only our code changes.
COPY pyproject.toml README.md LICENSE ./
COPY db/ db/
COPY vision/ vision/
COPY trainer/ trainer/
COPY worker/ worker/
COPY scheduler/ scheduler/
COPY console/ console/
RUN uv build --wheel --require-hashes --build-constraints requirements/dev.txt --out-dir /wheel . \
    && uv pip install --no-deps --no-index /wheel/*.whl \
    && "$VIRTUAL_ENV/bin/python" -m compileall -q "$VIRTUAL_ENV/lib"

FROM python:3.11-slim-bookworm
# /data and /flower belong to the account before a volume is mounted there: a new named volume copies that.
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin inspectq \
    && install -d -o inspectq -g inspectq -m 0750 /data /flower
COPY --from=build /opt/inspectq /opt/inspectq
ENV PATH=/opt/inspectq/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    INSPECTQ_HOME=/data MPLCONFIGDIR=/tmp/matplotlib
USER inspectq
WORKDIR /data
# No HEALTHCHECK: what health means differs by service, docker-compose.yml says it for each.
CMD ["inspectq", "--help"]
