"""transformers: `from_pretrained` on a folder in an older form, or of another model; and a load hook."""

from __future__ import annotations

import os

import safetensors
import torch
import transformers as hf
from conversion import Conversion, Row, filled, into


def _random(cls, config, seed):
    return filled(cls(config).to(getattr(torch, str(config.dtype).removeprefix("torch."))), seed)


def _loaded(cls, config, folder, file="model.safetensors"):
    model, info = cls.from_pretrained(folder, output_loading_info=True, dtype=config.dtype)
    expected = {key: tensor.clone() for key, tensor in model.state_dict().items()}  # it may be mapped from the file
    return Conversion(os.path.join(folder, file), expected, frozenset(info["missing_keys"]), _random(cls, config, 3))


def _saved_in_the_older_form(cls, config, older):
    """`save_pretrained` writes the names of transformers 4 by itself; `older` is one of them."""

    def make(folder):
        model = _random(cls, config, 0)
        model.save_pretrained(folder)
        found = _loaded(cls, config, folder)
        with safetensors.safe_open(found.source, "pt") as file:
            assert older in file.keys()  # noqa: SIM118 - it is no mapping
        assert older not in model.state_dict()
        return found

    return make


def _into_another(cls, other, config):
    def make(folder):
        _random(cls, config, 0).save_pretrained(folder)
        return _loaded(other, config, folder)

    return make


def _bert_of_2018(folder):
    model = filled(hf.BertForPreTraining(_BERT), 0)
    older = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for key, tensor in model.state_dict().items()
    }
    model.config.save_pretrained(folder)
    torch.save(older, os.path.join(folder, "pytorch_model.bin"))
    return _loaded(hf.BertForSequenceClassification, _BERT, folder, "pytorch_model.bin")


def _mamba_of_state_spaces(folder):
    def make():
        return hf.MambaForCausalLM(_MAMBA)

    path = os.path.join(folder, "pytorch_model.bin")
    original = filled(make(), 0).state_dict()
    original["backbone.embedding.weight"] = original.pop("backbone.embeddings.weight")
    torch.save(dict(original), path)
    expected, new = into(make, lambda model: model.load_state_dict(torch.load(path)))
    return Conversion(path, expected, new, filled(make(), 3))


_SIZES = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 3, "dtype": "float32"}
_BERT = hf.BertConfig(**_SIZES, num_attention_heads=2, intermediate_size=24, num_labels=5)
_GPT2 = hf.GPT2Config(vocab_size=64, n_embd=16, n_layer=3, n_head=2, n_positions=32, num_labels=5, dtype="float32")
_MAMBA = hf.MambaConfig(**_SIZES, state_size=4)
_T5_SIZES = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 3, "num_heads": 2}
_T5 = hf.T5Config(**_T5_SIZES, dtype="float32")
_MT5 = hf.MT5Config(**_T5_SIZES, dtype="float32")
_QWEN = hf.Qwen3MoeConfig(
    **_SIZES | {"dtype": "float16"},
    intermediate_size=24,
    moe_intermediate_size=12,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=8,
    num_experts=12,
    num_experts_per_tok=2,
    mlp_only_layers=[0],
)
_DETR = hf.DetrConfig(
    backbone_config=hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[2, 1, 3, 2]),
    d_model=16,
    encoder_layers=3,
    decoder_layers=2,
    encoder_ffn_dim=24,
    decoder_ffn_dim=24,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    num_queries=6,
    dtype="float32",
)

_LIBRARY = "transformers"
_CONVERSION = "`from_pretrained`, the conversion mapping of"
_FROM = "`from_pretrained` of"

ROWS = [
    Row(
        "qwen3moe_hf4_to_hf5_fused",
        _LIBRARY,
        f"{_CONVERSION} qwen3_moe",
        _saved_in_the_older_form(hf.Qwen3MoeForCausalLM, _QWEN, "model.layers.1.mlp.experts.0.gate_proj.weight"),
    ),
    Row(
        "detr_hf4_to_hf5",
        _LIBRARY,
        f"{_CONVERSION} detr",
        _saved_in_the_older_form(hf.DetrForObjectDetection, _DETR, "model.encoder.layers.0.self_attn.out_proj.weight"),
    ),
    Row("bert_oldckpt_gamma_beta_to_seqcls", _LIBRARY, f"{_CONVERSION} old BERT files", _bert_of_2018),
    Row(
        "bert_base_to_qa_prefix_added",
        _LIBRARY,
        f"{_FROM} BertForQuestionAnswering",
        _into_another(hf.BertModel, hf.BertForQuestionAnswering, _BERT),
    ),
    Row(
        "gpt2_lm_to_seqcls",
        _LIBRARY,
        f"{_FROM} GPT2ForSequenceClassification",
        _into_another(hf.GPT2LMHeadModel, hf.GPT2ForSequenceClassification, _GPT2),
    ),
    Row(
        "t5_safetensors_shared_to_full",
        _LIBRARY,
        f"{_FROM} T5ForConditionalGeneration",
        _into_another(hf.T5ForConditionalGeneration, hf.T5ForConditionalGeneration, _T5),
    ),
    Row(
        "mt5_full_to_encoder_only",
        _LIBRARY,
        f"{_FROM} MT5EncoderModel",
        _into_another(hf.MT5ForConditionalGeneration, hf.MT5EncoderModel, _MT5),
    ),
    Row("mamba_ssm_to_hf", _LIBRARY, "the load hook of MambaModel", _mamba_of_state_spaces),
]
