# One image for every Python service; `docker-compose.yml` says which one runs.
ARG PYTHON_IMAGE=python:3.13.5-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
RUN python3 -m venv /opt/venv
COPY requirements/runtime.txt /tmp/runtime.txt
# The lock is complete and hashed: nothing is resolved here.
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
      -r /tmp/runtime.txt \
 && find /opt/venv -name tests -type d -prune -exec rm -rf {} +

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY migrations migrations
COPY shared shared
COPY services services
COPY deploy/docker/make_secrets.py deploy/docker/probe.py /opt/carry/
RUN /opt/venv/bin/python -m compileall -q -j 0 /app
USER 10001:10001
ENTRYPOINT ["python", "-m", "services.carry.cli"]
CMD ["--help"]
