# syntax=docker/dockerfile:1
# Two targets: `api` serves and holds no compiler; `worker`, the default, runs every command.
FROM python:3.13-slim AS environment
WORKDIR /srv/reckon
RUN python -m venv --without-pip /opt/venv

FROM environment AS api-environment
COPY requirements-api.txt ./
# Without bytecode, which the last stages write for the modules that are used: a quarter of their size.
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --require-hashes --requirement requirements-api.txt

FROM environment AS worker-environment
COPY requirements.txt ./
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --require-hashes --requirement requirements.txt

FROM python:3.13-slim AS runtime
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin reckon \
    && install --directory --owner reckon --group reckon /data
WORKDIR /srv/reckon
COPY pyproject.toml README.md ./
COPY app app
COPY migrations migrations
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RECKON_DATA_DIR=/data \
    RECKON_HOST=0.0.0.0
VOLUME /data
ENTRYPOINT ["python", "-m", "app.cli"]

FROM runtime AS api
COPY --from=api-environment /opt/venv /opt/venv
# The user cannot write bytecode at run time: without this, every process would compile its modules anew.
RUN python -m compileall -q app migrations \
    && python -c "import alembic.command, app.main, uvicorn.protocols.http.httptools_impl"
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8000/livez', timeout=2)"]
# Inside a container every address is one that other machines may reach: the API starts once there is a key.
CMD ["serve", "--no-worker"]

FROM runtime AS worker
COPY --from=worker-environment /opt/venv /opt/venv
RUN python -m compileall -q app migrations \
    && python -c "import alembic.command, app.main, app.worker.loop, numba, uvicorn.protocols.http.httptools_impl"
ENV NUMBA_CACHE_DIR=/tmp/numba
USER 10001
HEALTHCHECK NONE
CMD ["worker"]
