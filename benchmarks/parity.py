"""Print the greatest differences between our ALBERT and transformers', on random weights.

Needs torch and transformers; no data, no downloads, about half a minute on one core:

    PYTHONPATH=src python benchmarks/parity.py
    PYTHONPATH=src python benchmarks/parity.py --small

Each row is one `AlbertForPreTraining` in float32 on a ragged batch: the greatest absolute
difference of its logits, of the loss, and of all gradients, these relative to the greatest of their
tensor. Base size is computed in float64, too, which shows that what remains is rounding.
"""

import argparse
import logging
import tempfile
from dataclasses import dataclass, replace

import torch
import transformers

from albatross.checkpoints.huggingface import canonical
from albatross.config import AlbertConfig, variant
from albatross.modeling.model import AlbertForPreTraining

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


@dataclass(frozen=True)
class Differences:
    """Greatest differences of one pair of models."""

    logits: float
    loss: float
    gradient: float


def make_pair(config: AlbertConfig) -> tuple[AlbertForPreTraining, torch.nn.Module]:
    """A model of transformers with random weights, and ours opened from the folder it wrote."""
    theirs = transformers.AlbertForPreTraining(transformers.AlbertConfig(**config.to_dict()))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise, alpha=config.initializer_range)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return AlbertForPreTraining.from_pretrained(folder), theirs.eval()


def ragged_batch(config: AlbertConfig) -> dict[str, torch.Tensor]:
    """Right-padded sequences, a sixth of their words to be predicted."""
    generator = torch.Generator().manual_seed(1)
    shape = len(LENGTHS), max(LENGTHS)
    mask = torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(1, config.vocab_size, shape, generator=generator)
    masked = (torch.rand(shape, generator=generator) < 1 / 6) & mask
    return {
        "input_ids": ids * mask,
        "attention_mask": mask.long(),
        "token_type_ids": torch.randint(0, 2, shape, generator=generator),
        "labels": ids.where(masked, -100),
        "sentence_order_label": torch.tensor([0, 1, 1, 0]),
    }


def compare(config: AlbertConfig, dtype: torch.dtype) -> Differences:
    """Run both forwards and backwards."""
    ours, theirs = (model.to(dtype) for model in make_pair(config))
    inputs = ragged_batch(config)
    shown = inputs["attention_mask"].bool()
    found, expected = ours(**inputs), theirs(**inputs)
    found.loss.backward()
    expected.loss.backward()
    gradients = canonical({n: p.grad.numpy() for n, p in ours.named_parameters()})
    others = canonical({n: p.grad.numpy() for n, p in theirs.named_parameters()})
    # The bias of all keys has no gradient but rounding, so a ratio would say nothing.
    names = [name for name in others if not name.endswith("key.bias")]
    logits = [
        (found.prediction_logits - expected.prediction_logits)[shown],
        found.sop_logits - expected.sop_logits,
    ]
    return Differences(
        max(float(part.detach().abs().max()) for part in logits),
        abs(float(found.loss.detach()) - float(expected.loss.detach())),
        max(abs(gradients[n] - others[n]).max() / abs(others[n]).max() for n in names),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="leave base size out")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    rows = [
        (f"small, {groups} groups of {inner}", config, torch.float32)
        for groups, inner in GRID
        for config in [replace(SMALL, num_hidden_groups=groups, inner_group_num=inner)]
    ]
    if not arguments.small:
        base = variant("albert-base-v2")
        rows += [("base", base, torch.float32), ("base, float64", base, torch.float64)]
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    print(f"{'model':24}{'logits':>10}{'loss':>10}{'gradient':>10}")
    for title, config, dtype in rows:
        found = compare(config, dtype)
        print(f"{title:24}{found.logits:10.1e}{found.loss:10.1e}{found.gradient:10.1e}")


if __name__ == "__main__":
    main()
