# The page as strangers visit it, made of the README's own commands. tests/demo/test_container.py holds it to them.
#   docker build -t convlens . && docker run --read-only --tmpfs /tmp -p 7860:7860 convlens
FROM python:3.11-slim

RUN useradd --uid 1000 --create-home user
WORKDIR /home/user/convlens

# Without an NVIDIA card the image is some gigabytes smaller with
#   --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1
COPY requirements.txt .
RUN pip install -r requirements.txt

COPY . .
# The default model, so that the page opens at once.
RUN python -m engine export efficientnet_lite0 -o exported_models/efficientnet_lite0.pt

# The disk may be read-only: what is written (compiled models, downloads, photos, pictures) lies below /tmp.
ENV HOME=/tmp CONVLENS_HOME=/tmp/convlens TORCH_HOME=/tmp/torch GRADIO_TEMP_DIR=/tmp/gradio
USER 1000
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:7860/healthz', timeout=10)"]
CMD ["sh", "-c", "mkdir -p $CONVLENS_HOME && cp -n exported_models/*.pt $CONVLENS_HOME && exec python app.py --public --host 0.0.0.0 --port 7860 --log -"]
