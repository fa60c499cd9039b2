"""ALBERT end to end: pre-train, fine-tune, evaluate and deploy small language-understanding models.

>>> import albatross
>>> classify = albatross.load("sentiment")
>>> classify("A lovely film.").label
'positive'

Names are imported when they are first used: `import albatross` brings neither torch nor numpy.
Every verb of the command line is a function here, which takes the verb's settings as arguments:
`albatross.finetune("runs/pretrained", "runs/sst2", train="train.tsv")`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from albatross.config import AlbertConfig as AlbertConfig
    from albatross.config import variant as variant
    from albatross.errors import AlbatrossError as AlbatrossError
    from albatross.modeling.model import AlbertForMaskedLM as AlbertForMaskedLM
    from albatross.modeling.model import AlbertForPreTraining as AlbertForPreTraining
    from albatross.modeling.model import AlbertModel as AlbertModel
    from albatross.modeling.task_models import (
        AlbertForBeamQuestionAnswering as AlbertForBeamQuestionAnswering,
    )
    from albatross.modeling.task_models import (
        AlbertForMultipleChoice as AlbertForMultipleChoice,
    )
    from albatross.modeling.task_models import (
        AlbertForQuestionAnswering as AlbertForQuestionAnswering,
    )
    from albatross.modeling.task_models import (
        AlbertForSequenceClassification as AlbertForSequenceClassification,
    )
    from albatross.modeling.task_models import (
        AlbertForTokenClassification as AlbertForTokenClassification,
    )
    from albatross.pipelines.pipeline import Pipeline as Pipeline
    from albatross.pipelines.pipeline import load as load
    from albatross.tasks.answers import Answer as Answer
    from albatross.tokenizer.unigram import UnigramTokenizer as UnigramTokenizer

__version__ = "0.1.0"

_HOMES = {
    "AlbatrossError": "albatross.errors",
    "AlbertConfig": "albatross.config",
    "AlbertForBeamQuestionAnswering": "albatross.modeling.task_models",
    "AlbertForMaskedLM": "albatross.modeling.model",
    "AlbertForMultipleChoice": "albatross.modeling.task_models",
    "AlbertForPreTraining": "albatross.modeling.model",
    "AlbertForQuestionAnswering": "albatross.modeling.task_models",
    "AlbertForSequenceClassification": "albatross.modeling.task_models",
    "AlbertForTokenClassification": "albatross.modeling.task_models",
    "AlbertModel": "albatross.modeling.model",
    "Answer": "albatross.tasks.answers",
    "Pipeline": "albatross.pipelines.pipeline",
    "UnigramTokenizer": "albatross.tokenizer.unigram",
    "load": "albatross.pipelines.pipeline",
    "load_stack": "albatross.pipelines.stack",
    "variant": "albatross.config",
}
__all__ = [
    "AlbatrossError",
    "AlbertConfig",
    "AlbertForBeamQuestionAnswering",
    "AlbertForMaskedLM",
    "AlbertForMultipleChoice",
    "AlbertForPreTraining",
    "AlbertForQuestionAnswering",
    "AlbertForSequenceClassification",
    "AlbertForTokenClassification",
    "AlbertModel",
    "Answer",
    "Pipeline",
    "UnigramTokenizer",
    "bench",
    "build_shards",
    "convert",
    "demo",
    "evaluate",
    "export",
    "extend_vocabulary",
    "few_shot",
    "finetune",
    "info",
    "inspect",
    "load",
    "load_stack",
    "predict",
    "pretrain",
    "swap_vocabulary",
    "train_tokenizer",
    "tune",
    "variant",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name in _HOMES:
        return getattr(import_module("albatross.cli").import_home(_HOMES[name]), name)
    if name in __all__:
        return import_module("albatross.cli").python_function(name)
    raise AttributeError(f"module 'albatross' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__


class _Face(ModuleType):
    """The package itself, where a verb's name stays the verb's.

    Importing the room `albatross.export` would otherwise put it in place of the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, unless it is a room with a public name."""
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
