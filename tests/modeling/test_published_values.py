"""The one published value at hand, for those who have the weights: nothing is fetched here."""

import os

import pytest
import torch

from albatross.modeling.model import AlbertModel

FOLDER = os.environ.get("ALBATROSS_ALBERT_BASE_V2", "")
# transformers' own integration test of albert-base-v2: rows 1 to 3, columns 1 to 3.
IDS = [[0, 345, 232, 328, 740, 140, 1695, 69, 6078, 1588, 2]]
EXPECTED = [
    [-0.6513, 1.5035, -0.2766],
    [-0.6515, 1.5046, -0.2780],
    [-0.6512, 1.5049, -0.2784],
]


@pytest.mark.skipif(not FOLDER, reason="ALBATROSS_ALBERT_BASE_V2 names no albert-base-v2 folder")
def test_albert_base_v2_gives_its_published_rows():
    model = AlbertModel.from_pretrained(FOLDER)
    mask = torch.tensor([[0] + [1] * 10])
    with torch.inference_mode():
        rows = model(torch.tensor(IDS), attention_mask=mask).last_hidden_state[0, 1:4, 1:4]
    torch.testing.assert_close(rows, torch.tensor(EXPECTED), atol=1e-4, rtol=0)
