"""The peers in PyTorch: folds stacked with `baddbmm`, and a plain loop over folds.

Both update all weights with the fused Adam in one call, on the processor or on a GPU.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.benchmarks.problem import EPSILON, LEARNING_RATE, Problem

Trial = Callable[[int, int, Callable[[int], None]], None]


def _adam(parameters: list[torch.Tensor]) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=LEARNING_RATE, eps=EPSILON, fused=True)


def _on(device: str, *arrays: np.ndarray[Any, Any]) -> list[torch.Tensor]:
    return [torch.from_numpy(array).to(device) for array in arrays]


def stacked(problem: Problem, device: str = "cpu") -> Trial:
    """All folds in one batched product per layer."""
    table, targets = _on(device, problem.table, problem.targets)
    images, held = (_on(device, np.stack(rows))[0] for rows in zip(*problem.folds, strict=True))
    variants = problem.num_variants

    def logits(weights: list[torch.Tensor], values: torch.Tensor, training: bool) -> torch.Tensor:
        *hidden, last = zip(weights[::2], weights[1::2], strict=True)
        for kernel, bias in hidden:
            values = torch.relu(torch.baddbmm(bias, values, kernel))
            values = nn.functional.dropout(values, problem.dropout_rate, training)
        return torch.baddbmm(last[1], values, last[0])

    def trial(batch_size: int, epochs: int, mark: Callable[[int], None]) -> None:
        own = [problem.initial_weights(fold) for fold in range(len(problem.folds))]
        weights = []
        for parts in zip(*own, strict=True):
            values = np.stack(parts)
            # Biases are (folds, 1, units), as `baddbmm` adds them.
            values = values[:, None] if values.ndim == 2 else values
            weights.append(_on(device, values)[0].requires_grad_())
        adam = _adam(weights)
        loss_of = nn.BCEWithLogitsLoss()
        for _ in range(epochs):
            order = images.gather(1, torch.rand(images.shape, device=device).argsort(1))
            rows = order * variants + torch.randint(variants, order.shape, device=device)
            for batch, places in zip(
                order.split(batch_size, 1), rows.split(batch_size, 1), strict=True
            ):
                adam.zero_grad()
                # The mean over folds as well, times their number: each fold has its own mean.
                answers = logits(weights, table[places], training=True)
                loss = len(own) * loss_of(answers, targets[batch])
                loss.backward()
                adam.step()
            with torch.inference_mode():
                answers = torch.sigmoid(logits(weights, table[held * variants], training=False))
            for fold, own_answers in enumerate(answers.cpu().numpy()):
                problem.score(fold, own_answers)
            mark(0)

    return trial


def fold_by_fold(problem: Problem, device: str = "cpu") -> Trial:
    """A plain loop: one `nn.Sequential` after another."""
    table, targets = _on(device, problem.table, problem.targets)
    variants = problem.num_variants

    def trial(batch_size: int, epochs: int, mark: Callable[[int], None]) -> None:
        for fold, (training, validation) in enumerate(problem.folds):
            layers: list[nn.Module] = []
            for first, second in problem.sizes[:-1]:
                layers += [nn.Linear(first, second), nn.ReLU(), nn.Dropout(problem.dropout_rate)]
            model = nn.Sequential(*layers, nn.Linear(*problem.sizes[-1])).to(device)
            adam = _adam(list(model.parameters()))
            loss_of = nn.BCEWithLogitsLoss()
            images, held = _on(device, training, validation)
            for _ in range(epochs):
                model.train()
                order = images[torch.randperm(len(images), device=device)]
                rows = order * variants + torch.randint(variants, (len(order),), device=device)
                for batch, places in zip(
                    order.split(batch_size), rows.split(batch_size), strict=True
                ):
                    adam.zero_grad()
                    loss_of(model(table[places]), targets[batch]).backward()
                    adam.step()
                model.eval()
                with torch.inference_mode():
                    answers = torch.sigmoid(model(table[held * variants])).cpu().numpy()
                problem.score(fold, answers)
                mark(fold)

    return trial
