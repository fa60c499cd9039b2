"""Every fast path equals the plain one: fused projections, wanted rows, depths, sequences as is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional

from albatross.data.packing import Example, pack
from albatross.modeling import attention as module
from albatross.modeling.attention import AlbertAttention, attend, takes_any_length
from albatross.modeling.model import AlbertModel
from albatross.modeling.packed import PackedInputs, PackedLayout, WantedRows, like_lengths

MODES: dict[str, dict[str, Any]] = {
    "all": {},
    "two groups": {"num_hidden_groups": 2},
    "ffn": {"cross_layer_sharing": "ffn"},
    "residuals": {"depth_lora_rank": 3},
}
modes = pytest.mark.parametrize("mode", MODES)
WANTED = np.array([1, 4, 6, 7, 20, 25])


def wanted_inputs(batch) -> tuple[PackedInputs, WantedRows]:
    """A batch of which some rows are asked for."""
    inputs = PackedInputs.from_batch(batch, wanted=WANTED)
    assert inputs.wanted is not None
    return inputs, inputs.wanted


@pytest.fixture
def model(tiny, shaken, mode):
    return shaken(AlbertModel(replace(tiny, **MODES[mode])))


def rows_and_gradients(model, compute):
    model.zero_grad()
    rows = compute()
    rows.pow(3).sum().backward()
    return [rows.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


def assert_equal(first, second):
    assert len(first) == len(second) > 20
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


# === Query, key and value as one product ===


@modes
def test_fused_projections_equal_separate_ones(model, packed, monkeypatch):
    fused = rows_and_gradients(model, lambda: model.encode(packed))
    monkeypatch.setattr(AlbertAttention, "fuse", lambda self: None)
    assert_equal(fused, rows_and_gradients(model, lambda: model.encode(packed)))


@pytest.mark.parametrize("mode", ["all"])
def test_fused_projections_are_made_once_for_all_depths(model, packed, monkeypatch):
    calls, fuse = [], AlbertAttention.fuse

    def fusing(attention):
        calls.append(attention)
        return fuse(attention)

    monkeypatch.setattr(AlbertAttention, "fuse", fusing)
    model.encode(packed)
    assert len(calls) == 1


@pytest.mark.parametrize("mode", ["all"])
def test_a_projection_with_a_hook_is_applied_itself(model, packed):
    calls = []
    attention = model.encoder.attention_of(0)
    attention.value.register_forward_hook(lambda *_: calls.append("value"))
    model.encode(packed)
    assert len(calls) == 4


@pytest.mark.parametrize("mode", ["all"])
def test_fused_projections_have_the_precision_of_autocast(model):
    with torch.autocast("cpu", torch.bfloat16):
        fused = model.encoder.attention_of(0).fuse()
    assert fused.weight.dtype == fused.bias.dtype == torch.bfloat16


# === The rows that a loss looks at ===


@modes
def test_wanted_rows_are_those_of_all(model, examples, packed):
    inputs, wanted = wanted_inputs(pack(examples))
    found = rows_and_gradients(model, lambda: model.encode(inputs)[wanted.asked])
    assert_equal(found, rows_and_gradients(model, lambda: model.encode(packed)[WANTED]))


@pytest.mark.parametrize("mode", ["all"])
def test_wanted_rows_of_equally_long_sequences_are_those_of_all(model):
    batch = pack([Example(np.arange(n, n + 9), np.zeros(9, dtype=np.int64)) for n in (3, 8, 20)])
    inputs, wanted = wanted_inputs(batch)
    with torch.no_grad():
        found = model.encode(inputs)[wanted.asked]
        everything = model.encode(PackedInputs.from_batch(batch))
    torch.testing.assert_close(found, everything[WANTED], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["all"])
def test_the_pooler_reads_wanted_rows_as_it_reads_all(model, examples, packed):
    inputs, wanted = wanted_inputs(pack(examples))
    with torch.no_grad():
        found = model.pool(model.encode(inputs), wanted.layout)
        expected = model.pool(model.encode(packed), packed.layout)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["all"])
def test_wanted_rows_come_out_of_no_depth_at_all(model, examples):
    inputs, wanted = wanted_inputs(pack(examples))
    embeddings = model.encoder.project(model.embeddings(inputs))
    assert torch.equal(model.encode(inputs, ())[wanted.asked], embeddings[WANTED])


@pytest.mark.parametrize("mode", ["all"])
def test_the_last_depth_computes_wanted_rows_alone(model, examples):
    widths = []
    layer = model.encoder.albert_layer_groups[0].albert_layers[0]
    layer.ffn.register_forward_hook(lambda module, given, made: widths.append(len(made)))
    model.encode(wanted_inputs(pack(examples))[0])
    assert widths == [26, 26, 26, 9]  # the six, and three first ones that are none of them


# === Depths ===


@modes
def test_depths_are_applied_in_the_order_given(model, packed):
    with torch.no_grad():
        rows = model.encoder.project(model.embeddings(packed))
        for depth in (3, 0, 2):
            rows = model.encoder.layer(rows, packed.layout, depth)
        assert torch.equal(model.encode(packed, (3, 0, 2)), rows)
        assert torch.equal(model.encode(packed, range(4)), model.encode(packed))
        assert not torch.equal(model.encode(packed, (0, 1, 2)), model.encode(packed))


# === Sequences of any length on CUDA ===


@pytest.mark.parametrize("lengths", [(5, 1, 12), (4, 4)])
def test_the_layout_bounds_every_sequence_in_32_bits(lengths):
    cu_seqlens = np.cumsum([0, *lengths])
    layout = PackedLayout.from_cu_seqlens(cu_seqlens, "cpu")
    assert layout.cu_seqlens.dtype == torch.int32
    assert layout.cu_seqlens.tolist() == cu_seqlens.tolist()


def on_fake_cuda(dtype, monkeypatch, **changes):
    """Attend on a card that is not there; return the output and the operations that ran."""
    arguments = {"heads": 4, "dropout": 0.0, "width": 64, **changes}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    ran = []

    class Noted(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            ran.append(str(func))
            return func(*args, **(kwargs or {}))

    layout = PackedLayout.from_cu_seqlens(np.array([0, 5, 6, 18]), "cpu")
    shapes = {k: v.to("meta") for k, v in vars(layout).items() if isinstance(v, torch.Tensor)}
    shapes["rows"] = torch.empty(18, arguments["width"], dtype=dtype, device="meta")
    with FakeTensorMode() as mode:
        cuda = torch.device("cuda:0")
        moved: dict[str, Any] = {
            name: FakeTensor(mode, shape, cuda) for name, shape in shapes.items()
        }
        rows = moved.pop("rows")
        layout = replace(layout, **moved)
        with Noted():
            attended = attend(
                rows, rows, rows, layout, layout, arguments["heads"], arguments["dropout"]
            )
        return attended, ran


def test_half_precision_on_cuda_takes_sequences_as_they_are(monkeypatch):
    attended, ran = on_fake_cuda(torch.bfloat16, monkeypatch)
    assert attended.shape == (18, 64)
    assert attended.dtype == torch.bfloat16
    assert any("varlen" in name for name in ran)
    assert not any("index_copy" in name for name in ran)


@pytest.mark.parametrize(
    ("dtype", "changes"),
    [(torch.float32, {}), (torch.bfloat16, {"dropout": 0.1}), (torch.bfloat16, {"width": 16})],
)
def test_what_the_kernel_cannot_do_goes_by_the_block(monkeypatch, dtype, changes):
    attended, ran = on_fake_cuda(dtype, monkeypatch, **changes)
    assert len(attended) == 18
    assert any("index_copy" in name for name in ran)
    assert not any("varlen" in name for name in ran)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_kernel_equals_the_block_on_a_card():
    layout = PackedLayout.from_cu_seqlens(np.array([0, 5, 6, 18]), "cuda")
    generator = torch.Generator("cuda").manual_seed(0)
    options: dict[str, Any] = {"generator": generator, "device": "cuda", "dtype": torch.bfloat16}
    query, key, value = (torch.randn(18, 64, **options).requires_grad_() for _ in range(3))
    assert takes_any_length(query, 4)
    made = attend(query, key, value, layout, layout, 4, 0.0)
    plain = tuple(part.detach().float().requires_grad_() for part in (query, key, value))
    expected = attend(plain[0], plain[1], plain[2], layout, layout, 4, 0.0)
    made.float().pow(3).sum().backward()
    expected.pow(3).sum().backward()
    torch.testing.assert_close(made.float(), expected, atol=2e-2, rtol=2e-2)
    for one, other in zip((query, key, value), plain, strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad.float(), other.grad, atol=1e-1, rtol=5e-2)


# === Neighbours of like length ===


def of_lengths(lengths):
    rng = np.random.default_rng(0)
    return pack([Example(rng.integers(5, 20, n), np.zeros(n, np.int64)) for n in lengths])


SORTED = [*[3] * 80, *[11] * 18, 12, 12]


@modes
@pytest.mark.parametrize("asked", [None, np.empty(0, np.int64), np.array([3, 200, 300])])
def test_parts_of_like_length_equal_one_block(model, monkeypatch, asked):
    batch = of_lengths(SORTED)
    model.double()  # sums over hundreds of tokens
    inputs = PackedInputs.from_batch(batch, wanted=asked)
    assert len(inputs.layout.parts) == 2
    parted = rows_and_gradients(model, lambda: model.encode(inputs))
    monkeypatch.setattr("albatross.modeling.packed.like_lengths", lambda *given: [])
    whole = PackedInputs.from_batch(batch, wanted=asked)
    assert not whole.layout.parts
    assert_equal(parted, rows_and_gradients(model, lambda: model.encode(whole)))


def test_parts_hold_every_sequence_once_in_order():
    ranges = like_lengths(of_lengths(SORTED).cu_seqlens, "cpu")
    assert [number for start, end in ranges for number in range(start, end)] == [*range(100)]


@pytest.mark.parametrize("lengths", [[9] * 60, [30, 6] * 30, [6, 30], [200, 201, 202]])
def test_no_parts_where_they_save_little(lengths):
    assert like_lengths(of_lengths(lengths).cu_seqlens, "cpu") == []


def test_a_card_is_given_no_parts():
    assert like_lengths(of_lengths(SORTED).cu_seqlens, "cuda") == []


# === Plain products ===


@pytest.mark.parametrize("is_masked", [False, True])
def test_attention_by_products_equals_that_of_the_kernel(is_masked):
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn((3, 2, 7, 8), generator=generator).requires_grad_() for _ in range(3)
    )
    lengths = torch.tensor([7, 4, 1])[:, None]
    mask = (torch.arange(7) < lengths)[:, None, None] if is_masked else None
    gradients = []
    for attended in (
        module.attend_by_products(query, key, value, mask, 0.0),
        functional.scaled_dot_product_attention(query, key, value, attn_mask=mask),
    ):
        found = torch.autograd.grad(attended.square().sum(), (query, key, value))
        gradients.append((attended, *found))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_only_bfloat16_on_a_processor_attends_by_products(tiny, packed, monkeypatch):
    model = AlbertModel(tiny)
    calls, products = [], module.attend_by_products

    def counted(*given: Any) -> Tensor:
        calls.append(given)
        return products(*given)

    monkeypatch.setattr(module, "attend_by_products", counted)
    model.encode(packed)
    assert not calls
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.encode(packed)
    assert len(calls) == model.config.depth


def test_products_leave_weights_out_as_the_kernel_does():
    ones = torch.ones(64, 1, 16, 4)
    attended = module.attend_by_products(ones, ones, ones, None, 0.5)
    assert attended.std() > 0.1
    assert attended.mean().item() == pytest.approx(1.0, abs=0.05)
