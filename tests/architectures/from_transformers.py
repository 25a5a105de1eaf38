"""Models of transformers, random weights, small configurations."""

from __future__ import annotations

from functools import partial

import transformers
from table import Row

_TEXT = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_IMAGE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
}
_GQA = {**_TEXT, "num_key_value_heads": 1, "pad_token_id": 0}
_SEQ2SEQ = {"vocab_size": 64, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}  # fmt: skip
_SPEECH = {**_TEXT, "conv_dim": (8, 8), "conv_stride": (2, 2), "conv_kernel": (3, 3), "num_feat_extract_layers": 2,
           "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}  # fmt: skip
_PARAMETRIZED = "its convolution is weight-normed by a parametrization, which torch refuses to pickle"

_MODELS = [
    # configuration, class of the model, options
    ("Bert", "BertForMaskedLM", _TEXT),
    ("Roberta", "RobertaForSequenceClassification", _TEXT),
    ("DistilBert", "DistilBertModel", {"vocab_size": 64, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}),
    ("Albert", "AlbertForMaskedLM", {**_TEXT, "embedding_size": 8}),
    ("Electra", "ElectraForPreTraining", {**_TEXT, "embedding_size": 8}),
    ("DebertaV2", "DebertaV2Model", {**_TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    ("XLNet", "XLNetLMHeadModel", {"vocab_size": 64, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32}),
    ("GPT2", "GPT2LMHeadModel", {"vocab_size": 64, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}),
    ("GPTNeoX", "GPTNeoXForCausalLM", _TEXT),
    ("OPT", "OPTForCausalLM", {**_TEXT, "ffn_dim": 32, "word_embed_proj_dim": 8, "max_position_embeddings": 16}),
    ("Bloom", "BloomForCausalLM", {"vocab_size": 64, "hidden_size": 16, "n_layer": 2, "n_head": 2}),
    ("Falcon", "FalconForCausalLM", _TEXT),
    ("Llama", "LlamaForCausalLM", _GQA),
    ("Mistral", "MistralForCausalLM", _GQA),
    ("Mixtral", "MixtralForCausalLM", {**_GQA, "num_local_experts": 2}),
    ("Qwen2", "Qwen2ForCausalLM", {**_GQA, "tie_word_embeddings": True}),
    ("Gemma", "GemmaForCausalLM", {**_GQA, "head_dim": 8}),
    ("Phi", "PhiForCausalLM", _TEXT),
    ("Mamba", "MambaForCausalLM", {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}),
    (
        "T5",
        "T5ForConditionalGeneration",
        {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
    ),
    ("Bart", "BartForConditionalGeneration", _SEQ2SEQ),
    ("Whisper", "WhisperForConditionalGeneration", {**_SEQ2SEQ, "num_mel_bins": 8, "pad_token_id": 0}),
    ("ViT", "ViTForImageClassification", {**_IMAGE, "patch_size": 8}),
    ("Dinov2", "Dinov2Model", {**_IMAGE, "patch_size": 8}),
    ("Swin", "SwinModel", {"image_size": 32, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}),
    (
        "Segformer",
        "SegformerForSemanticSegmentation",
        {
            "hidden_sizes": [8, 8, 8, 8],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 1, 1],
            "decoder_hidden_size": 8,
        },
    ),
    ("ConvNext", "ConvNextModel", {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}),
    ("CLIP", "CLIPModel", {"text_config": _TEXT, "vision_config": {**_IMAGE, "patch_size": 8}, "projection_dim": 8}),
]


def _build(config, model, options):
    made = getattr(transformers, f"{config}Config")(**options)
    return getattr(transformers, model)(made)


ROWS = [
    *(Row(f"transformers: {model}", partial(_build, config, model, options)) for config, model, options in _MODELS),
    Row("transformers: Wav2Vec2Model", partial(_build, "Wav2Vec2", "Wav2Vec2Model", _SPEECH), refused=_PARAMETRIZED),
    Row("transformers: HubertModel", partial(_build, "Hubert", "HubertModel", _SPEECH), refused=_PARAMETRIZED),
]
