# One image for the worker, beat, the web page and the migration. No setting and no secret is in it.

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/build.txt requirements/run.txt requirements/
# The tools that build the project stay behind in this stage, and the image has no pip.
RUN pip install --require-hashes -r requirements/build.txt
RUN python -m venv --without-pip /opt/sms \
 && pip --python /opt/sms/bin/python install --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY models models
COPY worker worker
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/sms/bin/python install --no-deps --no-index /wheels/*.whl

FROM python:3.12-slim
ENV PATH=/opt/sms/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --uid 10001 --create-home sms
COPY --from=build /opt/sms /opt/sms
USER 10001
WORKDIR /home/sms
CMD ["celery", "-A", "worker", "worker"]
