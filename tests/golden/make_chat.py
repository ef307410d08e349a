"""Writes chat.json: conversations as transformers renders them, and requests as lm-evaluation-harness builds them from a
task with its chat flags. Needs transformers, lm_eval, datasets:  python3 tests/golden/make_chat.py
"""
import json
import os
import tempfile
from functools import partial

HERE = os.path.dirname(os.path.abspath(__file__))
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
          "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
LLAMA2 = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
          "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
          "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
          "{{ raise_exception('roles must alternate') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}"
          "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}"
          "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
          "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
          "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
GEMMA = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
         "{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
         "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + "
         "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}")
TOOLS = ("{%- if tools %}tools!{%- endif %}\n{%- for m in messages %}\n{{- '<' ~ m.role ~ '>' ~ m.content ~ (m.name if m.name "
         "is defined else '') }}\n{%- endfor %}\n{{- pad_token is defined }}\n")
# What the tests' own model writes (tests/unit/evals_fake.h).
FAKE = ("{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}"
        "{% if add_generation_prompt %}[assistant: {% endif %}")


def tokenizer(template, **more):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "<s>": 1, "</s>": 2}, unk_token="a")),
                                   bos_token="<s>", eos_token="</s>", chat_template=template, **more)


def m(role, content, **more):
    return {"role": role, "content": content, **more}


def renders():
    conversations = [
        [m("user", "Hello?")],
        [m("system", "Be kind."), m("user", " Hello?\n"), m("assistant", "Hi. "), m("user", "And?")],
        [m("user", "1+1="), m("assistant", "The answer is")],
        [m("user", "1+1="), m("assistant", "The answer is ")],
        [m("user", "Grüße\n\nœ 你好 🙂", name="x")],
        [m("assistant", "first")],
    ]
    for name, template in {"chatml": CHATML, "llama2": LLAMA2, "gemma": GEMMA, "tools": TOOLS}.items():
        for form in "text", "list":
            value = template if form == "text" else [{"name": "tool_use", "template": "no"}, {"name": "default", "template": template}]
            tok = tokenizer(value)
            cases = []
            for messages in conversations if form == "text" else conversations[:1]:
                for continues in False, True:
                    try:
                        text = tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=not continues,
                                                       continue_final_message=continues)
                    except Exception:
                        text = None
                    cases.append({"messages": messages, "continues": continues, "text": text})
            yield {"name": f"{name} {form}", "chat_template": value, "bos_token": "<s>", "eos_token": "</s>", "cases": cases}


SHOTS = [{"q": "1+1?", "a": "2", "n": 0}, {"q": "2+2?", "a": "4", "n": 1}, {"q": "3+3?", "a": "6", "n": 2}]
ASKED = [{"q": "4+4?", "a": "8", "n": 3}, {"q": "5+5? ", "a": "10", "n": 4}]
CHOICE = {"output_type": "multiple_choice", "doc_to_choice": ["2", "4", "6", "8", "10"], "doc_to_target": "n"}
TASKS = [
    ({"output_type": "loglikelihood"}, {}),
    ({"output_type": "loglikelihood", "num_fewshot": 2}, {}),
    ({"output_type": "loglikelihood", "num_fewshot": 2}, {"fewshot_as_multiturn": True}),
    ({"output_type": "loglikelihood", "num_fewshot": 1, "description": "Sums."}, {"fewshot_as_multiturn": True,
                                                                                  "system_instruction": "Be brief."}),
    ({"output_type": "loglikelihood", "description": "Sums.\n"}, {"system_instruction": "Be brief."}),
    (CHOICE, {}),
    ({**CHOICE, "num_fewshot": 2}, {"fewshot_as_multiturn": True}),
    ({**CHOICE, "gen_prefix": "Answer:"}, {}),
    ({**CHOICE, "gen_prefix": "Answer: ", "num_fewshot": 1}, {}),
    ({**CHOICE, "gen_prefix": "Answer:", "num_fewshot": 1}, {"fewshot_as_multiturn": True}),
    ({"output_type": "generate_until", "gen_prefix": "So:", "num_fewshot": 2, "target_delimiter": " = ",
      "fewshot_delimiter": "\n"}, {}),
    ({"output_type": "loglikelihood_rolling"}, {}),
]


def requests():
    from lm_eval.api.task import ConfigurableTask

    with tempfile.TemporaryDirectory() as d:
        for name, docs in ("s", SHOTS), ("d", ASKED):
            with open(f"{d}/{name}.jsonl", "w", encoding="utf-8") as f:
                f.writelines(json.dumps(doc) + "\n" for doc in docs)
        for keys, flags in TASKS:
            text = "" if keys["output_type"] == "loglikelihood_rolling" else "{{q}}"
            config = {"task": "t", "dataset_path": "json", "training_split": "train", "test_split": "test",
                      "dataset_kwargs": {"data_files": {"train": f"{d}/s.jsonl", "test": f"{d}/d.jsonl"}},
                      "fewshot_config": {"sampler": "first_n"}, "doc_to_text": text, "doc_to_target": "{{a}}", "num_fewshot": 0,
                      **keys}
            task = ConfigurableTask(config=config)
            template = partial(tokenizer(FAKE).apply_chat_template, tokenize=False)

            def chat(messages, add_generation_prompt, template=template):
                return template(messages, add_generation_prompt=add_generation_prompt,
                                continue_final_message=not add_generation_prompt)
            task.build_all_requests(rank=0, world_size=1, apply_chat_template=True, chat_template=chat,
                                    system_instruction=flags.get("system_instruction"),
                                    fewshot_as_multiturn=flags.get("fewshot_as_multiturn", False))
            want = []
            for i in task.instances:
                a = i.args
                want.append([a[0], a[1] if len(a) > 1 and isinstance(a[1], str) else None])
            yield {"task": keys, "suite": flags, "requests": want}


def main():
    out = {"render": list(renders()), "shots": SHOTS, "asked": ASKED, "tasks": list(requests())}
    with open(os.path.join(HERE, "chat.json"), "w", encoding="utf-8") as f:
        json.dump(out, f, ensure_ascii=False, indent=1)
        f.write("\n")


main()
