# One image for every kind of process, for `python main.py VIDEO_ID` and for the embedded cluster.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
COPY requirements/runtime.txt /tmp/runtime.txt
RUN python3 -m venv /opt/vstack \
 && /opt/vstack/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/runtime.txt
# The libraries of the dashboard's page, by checksum like the packages above.
WORKDIR /src
COPY frontend/package-lock.json frontend/package-lock.json
COPY tools/frontend.py tools/frontend.py
RUN /opt/vstack/bin/python tools/frontend.py

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/vstack/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    VSTACK_CLUSTER_DATA=/data/cluster
# /run/vstack is for a stack whose processes run in containers of their own, /data for the cluster's store and for
# --output files. Volumes mounted there take over the owner.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin vstack \
 && install -d -o vstack -g vstack -m 0700 /run/vstack \
 && install -d -o vstack -g vstack -m 0755 /data
COPY --from=build /opt/vstack /opt/vstack
WORKDIR /app
COPY LICENSE README.md main.py dashboard_server.py network_monitor.py buffer_manager.py ./
COPY client client
COPY common common
COPY monitor monitor
COPY scheduler scheduler
COPY buffer buffer
COPY dashboard dashboard
COPY simulation simulation
COPY --from=build /src/dashboard/static/vendor dashboard/static/vendor
COPY cluster cluster
# The user below may not write here: without this every start would compile everything again.
RUN python -m compileall -q .
USER vstack
EXPOSE 8888
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-m", "common.health"]
CMD ["python", "main.py", "--help"]
