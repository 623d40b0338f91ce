"""`llama-server`: one llama.cpp HTTP server for one model, in this process."""

from __future__ import annotations

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence

import xllamacpp as llama

from gridtie_engine.flags import UnknownFlagError, parse

_MIB = 1 << 20

_FLASH_ATTENTION = {
    "auto": llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
_LOAD_MODE = {
    "none": llama.llama_load_mode.LLAMA_LOAD_MODE_NONE,
    "mmap": llama.llama_load_mode.LLAMA_LOAD_MODE_MMAP,
    "mlock": llama.llama_load_mode.LLAMA_LOAD_MODE_MLOCK,
    "dio": llama.llama_load_mode.LLAMA_LOAD_MODE_DIRECT_IO,
}
_SPLIT_MODE = {
    "none": llama.llama_split_mode.LLAMA_SPLIT_MODE_NONE,
    "layer": llama.llama_split_mode.LLAMA_SPLIT_MODE_LAYER,
    "row": llama.llama_split_mode.LLAMA_SPLIT_MODE_ROW,
}
_SPECULATION = {
    "draft-mtp": llama.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_MTP,
    "draft-dflash": llama.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_DFLASH,
}


def cache_type(name: str) -> llama.ggml_type:
    """llama.cpp's element type of the KV cache for its command-line name, such as `q8_0`."""
    try:
        return getattr(llama.ggml_type, f"GGML_TYPE_{name.upper()}")
    except AttributeError:
        raise UnknownFlagError(f"cache type {name!r} is not known to this llama.cpp") from None


def server_params(args: Namespace) -> llama.CommonParams:
    """llama.cpp's parameters for the settings in `args`; what is not set there keeps llama.cpp's own default."""
    params = llama.CommonParams()
    params.model.path = args.model
    params.hostname = args.host
    params.port = args.port
    params.n_ctx = args.ctx_size
    params.n_parallel = args.parallel
    params.ctx_shift = args.context_shift
    params.embedding = args.embedding
    params.endpoint_metrics = args.metrics
    params.ui = not args.no_webui
    params.offline = args.offline
    params.use_jinja = not args.no_jinja
    params.mmproj_use_gpu = not args.no_mmproj_offload
    params.flash_attn_type = _FLASH_ATTENTION[args.flash_attn]
    plain = {
        "n_batch": args.batch_size,
        "n_ubatch": args.ubatch_size,
        "n_gpu_layers": args.gpu_layers,
        "main_gpu": args.main_gpu,
        "fit_params": args.fit,
        "cache_ram_mib": args.cache_ram,
        "n_keep": args.keep,
        "chat_template": args.chat_template,
        "image_min_tokens": args.image_min_tokens,
        "verbosity": args.log_verbosity,
    }
    for name, value in plain.items():
        if value is not None:
            setattr(params, name, value)
    _set_grouped(params, args)
    return params


def _set_grouped(params: llama.CommonParams, args: Namespace) -> None:
    """The settings that are not one plain attribute."""
    if args.alias is not None:
        params.model_alias = {args.alias}
    if args.threads is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = args.threads
    if args.split_mode is not None:
        params.split_mode = _SPLIT_MODE[args.split_mode]
    if args.load_mode is not None:
        params.load_mode = _LOAD_MODE[args.load_mode]
    if args.fit_target is not None:
        params.fit_params_target = [args.fit_target * _MIB] * len(params.fit_params_target)
    if args.cache_type_k is not None:
        params.cache_type_k = cache_type(args.cache_type_k)
    if args.cache_type_v is not None:
        params.cache_type_v = cache_type(args.cache_type_v)
    if args.mmproj is not None:
        params.mmproj.path = args.mmproj
    if args.lora:
        params.lora_adapters = [llama.CommonAdapterLoraInfo(path, 1.0) for path in args.lora]
    if args.spec_type is not None:
        params.speculative.types = [_SPECULATION[args.spec_type]]
        params.speculative.draft.backend_sampling = args.spec_draft_backend_sampling
        if args.spec_draft_n_max is not None:
            params.speculative.draft.n_max = args.spec_draft_n_max
        if args.spec_draft_model is not None:
            params.speculative.draft.mparams.path = args.spec_draft_model


def device_lines() -> list[str]:
    """One line per accelerator, in the form that `llama-server --list-devices` prints; the CPU is none."""
    cpu = llama.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    return [
        f"  {device['name']}: {device['description']} "
        f"({device['memory_total'] // _MIB} MiB, {device['memory_free'] // _MIB} MiB free)"
        for device in llama.get_device_info()
        if device["type"] != cpu
    ]


def main(argv: Sequence[str]) -> int:
    """Serve one model until a signal ends the process; without a model, answer Ollama's device discovery."""
    try:
        args = parse(argv, os.environ)
        if args.list_devices:
            sys.stdout.write("\n".join(["Available devices:", *device_lines(), ""]))
            return 0
        params = server_params(args) if args.model else None
    except UnknownFlagError as error:
        sys.stderr.write(f"llama-server: {error}; this launcher was made for Ollama 0.34.4\n")
        return 2

    # Blocked before the server starts its threads, so that the signal comes to sigwait below and to no thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    # Ollama reads stderr up to this line, then stops the process.
    sys.stderr.write(f"system_info: {llama.get_system_info()}\n")
    server = None
    if params is not None:
        try:
            server = llama.Server(params)
        except RuntimeError as error:
            sys.stderr.write(f"llama-server: {args.model}: {error}\n")
            return 1
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server
    return 0
