"""What MMSA's models and their settings are called here, and why some settings do not carry over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmsa.importing.settings import Counterpart, clip, each, flag, number, times, to, whole, word, zeros

_LOOP = {
    "batch_size": to("train.batch_size", convert=whole),
    "early_stop": to("train.patience", convert=whole),
}
_RATES = {**_LOOP, "learning_rate": to("optim.lr"), "weight_decay": to("optim.weight_decay")}
_BERT = {
    "pretrained": to("model.text.path", convert=word),
    "use_finetune": to("model.text.finetune", convert=flag),
}
_DROPOUTS = each("model.audio.dropout", "model.vision.dropout", "model.text.dropout", "model.fusion.dropout")
_SUBNETS = each(
    "model.text.hidden",
    ("model.audio.hidden", "model.audio.output"),
    ("model.vision.hidden", "model.vision.output"),
    convert=whole,
)

_ACCUMULATES = "sums the gradients of so many batches; here a batch is a step, so raise train.batch_size"
_ONE_RATE = (
    "has a rate of its own for this part of the model; here optim.lr and weight_decay are for all of it"
)
_ONE_HIDDEN = (
    "has a network of its own for this part of MFN; here model.fusion.hidden and dropout are for all"
)

IMPLIED = frozenset(
    {
        "need_data_aligned",
        "use_bert",
        "featurePath",
        "KeyEval",
        "use_cmd_sim",
        "contrast",
        "optim",
        "windowsize",
    }
)
"""Settings that the base of the space stands for."""

LOST_EVERYWHERE: Mapping[str, str] = {
    "need_model_aligned": "modalities keep their own lengths; a fusion that needs steps aligns them itself",
    "need_normalized": "averages over time; here frames are standardised by the statistics of train",
    "need_normalize": "averages over time; here frames are standardised by the statistics of train",
    "seq_lens": "is read from the data file",
    "feature_dims": "is read from the data file",
    "train_samples": "is read from the data file",
    "num_classes": "is of classification; labels are scores here",
    "language": "is a matter of the text encoder, model.text.path",
    "missing_rate": "is of models for missing modalities",
    "missing_seed": "is of models for missing modalities",
    "H": "clamps to the range of the labels, which the data set brings",
    "transformers": "is told by the files of the encoder itself",
    "update_epochs": _ACCUMULATES,
    "use_bert_finetune": "is of BERT inside the model; MulT reads features here",
}


def _features(fusion: str, encoder: str = "mlp", text: str = "lstm") -> dict[str, Any]:
    names = {"text": text, "audio": encoder, "vision": encoder}
    model = {"name": "late_fusion", **{part: {"name": name} for part, name in names.items()}}
    return {
        "data": {"text": "features"},
        "model": {**model, "fusion": {"name": fusion}},
        "optim": {"name": "adam", "weight_decay": 0.0, "clip_norm": 0.0},
    }


def _finetuned(model: str, pooling: str, fusion: Mapping[str, Any]) -> dict[str, Any]:
    text = {"name": "pretrained", "finetune": True, "pooling": pooling, "dropout": 0.0}
    return {
        "name": model,
        "text": text,
        "audio": {"name": "lstm"},
        "vision": {"name": "lstm"},
        "fusion": fusion,
    }


COUNTERPARTS: Mapping[str, Counterpart] = {
    "tfn": Counterpart(
        _features("tfn"),
        {
            **_RATES,
            "hidden_dims": _SUBNETS,
            "text_out": to("model.text.output", convert=whole),
            "post_fusion_dim": to("model.fusion.width", convert=whole),
            "dropouts": _DROPOUTS,
        },
    ),
    "lf_dnn": Counterpart(
        _features("mlp"),
        {
            **_RATES,
            "hidden_dims": _SUBNETS,
            "text_out": to("model.text.output", convert=whole),
            "post_fusion_dim": to("model.fusion.width", convert=whole),
            "dropouts": _DROPOUTS,
        },
    ),
    "lmf": Counterpart(
        _features("lmf"),
        {
            **_RATES,
            "hidden_dims": _SUBNETS,
            "rank": to("model.fusion.rank", convert=whole),
            "dropouts": _DROPOUTS,
        },
        {"factor_lr": _ONE_RATE},
        ("MMSA gives its optimiser neither the weights of the factors nor the bias; here both are trained.",),
    ),
    "mfn": Counterpart(
        _features("mfn", "linear", "linear"),
        {
            **_RATES,
            "hidden_dims": each(
                *((f"model.fusion.{name}", f"model.{name}.output") for name in ("text", "audio", "vision")),
                convert=whole,
            ),
            "memsize": to("model.fusion.memory", convert=whole),
        },
        {
            f"{part}.{setting}": _ONE_HIDDEN
            for part in ("NN1Config", "NN2Config", "gamma1Config", "gamma2Config", "outConfig")
            for setting in ("drop", "shapes")
        },
    ),
    "mult": Counterpart(
        _features("mult", "linear", "linear"),
        {
            **_RATES,
            "dst_feature_dim_nheads": each(
                ("model.fusion.width", "model.text.output", "model.audio.output", "model.vision.output"),
                "model.fusion.heads",
                convert=whole,
                together=True,
            ),
            "nlevels": to("model.fusion.levels", convert=whole),
            "conv1d_kernel_size_l": to("model.fusion.kernel", convert=whole),
            "attn_dropout": to("model.fusion.attention_dropout"),
            "embed_dropout": to("model.fusion.embedding_dropout"),
            "res_dropout": to("model.fusion.layer_dropout"),
            "output_dropout": to("model.fusion.output_dropout"),
            "text_dropout": to("model.text.dropout"),
            "attn_mask": to("model.fusion.causal", convert=flag),
            "grad_clip": to("optim.clip_value", convert=clip),
        },
        {
            "attn_dropout_a": "is of audio; model.fusion.attention_dropout is for all attention",
            "attn_dropout_v": "is of vision; model.fusion.attention_dropout is for all attention",
            "relu_dropout": "is of one of two places that share model.fusion.layer_dropout",
            "conv1d_kernel_size_a": "is of audio; model.fusion.kernel, that of text, is for all",
            "conv1d_kernel_size_v": "is of vision; model.fusion.kernel, that of text, is for all",
            "patience": "is of its schedule; optim.schedule: plateau waits for half of train.patience",
        },
    ),
    "misa": Counterpart(
        {
            "model": _finetuned("late_fusion", "mean", {"name": "misa"}),
            "objective": {
                "task": {"name": "mse"},
                "terms": {"orthogonality": {}, "cmd": {}, "reconstruction": {}},
            },
            "optim": {"name": "adam", "weight_decay": 0.0, "weight_decay_pretrained": 0.0, "clip_norm": 0.0},
        },
        {
            **_LOOP,
            **_BERT,
            "learning_rate": to("optim.lr", "optim.lr_pretrained"),
            "hidden_size": to("model.fusion.width", convert=whole),
            "dropout": to("model.fusion.dropout"),
            "diff_weight": to("objective.terms.orthogonality.weight", convert=times(6)),
            "sim_weight": to("objective.terms.cmd.weight"),
            "recon_weight": to("objective.terms.reconstruction.weight"),
            "grad_clip": to("optim.clip_value", convert=clip),
        },
        {
            "sp_weight": "is searched by MMSA, but its trainer never reads it",
            "weight_decay": "is searched by MMSA, but its trainer never reads it",
            "reverse_grad_weight": "is of the adversarial similarity loss, which use_cmd_sim replaces",
            "rnncell": "is LSTM, which the encoders of audio and vision are",
        },
        ("MMSA cuts unaligned audio and vision to the length of the text; here they are whole.",),
    ),
    "mmim": Counterpart(
        {
            "model": _finetuned("mmim", "cls", {"name": "mlp"}),
            "objective": {
                "terms": {"cpc": {"direction": "mmim_code"}, "barber_agakov": {"likelihood": "mmim_code"}},
                "strategy": {"name": "two_stage"},
            },
            "optim": {"name": "adam"},
        },
        {
            **_LOOP,
            **_BERT,
            "dropout_a": to("model.audio.dropout"),
            "dropout_v": to("model.vision.dropout"),
            "dropout_prj": to("model.fusion.dropout"),
            "n_layer": to("model.audio.layers", "model.vision.layers", convert=whole),
            "bidirectional": to("model.audio.bidirectional", "model.vision.bidirectional", convert=flag),
            "cpc_layers": to("objective.terms.cpc.layers", convert=whole),
            "d_vh": to("model.vision.hidden", convert=whole),
            "d_ah": to("model.audio.hidden", convert=whole),
            "d_vout": to("model.vision.output", convert=whole),
            "d_aout": to("model.audio.output", convert=whole),
            "d_prjh": to("model.fusion.width", convert=whole),
            "grad_clip": to("optim.clip_norm", convert=clip),
            "lr_main": to("optim.lr"),
            "lr_bert": to("optim.lr_pretrained"),
            "lr_mmilb": to("optim.lr_estimator"),
            "weight_decay_main": to("optim.weight_decay"),
            "weight_decay_bert": to("optim.weight_decay_pretrained"),
            "weight_decay_mmilb": to("optim.weight_decay_estimator"),
            "alpha": to("objective.terms.cpc.weight", convert=times(3)),
            "beta": to("objective.terms.barber_agakov.weight", convert=times(2)),
            "mem_size": to("objective.terms.barber_agakov.memory", convert=whole),
            "add_va": to("objective.terms.barber_agakov.vision_to_audio", convert=flag),
        },
        {
            "when": "is longer than early_stop, so that its schedule never acts",
            "update_epochs": "is never read by its trainer",
            "mmilb_mid_activation": "is ReLU here as well",
            "mmilb_last_activation": "is never used there",
            "cpc_activation": "is tanh here as well",
        },
        ("With n_layer above 1 MMSA reads the first layer of its LSTMs, so that others never train.",),
    ),
    "self_mm": Counterpart(
        {
            "model": _finetuned("self_mm", "cls", {"name": "mlp", "activation": "relu"}),
            "objective": {"terms": {"unimodal": {"weight": 3.0}}},  # a mean of three here, a sum there
            "optim": {"name": "adam", "clip_norm": 0.0},
        },
        {
            **_LOOP,
            **_BERT,
            "learning_rate_bert": to("optim.lr_pretrained"),
            "learning_rate_audio": to("optim.lr_audio"),
            "learning_rate_video": to("optim.lr_vision"),
            "learning_rate_other": to("optim.lr"),
            "weight_decay_bert": to("optim.weight_decay_pretrained"),
            "weight_decay_audio": to("optim.weight_decay_audio"),
            "weight_decay_video": to("optim.weight_decay_vision"),
            "weight_decay_other": to("optim.weight_decay"),
            "a_lstm_hidden_size": to("model.audio.hidden", convert=whole),
            "v_lstm_hidden_size": to("model.vision.hidden", convert=whole),
            "a_lstm_layers": to("model.audio.layers", convert=whole),
            "v_lstm_layers": to("model.vision.layers", convert=whole),
            "a_lstm_dropout": to("model.audio.dropout"),
            "v_lstm_dropout": to("model.vision.dropout"),
            "audio_out": to("model.audio.output", convert=whole),
            "video_out": to("model.vision.output", convert=whole),
            "post_fusion_dim": to("model.fusion.width", convert=whole),
            "post_fusion_dropout": to("model.fusion.dropout"),
            **{
                f"post_{there}_{setting}": to(f"objective.terms.unimodal.{here}.{name}", convert=convert)
                for there, here in (("text", "text"), ("audio", "audio"), ("video", "vision"))
                for setting, name, convert in (("dim", "width", whole), ("dropout", "dropout", number))
            },
            "excludeZero": to("objective.terms.unimodal.zeros", convert=zeros),
        },
        {
            "text_out": "is the width of BERT",
            "t_bert_dropout": "is never used there",
            "save_labels": "is of its log",
        },
    ),
}
