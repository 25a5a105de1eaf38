"""peft: adapters put around the layers of a model, and taken off again."""

from __future__ import annotations

import os

import peft
import torch
import transformers as hf
from conversion import Conversion, Row, filled


def _llama():
    config = hf.LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=24,
    )
    return hf.LlamaForCausalLM(config)


def _wrapped(model):
    return peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))


def _wrapping(folder):
    path = os.path.join(folder, "model.pt")
    model = filled(_llama(), 0)
    torch.save(model.state_dict(), path)
    known = {tensor.data_ptr() for tensor in model.state_dict().values()}
    expected = _wrapped(model).state_dict()
    new = frozenset(key for key, tensor in expected.items() if tensor.data_ptr() not in known)
    return Conversion(path, expected, new, filled(_wrapped(_llama()), 3))


def _unwrapping(folder):
    path = os.path.join(folder, "model.pt")
    model = filled(_wrapped(_llama()), 0)
    torch.save(model.state_dict(), path)
    return Conversion(path, model.unload().state_dict(), frozenset(), filled(_llama(), 3))


ROWS = [
    Row("llama_to_peft_lora", "peft", "`get_peft_model`", _wrapping),
    Row("peft_lora_to_base", "peft", "`unload`", _unwrapping),
]
