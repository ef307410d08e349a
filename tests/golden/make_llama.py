#!/usr/bin/env python3
"""Golden values for model/: a tiny Llama from transformers, and what PyTorch makes of it.

Writes llama/ beside itself: a Hugging Face folder as transformers saves it (config.json, model.safetensors,
tokenizer.json), golden.safetensors (logits of every row, gradients by name) and golden.json (losses, scores by the
rules of lm-evaluation-harness, greedy texts). Run once with torch, transformers and tokenizers; the files are committed.
"""
import json
import math
import os

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, get_cosine_schedule_with_warmup

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "llama")
os.makedirs(here, exist_ok=True)
torch.manual_seed(7)
torch.set_num_threads(1)

# ---- tokenizer: bytes and a few merges -------------------------------------------------------------------------------
text = "the cat sat on the mat. the dog ate the cake! 12 cats, 34 dogs; où est le café? naïve déjà vu."
tok = Tokenizer(models.BPE())
tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
tok.decoder = decoders.ByteLevel()
tok.train_from_iterator([text] * 3, trainers.BpeTrainer(
    vocab_size=272, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
tok.save(os.path.join(here, "tokenizer.json"), pretty=False)
EOS = tok.token_to_id("<|end|>")
V = tok.get_vocab_size()

# ---- model ---------------------------------------------------------------------------------------------------------------
L = 24
config = LlamaConfig(vocab_size=V, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=2, max_position_embeddings=L, rms_norm_eps=1e-5, initializer_range=0.3,
                     tie_word_embeddings=False, bos_token_id=EOS, eos_token_id=EOS, pad_token_id=None,
                     attn_implementation="eager",
                     rope_parameters={"rope_type": "default", "rope_theta": 500.0})
model = LlamaForCausalLM(config).float()
with torch.no_grad():
    for name, p in model.named_parameters():  # so that a norm that is left out shows
        if p.dim() == 1:
            p.copy_(1 + 0.3 * torch.randn_like(p))
model.save_pretrained(here)
model.train()  # no dropout in it


def forward(ids):
    return model(input_ids=torch.tensor([ids])).logits[0]


# ---- loss, logits, gradients: three sequences, some tokens not counted ------------------------------------------------------
g = torch.Generator().manual_seed(11)
lengths = [13, 5, 21]
seqs = [torch.randint(0, V, (n,), generator=g).tolist() for n in lengths]
counts = [[0] + [int(torch.rand((), generator=g) < 0.7) for _ in s[1:]] for s in seqs]


def loss_of(batch, masks):
    nll, n, rows = 0.0, 0, []
    for ids, mask in zip(batch, masks):
        logits = forward(ids[:-1])
        rows.append(logits.detach())
        lp = torch.log_softmax(logits.double(), -1)
        for i in range(1, len(ids)):
            if mask[i]:
                nll = nll - lp[i - 1, ids[i]]
                n += 1
    return nll / n, n, rows


loss, counted, rows = loss_of(seqs, counts)
loss.backward()
out = {"logits": torch.cat(rows).contiguous()}
for name, p in model.named_parameters():
    out["grad." + name] = p.grad.clone().contiguous()
save_file(out, os.path.join(here, "golden.safetensors"))
golden = {"seqs": seqs, "counts": counts, "loss": loss.item(), "counted": counted,
          "grad_norm": math.sqrt(sum(p.grad.double().pow(2).sum().item() for p in model.parameters()))}

# ---- ten steps of AdamW -------------------------------------------------------------------------------------------------------
start = {k: v.clone() for k, v in model.state_dict().items()}
how = dict(learning_rate=0.02, weight_decay=0.1, beta1=0.9, beta2=0.95, eps=1e-8, clip=1.0, warmup_steps=2, steps=10)
decay = [p for p in model.parameters() if p.dim() > 1]
plain = [p for p in model.parameters() if p.dim() == 1]
opt = torch.optim.AdamW([{"params": decay, "weight_decay": how["weight_decay"]}, {"params": plain, "weight_decay": 0.0}],
                        lr=how["learning_rate"], betas=(how["beta1"], how["beta2"]), eps=how["eps"])
sched = get_cosine_schedule_with_warmup(opt, how["warmup_steps"], how["steps"])
losses, norms, lrs = [], [], []
for _ in range(how["steps"]):
    opt.zero_grad()
    lrs.append(sched.get_last_lr()[0])
    loss, _, _ = loss_of(seqs, counts)
    loss.backward()
    norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), how["clip"]).item())
    opt.step()
    sched.step()
    losses.append(loss.item())
golden["train"] = dict(how, losses=losses, grad_norms=norms, lrs=lrs)
model.load_state_dict(start)
model.eval()

# ---- scores: the rules of lm-evaluation-harness ----------------------------------------------------------------------------------


def enc(s, special=True):
    if s.startswith(tok.decode([EOS], skip_special_tokens=False)):
        special = False
    return tok.encode(s, add_special_tokens=special).ids


@torch.no_grad()
def score(context, continuation):
    ids = (context + continuation)[-(L + 1):]
    assert len(continuation) <= L
    lp = torch.log_softmax(forward(ids[:-1]).double(), -1)[-len(continuation):]
    greedy = all(lp[i].argmax().item() == t for i, t in enumerate(continuation))
    return sum(lp[i, t].item() for i, t in enumerate(continuation)), greedy


def pair(context, continuation):
    if context == "":
        cont = enc(continuation, False)
        if cont[0] == EOS:
            return cont[:1], cont[1:]
        return [EOS], cont
    n = len(context) - len(context.rstrip())
    if n:
        continuation, context = context[-n:] + continuation, context[:-n]
    whole, c = enc(context + continuation), enc(context)
    return c, whole[len(c):]


def windows(tokens):
    f = min(L, len(tokens))
    yield [EOS] + tokens[:f - 1], tokens[:f]
    predicted = f
    while predicted < len(tokens):
        w = min(len(tokens) - predicted, L)
        end = predicted + w
        yield tokens[end - L - 1:end - 1], tokens[end - w:end]
        predicted = end


def rolling(s):
    total, n = 0.0, 0
    for context, pred in windows(enc(s)):
        context = context[:len(context) - (len(pred) - 1)]
        ll, _ = score(context, pred)
        total += ll
        n += len(pred)
    return total, n


pairs = [("the cat", " sat"), ("the cat ", "sat on"), ("the cat \n\u3000", "ate"), ("", "the dog"), ("", "<|end|>dogs"),
         ("où est", " le café?"), ("on the mat.", " dog"), ("a long context that does not fit the model: the cat sat on the mat, "
                                                    "the dog ate the cake", " and more"), ("<|end|>the", " mat")]
golden["pairs"] = []
for context, continuation in pairs:
    c, k = pair(context, continuation)
    ll, greedy = score(c, k)
    golden["pairs"].append(dict(context=context, continuation=continuation, tokens=len(k), logprob=ll, greedy=greedy))
golden["rolling"] = []
for s in ["the cat", text, text[:40], "<|end|>the cat", "".join(chr(97 + i % 26) for i in range(L))]:
    ll, n = rolling(s)
    golden["rolling"].append(dict(text=s, tokens=n, logprob=ll))

# ---- greedy texts ---------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def generate(prompt, max_tokens, stops):
    ids, new, margin, finish = enc(prompt)[-(L - max_tokens):], [], 1e9, "length"
    while len(new) < max_tokens:
        top = forward(ids + new)[-1].topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        if top.indices[0].item() == EOS:
            finish = "eos"
            break
        new.append(top.indices[0].item())
        if any(s in tok.decode(new) for s in stops):
            finish = "stop"
            break
    out = tok.decode(new)
    for s in stops:
        out = out.split(s)[0]
    assert margin > 1e-4, (prompt, margin)
    return out, len(new), finish


golden["generate"] = []
asks = [(p, 8, []) for p in ["the cat", "the dog ate", "12 cats", "où", "le café? naïve", "x", "déjà vu", "on the mat."]]
asks += [("the cat sat on the mat. the dog ate the cake!", 16, []), ("a", 1, [])]
more = []
for p, n, _ in asks[:8]:  # stops that do occur: a letter from behind the start of the free text
    free = generate(p, n, [])[0]
    piece = [c for c in free[1:] if " " < c < "\x7f"]
    if piece:
        more.append((p, n, ["nothing like it", piece[0]]))
assert len(more) >= 2
for p, n, stops in asks + more:
    t, k, finish = generate(p, n, stops)
    golden["generate"].append(dict(prompt=p, max_tokens=n, stops=stops, text=t, tokens=k, finish=finish))
assert any(x["finish"] == "stop" for x in golden["generate"])
with open(os.path.join(here, "golden.json"), "w") as f:
    json.dump(golden, f, ensure_ascii=False, indent=1)
    f.write("\n")
for name in os.listdir(here):
    os.chmod(os.path.join(here, name), 0o644)
print(loss.item(), losses, {x["finish"] for x in golden["generate"]})
