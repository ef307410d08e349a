#!/usr/bin/env python3
"""Writes the seeds of fuzz_safetensors, fuzz_config, fuzz_peft and fuzz_checkpoint; tests/fuzz/fuzz_files.h has the layout."""
import json
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U8": 1, "I64": 8}


def text(value):
    return json.dumps(value, separators=(",", ":")).encode()


def tensors(shapes, dtype="F32", metadata=None):
    """name -> shape, or (dtype, shape); the values are small numbers of the first type, whatever bytes of others."""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, shape in shapes.items():
        kind, shape = shape if isinstance(shape, tuple) else (dtype, shape)
        n = 1
        for d in shape:
            n *= d
        more = b"".join(struct.pack("<f", ((7 * i) % 11 - 5) / 16)[4 - min(BYTES[kind], 4):] for i in range(n))
        more = more.ljust(n * BYTES[kind], b"\0")
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(more)]}
        data += more
    head = text(header)
    return struct.pack("<Q", len(head)) + head + data


def seed(target, name, first, *files):
    out = bytes([first])
    for f in files[:-1]:
        out += struct.pack("<H", len(f)) + f
    os.makedirs(os.path.join(HERE, target), exist_ok=True)
    with open(os.path.join(HERE, target, name), "wb") as f:
        f.write(out + files[-1])


# ---- safetensors
seed("safetensors", "single", 0, b"", tensors({"a": ("U8", [1]), "b": [2], "c": ("BF16", [1, 2]), "d": ("F16", []),
                                               "e": [0, 3]}, metadata={"format": "pt"}), b"", b"")
seed("safetensors", "shards", 3, text({"metadata": {"total_size": 28}, "weight_map": {
    "x": "a.safetensors", "y": "b.safetensors", "z": "c.safetensors"}}),
     tensors({"x": [2, 1]}), tensors({"y": ("F16", [2])}), tensors({"z": [3]}))
seed("safetensors", "twice", 2, text({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}),
     tensors({"x": [1]}), tensors({"x": [1], "y": [1]}), b"")

# ---- config
SIZES = {"vocab_size": 6, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 4}
YARN = {"type": "yarn", "factor": 4.0, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.5, "truncate": False}
GPT2 = {"model_type": "gpt2", "vocab_size": 6, "n_embd": 4, "n_layer": 1, "n_head": 2, "n_positions": 8, "n_inner": None,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "bos_token_id": 0, "eos_token_id": 0}
CONFIGS = {
    "llama": dict(SIZES, model_type="llama", rope_theta=10000.0, rope_scaling=LLAMA3, rms_norm_eps=1e-5, mlp_bias=True),
    "linear": dict(SIZES, model_type="llama", rope_parameters={"rope_type": "linear", "factor": 2, "rope_theta": 5e5}),
    "mistral": dict(SIZES, model_type="mistral", sliding_window=4, head_dim=4, hidden_act="silu"),
    "qwen2": dict(SIZES, model_type="qwen2", use_sliding_window=True, max_window_layers=0, sliding_window=4,
                  rope_scaling=YARN, tie_word_embeddings=True),
    "qwen3": dict(SIZES, model_type="qwen3", head_dim=2, layer_types=["sliding_attention"], use_sliding_window=True,
                  sliding_window=3, attention_bias=False, eos_token_id=[1, 2]),
    "gpt2": GPT2,
}
for name, config in CONFIGS.items():
    seed("config", name, 0, text(config))

# ---- adapters
M = "base_model.model."
Q = M + "model.layers.0.self_attn.q_proj."
seed("peft", "pairs", 0, text({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {"down_proj": 1},
                               "alpha_pattern": {r".*\.q_proj": 3.5}, "use_rslora": True, "target_modules": ["q_proj"]}),
     tensors({Q + "lora_A.weight": [2, 4], Q + "lora_B.weight": ("F16", [4, 2]),
              M + "model.layers.1.mlp.down_proj.lora_A.weight": ("BF16", [1, 6]),
              M + "model.layers.1.mlp.down_proj.lora_B.weight": [4, 1]}))
seed("peft", "whole", 0, text({"peft_type": "LORA", "r": 1, "modules_to_save": ["lm_head"], "bias": "all"}),
     tensors({M + "model.embed_tokens.lora_embedding_A": [1, 6], M + "model.embed_tokens.lora_embedding_B": [4, 1],
              M + "lm_head.weight": [6, 4], Q + "base_layer.weight": [4, 4], Q + "bias": [4]}))
H = M + "transformer.h.0."
seed("peft", "conv1d", 1, text({"peft_type": "LORA", "r": 2, "lora_alpha": 2, "fan_in_fan_out": True}),
     tensors({H + "attn.c_attn.lora_A.weight": [2, 4], H + "attn.c_attn.lora_B.weight": [12, 2],
              H + "mlp.c_proj.weight": [16, 4]}))


# ---- folders
def llama_tensors(c, qwen=False):
    C, F, V = c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    D = c.get("head_dim", C // c["num_attention_heads"])
    q, k = D * c["num_attention_heads"], D * c["num_key_value_heads"]
    out = {"model.embed_tokens.weight": [V, C], "model.norm.weight": [C]}
    if not c.get("tie_word_embeddings"):
        out["lm_head.weight"] = [V, C]
    p = "model.layers.0."
    for name, rows in (("q", q), ("k", k), ("v", k)):
        out[p + "self_attn." + name + "_proj.weight"] = [rows, C]
        if qwen:
            out[p + "self_attn." + name + "_proj.bias"] = [rows]
    out.update({p + "self_attn.o_proj.weight": [C, q], p + "mlp.gate_proj.weight": [F, C], p + "mlp.up_proj.weight": [F, C],
                p + "mlp.down_proj.weight": [C, F], p + "input_layernorm.weight": [C], p + "post_attention_layernorm.weight": [C]})
    return out


MISTRAL, QWEN2 = CONFIGS["mistral"], CONFIGS["qwen2"]
GENERATION = text({"eos_token_id": [2, 3]})
seed("checkpoint", "mistral", 0, text(MISTRAL), GENERATION, tensors(llama_tensors(MISTRAL), "F32"))
seed("checkpoint", "qwen2", 1, text(QWEN2), b"", tensors(llama_tensors(QWEN2, True), "BF16"))
E = GPT2["n_embd"]
seed("checkpoint", "gpt2", 0, text(GPT2), GENERATION, tensors({
    "wte.weight": [6, E], "wpe.weight": [8, E], "ln_f.weight": [E], "ln_f.bias": [E], "h.0.attn.bias": ("U8", [1]),
    **{"h.0." + n + ".weight": s for n, s in {"ln_1": [E], "ln_2": [E], "attn.c_attn": [E, 3 * E], "attn.c_proj": [E, E],
                                              "mlp.c_fc": [E, 4 * E], "mlp.c_proj": [4 * E, E]}.items()},
    **{"h.0." + n + ".bias": [s] for n, s in {"ln_1": E, "ln_2": E, "attn.c_attn": 3 * E, "attn.c_proj": E,
                                              "mlp.c_fc": 4 * E, "mlp.c_proj": E}.items()}}, "F16"))
