# The image of every role: `docker build -t telltale .`, then `docker run telltale score`.
# That of the console: `docker build --build-arg EXTRAS=console -t telltale-console .`
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/telltale
WORKDIR /build
COPY requirements.lock requirements-console.lock ./
RUN /opt/telltale/bin/pip install --require-hashes --only-binary=:all: \
    -r "requirements${EXTRAS:+-${EXTRAS}}.lock"
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY models models
COPY processor processor
COPY console console
# The build backend comes by its hash as well.
COPY requirements-dev.lock ./
RUN PIP_BUILD_CONSTRAINT=requirements-dev.lock /opt/telltale/bin/pip install --no-deps .

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="Telltale" \
      org.opencontainers.image.description="A model of normal for every profile on a Kafka stream" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/telltale /opt/telltale
COPY deploy/docker/healthcheck.py /opt/telltale/healthcheck.py
# The kernels' cache stays writable: numba compiles anew on a processor unlike the build's.
RUN groupadd --gid 10001 telltale \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/telltale telltale \
    && install -d -o telltale -g telltale -m 0700 /var/lib/telltale/models \
    && install -d -o telltale -g telltale -m 0700 /var/lib/telltale/console \
    && install -d -o telltale -g telltale /var/cache/telltale/numba
# Inside a container the loopback interface is out of Prometheus's and the kubelet's reach. What
# leaves the container is for whoever runs it to say, by publishing a port or not.
ENV PATH=/opt/telltale/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/telltale/numba \
    TELLTALE_MODEL_DIR=/var/lib/telltale/models \
    TELLTALE_HTTP_HOST=0.0.0.0 \
    TELLTALE_LOG_FORMAT=json
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /var/lib/telltale
RUN python -c "from processor.runtime.warmup import warm_up; warm_up()"
VOLUME /var/lib/telltale/models
EXPOSE 9464 9465 9467 8000 9466
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/opt/telltale/healthcheck.py"]
ENTRYPOINT ["telltale"]
CMD ["run"]
