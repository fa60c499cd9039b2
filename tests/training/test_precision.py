"""What `--precision auto` means on a device, and that a run keeps what it meant."""

import types
import warnings
from dataclasses import replace

import pytest
import torch

from albatross.atomic import read_json
from albatross.checkpoints.model_folder import RUN
from albatross.errors import AlbatrossWarning, ConfigError, TrainingError
from albatross.training.distributed import World
from albatross.training.matrix_peak import matrix_peak
from albatross.training.precision import on_devices
from albatross.training.pretrain import pretrain

CPU, GPU = World(), World(device=torch.device("cuda"))


def torch_that_can(monkeypatch, *names, gpu=False, gain=2.0):
    """Let torch tell that the devices here multiply in it, or not, and how much faster they are."""
    told = types.MappingProxyType({"avx2": True, **dict.fromkeys(names, True)})
    peaks = {torch.float32: 1e11, torch.bfloat16: gain * 1e11}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    measured = "albatross.training.precision.matrix_peak"
    monkeypatch.setattr(measured, lambda _, dtype: peaks[dtype])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu)


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16"])
def test_a_processor_that_multiplies_in_bfloat16_does(name, short, monkeypatch):
    torch_that_can(monkeypatch, name)
    asked = replace(short, precision="auto")
    assert on_devices(asked, CPU) == replace(short, precision="bfloat16")
    assert on_devices(asked, GPU).precision == "float32"


@pytest.mark.parametrize("gain", [0.5, 1.2])
def test_a_processor_that_gains_little_by_bfloat16_does_not(gain, short, monkeypatch):
    """As those of Intel do whose tiles a virtual machine hides."""
    torch_that_can(monkeypatch, "avx512_bf16", gain=gain)
    assert on_devices(replace(short, precision="auto"), CPU).precision == "float32"
    with pytest.warns(AlbatrossWarning, match="multiplies faster in it"):
        on_devices(replace(short, precision="bfloat16"), CPU)


def test_products_are_measured_once():
    peak = matrix_peak(CPU.device, torch.float32)
    assert 1e8 < peak < 1e14
    assert matrix_peak(CPU.device, torch.float32) == peak


def test_a_gpu_that_multiplies_in_bfloat16_does(short, monkeypatch):
    torch_that_can(monkeypatch, gpu=True)
    asked = replace(short, precision="auto")
    assert on_devices(asked, GPU).precision == "bfloat16"
    assert on_devices(asked, CPU).precision == "float32"


def test_processes_compute_alike(short, monkeypatch):
    """In 32 bits where one of them has no instructions for less."""
    torch_that_can(monkeypatch, "amx_bf16")
    asked, two = replace(short, precision="auto"), World(size=2)
    for others, chosen in ((0, "float32"), (1, "bfloat16")):
        monkeypatch.setattr(World, "sum", lambda _, own, others=others: [own[0] + others])
        assert on_devices(asked, two).precision == chosen


def test_a_torch_that_cannot_tell_computes_in_float32(short, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert on_devices(replace(short, precision="auto"), CPU).precision == "float32"


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_what_was_asked_for_stays(precision, short, monkeypatch):
    torch_that_can(monkeypatch, "amx_bf16", gpu=True)
    asked = replace(short, precision=precision)
    assert on_devices(asked, CPU) is asked


@pytest.mark.parametrize("world", [CPU, GPU])
def test_bfloat16_where_it_is_slow_is_warned_of(world, short, monkeypatch):
    torch_that_can(monkeypatch)
    asked = replace(short, precision="bfloat16")
    with pytest.warns(AlbatrossWarning, match="Leave it to `--precision auto`"):
        assert on_devices(asked, world) is asked
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        on_devices(asked, replace(world, rank=1, size=2))  # The first process has said it.
        on_devices(replace(short, precision="float16"), world)


def test_a_torch_that_cannot_tell_does_not_warn(short, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    asked = replace(short, precision="bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert on_devices(asked, CPU) is asked


def test_a_run_does_not_go_on_in_another_precision(short, interrupt, monkeypatch):
    torch_that_can(monkeypatch)
    asked = replace(short, precision="auto")
    interrupt(3)
    with pytest.raises(TrainingError, match="interrupted"):
        pretrain(asked)
    assert read_json(short.out / RUN)["settings"]["precision"] == "float32"
    torch_that_can(monkeypatch, "amx_bf16")
    with pytest.raises(ConfigError, match="precision='float32' before and 'bfloat16' now"):
        pretrain(asked)
    torch_that_can(monkeypatch)
    assert pretrain(asked) == short.out
