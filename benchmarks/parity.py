"""Print the greatest differences between our ALBERT and transformers', on random weights.

Needs torch and transformers; no data, no downloads, about a minute on one core:

    PYTHONPATH=src python benchmarks/parity.py
    PYTHONPATH=src python benchmarks/parity.py --small

Each row is one model on a ragged batch: the greatest absolute difference of its logits, of the
loss, and of all gradients, these relative to the greatest of their tensor. In float64 they show
that what remains in float32 is rounding. Questions are compared without padding, for transformers'
pads compete with the tokens for the answer. The beam head, Google's for SQuAD 2.0, is compared with
XLNet's parts in transformers, over our encoder.
"""

import argparse
import logging
import tempfile
from dataclasses import dataclass, replace
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn import functional
from transformers.models.xlnet import modeling_xlnet

import albatross
from albatross.checkpoints.huggingface import canonical
from albatross.config import AlbertConfig, variant

SMALL = AlbertConfig(
    vocab_size=500,
    embedding_size=32,
    hidden_size=64,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=128,
    max_position_embeddings=64,
)
GRID = [(1, 1), (1, 2), (2, 1), (2, 2)]
LENGTHS = (48, 17, 1, 33)
LOGITS = ("logits", "prediction_logits", "sop_logits", "start_logits", "end_logits")
PRETRAINING = "AlbertForPreTraining"
TASKS = (
    "AlbertForSequenceClassification",
    "AlbertForTokenClassification",
    "AlbertForMultipleChoice",
    "AlbertForQuestionAnswering",
)
# Ours, and where XLNet keeps the same.
BEAM_PARTS = {
    "start": "start.dense",
    "end_dense": "end.dense_0",
    "end_LayerNorm": "end.LayerNorm",
    "end_output": "end.dense_1",
    "answer_dense": "answer.dense_0",
    "answer_output": "answer.dense_1",
}
BEAM_ENDS = ("end.dense_1.bias", "end.LayerNorm.bias")


@dataclass(frozen=True)
class Differences:
    """Greatest differences of one pair of models."""

    logits: float
    loss: float
    gradient: float


def make_pair(name: str, config: AlbertConfig) -> tuple[nn.Module, nn.Module]:
    """A model of transformers with random weights, and ours opened from the folder it wrote."""
    theirs = getattr(transformers, name)(transformers.AlbertConfig(**config.to_dict()))
    shake(theirs, config)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return getattr(albatross, name).from_pretrained(folder), theirs.eval()


def shake(model: nn.Module, config: AlbertConfig) -> None:
    """Take norms and biases from their starting values, too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise, alpha=config.initializer_range)


def make_batch(name: str, config: AlbertConfig) -> dict[str, torch.Tensor]:
    """Right-padded sequences and the labels that the class reads; no padding for questions."""
    generator = torch.Generator().manual_seed(1)
    shape = len(LENGTHS), max(LENGTHS)
    mask = torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]
    if "QuestionAnswering" in name:
        mask = torch.ones(shape, dtype=torch.bool)
    ids = torch.randint(1, config.vocab_size, shape, generator=generator)
    masked = (torch.rand(shape, generator=generator) < 1 / 6) & mask
    batch = {
        "input_ids": ids * mask,
        "attention_mask": mask.long(),
        "token_type_ids": torch.randint(0, 2, shape, generator=generator),
    }
    order = torch.tensor([0, 1, 1, 0])
    if name == PRETRAINING:
        return {**batch, "labels": ids.where(masked, -100), "sentence_order_label": order}
    if "QuestionAnswering" in name:
        answers = {"start_positions": 7 * order, "end_positions": 9 * order + 1}
        return {**batch, **answers}
    if name == "AlbertForTokenClassification":
        return {**batch, "labels": (ids % 2).where(masked, -100)}
    if name == "AlbertForMultipleChoice":
        batch = {key: torch.stack([rows, rows.roll(1, 0)], 1) for key, rows in batch.items()}
    return {**batch, "labels": order}


def compare(name: str, config: AlbertConfig, dtype: torch.dtype) -> Differences:
    """Run both forwards and backwards."""
    ours, theirs = (model.to(dtype) for model in make_pair(name, config))
    inputs = make_batch(name, config)
    found, expected = ours(**inputs), theirs(**inputs)
    pairs = [
        (getattr(found, part), getattr(expected, part))
        for part in LOGITS
        if getattr(found, part, None) is not None
    ]
    shown = inputs["attention_mask"].bool()
    # Only what stands for tokens has cells that the mask hides.
    pairs = [
        (one[shown], other[shown]) if one.shape[:2] == shown.shape[-2:] else (one, other)
        for one, other in pairs
    ]
    parameters = dict(ours.named_parameters()), dict(theirs.named_parameters())
    return differences(pairs, (found.loss, expected.loss), parameters)


def compare_beam_head(config: AlbertConfig, dtype: torch.dtype) -> Differences:
    """Run our beam head and XLNet's parts over equal rows; all gradients but the encoder's."""
    name = "AlbertForBeamQuestionAnswering"
    model = albatross.AlbertForBeamQuestionAnswering(config)
    shake(model, config)
    head = model.to(dtype).eval().beam_qa
    theirs = xlnet_parts(config, head).to(dtype)
    batch = make_batch(name, config)
    answers = [batch.pop(key) for key in ("start_positions", "end_positions")]
    with torch.no_grad():
        states = model.albert(**batch).last_hidden_state
    closed = torch.arange(states.shape[1]).expand(states.shape[:2]) % 5 == 2
    first = torch.zeros(len(states), dtype=torch.long)
    start = head.start_logits(states, closed)
    end = head.end_logits(states, answers[0][:, None], closed)[:, 0]
    ours = start, end, head.answer_logits(states, start, first)

    mask = closed.to(dtype)
    start = theirs["start"](states, p_mask=mask)
    end = theirs["end"](states, start_positions=answers[0], p_mask=mask)
    rows = torch.einsum("bth,bt->bh", states, start.softmax(-1))
    others = start, end, theirs["answer"](states, start_states=rows, cls_index=first)
    losses = [beam_loss(parts, answers) for parts in (ours, others)]
    named = dict(theirs.named_parameters())
    found = {xlnet_name(name): parameter for name, parameter in head.named_parameters()}
    return differences(list(zip(ours, others, strict=True)), tuple(losses), (found, named))


def xlnet_parts(config: AlbertConfig, head: nn.Module) -> nn.ModuleDict:
    """XLNet's three parts with the weights of our head."""
    theirs_config = transformers.XLNetConfig(
        d_model=config.hidden_size, n_head=config.num_attention_heads, layer_norm_eps=1e-12
    )
    parts = nn.ModuleDict(
        {
            "start": modeling_xlnet.XLNetPoolerStartLogits(theirs_config),
            "end": modeling_xlnet.XLNetPoolerEndLogits(theirs_config),
            "answer": modeling_xlnet.XLNetPoolerAnswerClass(theirs_config),
        }
    )
    state = head.state_dict()
    parts.load_state_dict({xlnet_name(name): tensor.clone() for name, tensor in state.items()})
    return parts


def xlnet_name(name: str) -> str:
    """Return XLNet's name of a tensor of our head."""
    part, kind = name.split(".")
    return f"{BEAM_PARTS[part]}.{kind}"


def beam_loss(parts: Any, answers: list[torch.Tensor]) -> torch.Tensor:
    """Google's sum of halves, half of the questions without an answer."""
    spans = functional.cross_entropy(parts[0], answers[0])
    spans = spans + functional.cross_entropy(parts[1], answers[1])
    impossible = (answers[0] == 0).to(parts[2].dtype)
    return (spans + functional.binary_cross_entropy_with_logits(parts[2], impossible)) / 2


def differences(pairs: Any, losses: Any, parameters: Any) -> Differences:
    """Go back through both losses and return the greatest differences."""
    for loss in losses:
        loss.backward()
    gradients, others = (
        canonical({name: p.grad.numpy() for name, p in named.items()}) for named in parameters
    )
    # Biases that move alike all that compete have no gradient but rounding: a ratio says nothing.
    alike = ("key.bias", "qa_outputs.bias", "start.dense.bias", *BEAM_ENDS)
    names = [name for name in others if not name.endswith(alike)]
    names = [name for name in names if name != "classifier.bias" or others[name].size > 1]
    return Differences(
        max(float((one - other).detach().abs().max()) for one, other in pairs),
        abs(float(losses[0].detach()) - float(losses[1].detach())),
        max(abs(gradients[n] - others[n]).max() / abs(others[n]).max() for n in names),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="leave base size out")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    sizes = [
        (f"small, {groups} groups of {inner}", config, torch.float32)
        for groups, inner in GRID
        for config in [replace(SMALL, num_hidden_groups=groups, inner_group_num=inner)]
    ]
    if not arguments.small:
        base = variant("albert-base-v2")
        sizes += [("base", base, torch.float32), ("base, float64", base, torch.float64)]
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    print(f"{'':32}{'model':24}{'logits':>10}{'loss':>10}{'gradient':>10}")
    for name in (PRETRAINING, *TASKS, "beam head"):
        for title, config, dtype in sizes:
            beam = name == "beam head"
            found = compare_beam_head(config, dtype) if beam else compare(name, config, dtype)
            figures = f"{found.logits:10.1e}{found.loss:10.1e}{found.gradient:10.1e}"
            print(f"{name:32}{title:24}{figures}", flush=True)


if __name__ == "__main__":
    main()
