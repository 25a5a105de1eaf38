"""Adapters of peft on small models, random weights."""

from __future__ import annotations

import peft
import torch
import transformers
from table import Row
from torch import nn

_CONFIG = {
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def _llama():
    config = transformers.LlamaConfig(**_CONFIG, num_key_value_heads=1, pad_token_id=0)
    return transformers.LlamaForCausalLM(config)


def _convolution():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))


def _on_llama(config):
    return lambda: peft.get_peft_model(_llama(), config)


def _two_adapters():
    model = peft.get_peft_model(_llama(), peft.LoraConfig(r=2, target_modules=["q_proj"]))
    model.add_adapter("second", peft.LoraConfig(r=4, target_modules=["v_proj"], modules_to_save=["lm_head"]))
    return model


def _attention_after_a_run():
    base = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    model = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["self_attn"]))
    model.train()
    model.base_model.model[0].self_attn(*[torch.randn(1, 3, 8)] * 3)
    return model


ROWS = [
    Row("peft: LoRA", _on_llama(peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))),
    Row("peft: LoRA, two adapters and a saved module", _two_adapters),
    Row("peft: DoRA", _on_llama(peft.LoraConfig(r=2, use_dora=True, target_modules=["q_proj"]))),
    Row(
        "peft: LoRA on convolutions",
        lambda: peft.get_peft_model(_convolution(), peft.LoraConfig(r=2, target_modules=["0", "2"])),
    ),
    Row("peft: LoHa", _on_llama(peft.LoHaConfig(r=2, target_modules=["q_proj"]))),
    Row("peft: LoKr", _on_llama(peft.LoKrConfig(r=2, target_modules=["q_proj"]))),
    Row(
        "peft: IA3",
        _on_llama(peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])),
    ),
    Row("peft: AdaLoRA", _on_llama(peft.AdaLoraConfig(target_modules=["q_proj"], total_step=10))),
    Row("peft: prompt tuning", _on_llama(peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))),
    Row("peft: prefix tuning", _on_llama(peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))),
    Row(
        "peft: merged LoRA",
        lambda: peft.get_peft_model(_llama(), peft.LoraConfig(r=2, target_modules=["q_proj"])).merge_and_unload(),
    ),
    Row("peft: LoRA on MultiheadAttention after a run", _attention_after_a_run),
]
