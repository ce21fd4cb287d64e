"""Training in several processes: shares of a batch and of the rows."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from biorrn.config.recipe import load_recipe, parse_recipe
from biorrn.nn.batch import Batch
from biorrn.nn.cells import SharedDropout
from biorrn.nn.sequence import build_model
from biorrn.proteins.task import LOSSES
from biorrn.training.parallel import FEWEST, Pieces, Place, Shards, WholeDropout, see_whole, separable, take
from biorrn.training.processes import Processes
from biorrn.training.task import load_task

TOKENS = {"frontend": {"name": "embedding", "width": 6}, "core": {"hidden": 5, "layers": 2}}
SIGNAL = {"core": {"hidden": 5, "layers": 1, "cell": "lstm"}, "head": {"name": "ctc"}}
LAYERS = [{"width": 4, "kernel": 5, "stride": 2}]
MODELS = {
    "regression": {**TOKENS, "pool": ["mean", "last", "attention"]},
    "language": {
        "frontend": {"name": "tokens", "width": 6, "size": 26},
        "core": {"hidden": 5, "layers": 1, "direction": "forward"},
        "head": {"name": "tokens"},
    },
    "basecalling": {**SIGNAL, "frontend": {"name": "conv", "layers": LAYERS}},
}
CASES = [("regression", loss) for loss in LOSSES] + [("language", "cross_entropy"), ("basecalling", "ctc")]
CASES += [("basecalling", "crf")]


class Thread(Processes):
    """A process among others, in a thread."""

    meet: Any

    def add(self, tensor: Tensor) -> Tensor:
        return self.meet(self.rank, tensor)  # type: ignore[no-any-return]


class Meeting:
    """Sums what all threads bring, in the order of their ranks."""

    def __init__(self, size: int) -> None:
        self.brought: dict[int, Tensor] = {}
        self.barrier = threading.Barrier(size, timeout=60)

    def __call__(self, rank: int, tensor: Tensor) -> Tensor:
        self.brought[rank] = tensor
        self.barrier.wait()
        total = sum(self.brought[place] for place in sorted(self.brought))
        self.barrier.wait()
        tensor.copy_(total)  # type: ignore[arg-type]
        self.barrier.wait()
        return tensor


def setting(task: str, loss: str, **model: Any) -> tuple[Any, nn.Module]:
    content = {"name": "tiny", "task": task, "model": {**MODELS[task], **model}, "training": {"loss": loss}}
    if loss == "crf":
        content["model"]["head"] = {"name": "crf", "state_len": 1}
    recipe = parse_recipe(content)
    torch.manual_seed(0)
    return recipe, build_model(recipe.network, {"regression": 2, "language": 26, "basecalling": 5}[task]).double()


def batch(task: str, rows: int = 7) -> Batch:
    """Return a batch with what makes rows unlike: lengths, weights, targets that are missing."""
    draw = torch.Generator().manual_seed(1)
    lengths = torch.randint(8, 21, (rows,), generator=draw)
    weights = None
    if task == "basecalling":
        x = torch.randn(rows, 20, 1, generator=draw).double()
        targets = torch.randint(1, 5, (rows, 4), generator=draw)
        return Batch(x, lengths, targets, torch.randint(1, 4, (rows,), generator=draw))
    x = torch.randint(1, 21, (rows, 20), generator=draw) * (torch.arange(20) < lengths[:, None])
    if task == "language":
        targets = x.roll(-1, 1).masked_fill(x == 0, -1)
        targets[0] = -1  # a row that tells nothing
    else:
        targets = torch.randn(rows, 2, generator=draw)
        targets[0] = torch.nan
        targets[3, 1] = torch.nan
        weights = torch.rand(rows, generator=draw)
    return Batch(x, lengths, targets, weights=weights, ids=[str(row) for row in range(rows)])


def gradient(loss: Tensor, model: nn.Module) -> Tensor:
    found = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in found])


def in_pieces(task: str, recipe: Any, models: list[nn.Module], whole: Batch) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of a batch that each of several models has a piece of."""
    size = len(models)
    meet = Meeting(size)

    def work(rank: int) -> tuple[Tensor, Tensor]:
        here = Thread(rank, size)
        object.__setattr__(here, "meet", meet)
        model: Any = models[rank]
        pieces = Pieces(model, load_task(task), recipe, here)
        piece = pieces.cut(whole)
        pieces.enter(piece)
        loss, part = pieces.loss(model, *model(piece.own.x, piece.own.lengths), piece)
        return part, gradient(loss, model) / size

    with ThreadPoolExecutor(size) as pool:
        parts, gradients = zip(*pool.map(work, range(size)), strict=True)
    return sum(parts), sum(gradients)  # type: ignore[return-value]


@pytest.mark.parametrize("size", [2, 3, 9])  # of nine processes two have no row
@pytest.mark.parametrize(("task", "loss"), CASES)
def test_pieces_sum_to_the_batch(task: str, loss: str, size: int) -> None:
    recipe, model = setting(task, loss)
    whole = batch(task)
    wanted = load_task(task).loss(model, *model(whole.x, whole.lengths), whole, recipe)  # type: ignore[arg-type]
    found, gradients = in_pieces(task, recipe, [setting(task, loss)[1] for _ in range(size)], whole)
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-6, atol=1e-9)
    # targets and weights are float32, and so is the kernel's CTC of float32
    torch.testing.assert_close(gradients, gradient(wanted, model), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", [2, 9])
@pytest.mark.parametrize("frontend", ["residual", "separable"])
def test_batch_norm_sees_all_rows(frontend: str, size: int) -> None:
    block = {"width": 4, "kernel": 5, "stride": 2}
    more = {"frontend": {"name": frontend, "blocks": [block, {**block, "stride": 1}]}}
    recipe, model = setting("basecalling", "ctc", **more)
    model, whole = model.float(), batch("basecalling")
    whole = replace(whole, x=whole.x.float())
    wanted = load_task("basecalling").loss(model, *model(whole.x, whole.lengths), whole, recipe)  # type: ignore[arg-type]
    models = [setting("basecalling", "ctc", **more)[1].float() for _ in range(size)]
    found, gradients = in_pieces("basecalling", recipe, models, whole)
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradients, gradient(wanted, model), rtol=1e-3, atol=1e-5)
    for one in models:  # and the running statistics are those of one process
        for name, buffer in one.named_buffers():
            torch.testing.assert_close(buffer, dict(model.named_buffers())[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layout", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
@pytest.mark.parametrize(("start", "stop"), [(0, 3), (3, 7), (6, 7)])
def test_dropout_is_that_of_the_batch(layout: tuple[int, ...], start: int, stop: int) -> None:
    """Also of a tensor that lies otherwise in memory, as what an LSTM or a convolution gives."""
    whole = torch.randn(7, 5, 4).permute(layout).contiguous().permute([layout.index(d) for d in range(3)])
    torch.manual_seed(3)
    wanted = nn.functional.dropout(whole, 0.4)
    own = whole[start:stop].permute(layout).contiguous().permute([layout.index(d) for d in range(3)])
    dropout = WholeDropout(0.4, Place(start, stop, 7))
    torch.manual_seed(3)
    assert torch.equal(dropout(own), wanted[start:stop])
    assert torch.equal(dropout.eval()(own), own)


def test_processes_without_rows_draw_too() -> None:
    dropout = WholeDropout(0.5, Place(0, 0, 4))
    torch.manual_seed(0)
    dropout(torch.ones(1, 3))
    here = torch.rand(1)
    torch.manual_seed(0)
    nn.functional.dropout(torch.ones(4, 3), 0.5)
    assert torch.equal(here, torch.rand(1))


def test_every_dropout_of_a_model_is_replaced() -> None:
    model = setting("regression", "mse", input_dropout=0.1, core={"hidden": 5, "layers": 2, "dropout": 0.2})[1]
    names = list(model.state_dict())
    see_whole(model, Place(), lambda tensor: tensor)
    assert {
        type(module)
        for module in model.modules()
        if type(module) is not SharedDropout and isinstance(module, nn.Dropout)
    } == {WholeDropout}
    assert list(model.state_dict()) == names


def test_rows_of_a_batch() -> None:
    whole = batch("regression")
    part = take(whole, 2, 5)
    assert part.ids == ["2", "3", "4"]
    assert part.target_lengths is None
    assert torch.equal(part.x, whole.x[2:5])


def test_one_process_has_the_batch_itself() -> None:
    recipe, model = setting("regression", "mse")
    whole = batch("regression")
    piece = Pieces(model, load_task("regression"), recipe, Processes()).cut(whole)  # type: ignore[arg-type]
    assert piece.own is whole


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(load_recipe("fast").model, 5)


@pytest.mark.parametrize("rows", [2 * FEWEST, 3 * FEWEST + 5, FEWEST])
@pytest.mark.parametrize("workers", [2, 3])
def test_is_what_one_pass_gives(model, rows: int, workers: int) -> None:
    x, lengths = torch.randn(rows, 60, 1), torch.randint(1, 61, (rows,))
    shards = Shards(model, workers)
    outputs, frames = model(x, lengths)
    weights = torch.randn_like(outputs)
    wanted = torch.autograd.grad((outputs * weights).sum(), shards.parameters)
    found, found_frames = shards(x, lengths)
    assert torch.equal(frames, found_frames)
    torch.testing.assert_close(found, outputs)
    for one, other in zip(torch.autograd.grad((found * weights).sum(), shards.parameters), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_autocast_reaches_the_threads(model) -> None:
    x, lengths = torch.randn(2 * FEWEST, 60, 1), torch.full((2 * FEWEST,), 60)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        one, _ = model(x, lengths)
        other, _ = Shards(model, 2)(x, lengths)
    torch.testing.assert_close(one, other)
    assert not torch.equal(one, model(x, lengths)[0])


def test_an_error_of_a_thread_is_raised(model) -> None:
    with pytest.raises(RuntimeError):
        Shards(model, 2)(torch.randn(2 * FEWEST, 60, 3), torch.full((2 * FEWEST,), 60))


@pytest.mark.parametrize(("name", "expected"), [("fast", True), ("stability_gru", False), ("quartz", False)])
def test_dropout_and_batch_norm_need_the_batch_whole(name: str, expected: bool) -> None:
    assert separable(build_model(load_recipe(name).model, 5 if name != "stability_gru" else 1)) is expected
