"""Each tier has what the contract says, by the same names, and nothing is found out by looking."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
from cpp_device import CppDevice

import minibp
from minibp.device import CudaDevice, Device, get_device, has_numba
from minibp.errors import DeviceError
from minibp.ops.contract import BlockOps, Ops, ResidentFeed
from minibp.ops.cuda.block import CudaBlock
from minibp.ops.cuda.compiled import CudaOps
from minibp.ops.cuda.feed import CudaFeed
from minibp.ops.plain import PlainOps
from minibp.ops.tiers import ops_for

CONTRACTS = {
    PlainOps: Ops,
    CudaOps: Ops,
    CudaBlock: BlockOps,
    CudaFeed: ResidentFeed,
    CudaDevice: Device,
    CppDevice: Device,
}
if has_numba():
    from minibp.ops.cpu.block import ConvBlock
    from minibp.ops.cpu.compiled import CompiledOps
    from minibp.ops.cpu.dense import DenseBlock

    CONTRACTS |= {CompiledOps: Ops, ConvBlock: BlockOps, DenseBlock: BlockOps}

# What a tier need not have: the defaults say so.
OPTIONAL = {"add_dX", "kept", "errors_stay", "conv_block", "dense_block", "draws", "working"}
OPTIONAL |= {"compiled", "resident"}
PROMISED = {"compiled": {"conv_block", "dense_block", "update"}, "resident": {"feed"}}
FOLDERS = [Path(minibp.__file__).parent, Path(minibp.__file__).parents[1] / "scripts"]


def members(contract):
    return [name for name in vars(contract) if not name.startswith("_")]


def parameters(cls, name):
    """Return the names of a method's parameters but self."""
    method = inspect.getattr_static(cls, name)
    if isinstance(method, property):
        return []
    static = isinstance(method, staticmethod)
    return list(inspect.signature(getattr(cls, name)).parameters)[0 if static else 1 :]


@pytest.mark.parametrize("cls", CONTRACTS, ids=lambda cls: cls.__name__)
def test_a_class_has_the_contracts_parameters(cls):
    contract = CONTRACTS[cls]
    for name in members(contract):
        if callable(getattr(contract, name)):
            assert parameters(cls, name) == parameters(contract, name), name


@pytest.mark.parametrize("cls", CONTRACTS, ids=lambda cls: cls.__name__)
def test_a_class_has_all_that_it_must_have(cls):
    contract = CONTRACTS[cls]
    if contract is Device:
        return
    needed = set(members(contract)) - {"size", "total", "dN", "adds"}
    if contract is Ops:
        needed -= OPTIONAL.union(*PROMISED.values())
        needed |= set().union(*(PROMISED[flag] for flag in PROMISED if getattr(cls, flag)))
    for name in needed:
        assert getattr(cls, name) is not getattr(contract, name), name


def test_the_contract_names_every_operation_of_the_plain_tier():
    from minibp.ops import plain

    assert set(plain.__all__) - {"PlainOps"} <= set(members(Ops))


def test_a_tier_without_blocks_and_feeds_says_so():
    ops = ops_for(get_device("cpu", "plain"))
    assert not ops.compiled
    assert not ops.resident
    assert ops.kept() is ops
    assert ops.dense_block(relu=True) is None
    with ops.working():
        pass


def test_a_device_that_is_no_gpu_says_so():
    device = get_device("cpu", "plain")
    assert not device.compiles
    assert not device.records
    assert device.free_memory() == 0
    for call in (
        lambda: device.compile(""),
        lambda: device.library("cublas"),
        lambda: device.address(np.ones(1)),
        lambda: device.queue(),
        lambda: device.record(lambda: None),
    ):
        with pytest.raises(DeviceError, match=r"device 'cpu' does not .*: use a GPU"):
            call()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_nobody_looks_what_a_tier_or_a_device_has(folder):
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
                asked = ast.unparse(node.args[0]).rpartition(".")[2]
                assert asked not in ("ops", "device"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
                compared = {ast.unparse(side) for side in (node.left, *node.comparators)}
                assert "plain" not in compared, f"{path}:{node.lineno}"
