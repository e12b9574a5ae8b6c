# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /srv/reckon
RUN python -m venv /opt/venv
COPY requirements.txt ./
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md ./
COPY app app
COPY migrations migrations
# Nobody writes bytecode at run time, where compiling anew would take every process a second.
RUN python -m compileall -q app migrations

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin reckon \
    && install --directory --owner reckon --group reckon /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/reckon /srv/reckon
WORKDIR /srv/reckon
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    RECKON_DATA_DIR=/data \
    RECKON_HOST=0.0.0.0
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["python", "-m", "app.cli"]
# Inside a container every address is "reachable by others"; compose publishes the port to 127.0.0.1 only.
CMD ["serve", "--insecure"]
