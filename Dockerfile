# The reconciler as an image: docker build -t hossted-reconciler:0.1.0 .
#
# It runs as a numeric, unprivileged user with a read-only root file system. What it writes goes to /tmp and
# to its cache, which config/manager mounts.
FROM python:3.13-slim AS build
RUN python -m venv /opt/hossted
WORKDIR /src
# The dependencies first, exactly as locked: they change less often than the code.
COPY requirements.txt ./
RUN /opt/hossted/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY reconciler ./reconciler
RUN /opt/hossted/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
# git does the work of the git store, ssh that of ssh:// (and nc, where HOSSTED_SSH_PROXY_COMMAND says so).
# The user has an entry, because ssh asks who it is.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git netcat-openbsd openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 hossted \
    && useradd --uid 65532 --gid 65532 --no-log-init --no-create-home --home-dir /tmp hossted
COPY --from=build /opt/hossted /opt/hossted
ENV PATH=/opt/hossted/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["hossted-reconciler"]
CMD ["run"]
