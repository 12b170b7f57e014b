"""A real llama.cpp server with a tiny model of random weights: what it says means nothing, how it
says it is the real server's wire.

argv: port (0 for a free one), folder for the model. Prints {"url": …} when it listens.
"""
import json
import socket
import sys
import time
import urllib.request
from pathlib import Path

import numpy
import xllamacpp
from gguf import GGUFWriter, TokenType

NAME = "tiny"
WIDTH, HEADS, LAYERS, INNER, CONTEXT = 64, 4, 2, 128, 2048
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def vocabulary():
    """Three control tokens, every byte, and the printable characters: no text is unknown."""
    yield b"<unk>", TokenType.UNKNOWN
    yield b"<s>", TokenType.CONTROL
    yield b"</s>", TokenType.CONTROL
    for byte in range(256):
        yield f"<0x{byte:02X}>".encode(), TokenType.BYTE
    for code in range(32, 127):
        # A space is written so in this kind of vocabulary.
        yield chr(code).replace(" ", "\u2581").encode(), TokenType.NORMAL


def write(path):
    tokens, kinds = zip(*vocabulary())
    writer = GGUFWriter(path, "llama")
    writer.add_name(NAME)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    random = numpy.random.default_rng(7)

    def tensor(name, *shape):
        writer.add_tensor(name, (random.standard_normal(shape) * 0.2).astype(numpy.float32))

    def ones(name):
        writer.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    tensor("token_embd.weight", len(tokens), WIDTH)
    tensor("output.weight", len(tokens), WIDTH)
    ones("output_norm.weight")
    for layer in range(LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"blk.{layer}.{part}.weight", WIDTH, WIDTH)
        tensor(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
        tensor(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
        tensor(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
        ones(f"blk.{layer}.attn_norm.weight")
        ones(f"blk.{layer}.ffn_norm.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def serve(path, port):
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = [NAME]
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT * 2
    params.n_parallel = 2
    params.n_predict = 64
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.use_jinja = True
    params.warmup = False
    return xllamacpp.Server(params)


def ready(url):
    for _ in range(300):
        try:
            with urllib.request.urlopen(url + "/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("the server did not get ready")


port = int(sys.argv[1]) or free_port()
model = Path(sys.argv[2]) / "tiny.gguf"
write(model)
server = serve(model, port)
url = f"http://127.0.0.1:{port}"
ready(url)
print(json.dumps({"url": url, "model": NAME}), flush=True)
# It serves until the one that started it goes.
sys.stdin.read()
