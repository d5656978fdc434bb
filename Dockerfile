# docker build -t relay .
# docker run --read-only --tmpfs /tmp --cap-drop ALL -p 127.0.0.1:8025:8025 -v relay:/var/lib/relay relay
FROM python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RELAY_HOST=0.0.0.0 \
    RELAY_PAGES="" \
    RELAY_CONSOLE="" \
    RELAY_DATA=/var/lib/relay

WORKDIR /opt/relay

COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY run.py settings.toml ./
COPY relay/ relay/
COPY plugins/ plugins/

# The only folder that is written to. A volume made here takes over its owner.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/relay
VOLUME /var/lib/relay
USER 10001:10001

EXPOSE 8025
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8025/healthz', timeout=4)"]
CMD ["python", "run.py"]
