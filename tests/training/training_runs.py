"""Small training runs of every make: optimizer x scheduler x mixed precision x average x loader x dropout."""

from __future__ import annotations

import hashlib
import itertools
import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import weightlift as wl

STEPS, BATCH, FEATURES = 6, 4, 6


class Net(nn.Module):
    """Everything that has state of its own: embeddings, normalisation, dropout, a tied weight, an unused parameter."""

    def __init__(self, *, dropout: float, sparse: bool = False):
        super().__init__()
        self.embed = nn.Embedding(10, FEATURES, sparse=sparse)
        self.first = nn.Linear(FEATURES, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(8, 10 if sparse else FEATURES, bias=False)
        self.idle = nn.Parameter(torch.zeros(3, 2))

    def forward(self, tokens):
        x = self.embed(tokens).mean(1)
        x = self.last(self.drop(torch.relu(self.norm(self.first(x)))))
        return x if self.embed.sparse else x @ self.embed.weight.t()


class Loader:
    """Shuffled batches from a generator of its own, which knows where it is; `noisy` draws from the global ones."""

    def __init__(self, *, noisy: bool):
        self.noisy, self.generator, self.order, self.at = noisy, torch.Generator().manual_seed(3), [], 0

    def __next__(self):
        if self.at >= len(self.order):
            self.order, self.at = torch.randperm(12, generator=self.generator).tolist(), 0
        rows = self.order[self.at : self.at + BATCH]
        self.at += BATCH
        tokens = torch.tensor([[(row * k + k) % 10 for k in range(1, 4)] for row in rows])
        if self.noisy:
            tokens = (tokens + random.randrange(2) + int(np.random.randint(2))) % 10
        return tokens, tokens[:, 0]

    def state_dict(self):
        return {"generator": self.generator.get_state(), "order": list(self.order), "at": self.at}

    def load_state_dict(self, state):
        self.generator.set_state(state["generator"])
        self.order, self.at = list(state["order"]), state["at"]


def _groups(model, **options):
    """Two groups with options of their own, the second in the reverse order of the model."""
    parameters = list(model.parameters())
    return [{"params": parameters[:2]}, {"params": parameters[2:][::-1], **options}]


OPTIMIZERS = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.05),
    "momentum": lambda m: torch.optim.SGD(_groups(m, lr=0.01), lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda m: torch.optim.Adam(_groups(m, lr=0.02, betas=(0.8, 0.9)), lr=0.01),
    "amsgrad": lambda m: torch.optim.AdamW(m.parameters(), lr=0.01, amsgrad=True, foreach=True),
    "tensor_lr": lambda m: torch.optim.AdamW(m.parameters(), lr=torch.tensor(0.01), capturable=False, foreach=False),
    "nadam": lambda m: torch.optim.NAdam(m.parameters(), lr=0.01, decoupled_weight_decay=True, weight_decay=0.1),
    "radam": lambda m: torch.optim.RAdam(m.parameters(), lr=0.01),
    "adamax": lambda m: torch.optim.Adamax(m.parameters(), lr=0.01),
    "adadelta": lambda m: torch.optim.Adadelta(m.parameters(), lr=0.5),
    "adagrad": lambda m: torch.optim.Adagrad(m.parameters(), lr=0.05, initial_accumulator_value=0.1, lr_decay=0.01),
    "rmsprop": lambda m: torch.optim.RMSprop(m.parameters(), lr=0.01, centered=True, momentum=0.5),
    "rprop": lambda m: torch.optim.Rprop(m.parameters(), lr=0.01),
    "asgd": lambda m: torch.optim.ASGD(m.parameters(), lr=0.01, t0=2, lambd=0.01),
    "adafactor": lambda m: torch.optim.Adafactor(m.parameters(), lr=0.05),
    "lbfgs": lambda m: torch.optim.LBFGS(m.parameters(), lr=0.1, max_iter=3, history_size=4),
    "sparse": lambda m: [
        torch.optim.SparseAdam([m.embed.weight], lr=0.01),
        torch.optim.SGD([p for n, p in m.named_parameters() if n != "embed.weight"], lr=0.01, momentum=0.5),
    ],
    "muon": lambda m: {
        "muon": torch.optim.Muon([p for p in m.parameters() if p.ndim == 2], lr=0.01),
        "rest": torch.optim.AdamW([p for p in m.parameters() if p.ndim != 2], lr=0.01),
    },
}

SCHEDULERS = {
    "none": lambda o: None,
    "step": lambda o: schedulers.StepLR(o, 2, gamma=0.5),
    "cosine": lambda o: schedulers.CosineAnnealingLR(o, STEPS),
    "warm_restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 2, 2),
    "one_cycle": lambda o: schedulers.OneCycleLR(o, 0.05, total_steps=STEPS + 1, cycle_momentum=False),
    "cyclic": lambda o: schedulers.CyclicLR(o, 0.001, 0.05, 2, cycle_momentum=False),
    "plateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=0, factor=0.5),
    "lambda": lambda o: schedulers.LambdaLR(o, lambda epoch: 0.9**epoch),
    "sequential": lambda o: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o, 0.1, total_iters=2), schedulers.ExponentialLR(o, 0.8)], [2]
    ),
    "chained": lambda o: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(o, 0.5, 3), schedulers.ExponentialLR(o, 0.9)]
    ),
}


@dataclass(frozen=True)
class Make:
    """One combination."""

    optimizer: str
    scheduler: str
    amp: bool
    ema: bool
    noisy: bool
    dropout: float

    def __str__(self):
        words = [self.optimizer, self.scheduler, *(w for w in ("amp", "ema", "noisy") if getattr(self, w))]
        return "-".join([*words, f"drop{self.dropout}"])


def makes(count: int) -> list[Make]:
    """The first `count` combinations of a fixed shuffle that has every optimizer and scheduler early on."""
    flags = list(itertools.product((False, True), (False, True), (False, True), (0.0, 0.3)))
    every = [Make(o, s, *f) for o, s, f in itertools.product(OPTIMIZERS, SCHEDULERS, flags)]
    random.Random(5).shuffle(every)
    first = {make.optimizer: make for make in reversed(every)} | {make.scheduler: make for make in reversed(every)}
    return list(dict.fromkeys([*first.values(), *every]))[:count]


class Run:
    """A training run, built from a seed, that can be stepped and told by a digest of everything in it."""

    def __init__(self, make: Make, seed: int):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        sparse = make.optimizer == "sparse"
        self.make = make
        self.model = Net(dropout=make.dropout, sparse=sparse)
        self.optimizer = OPTIMIZERS[make.optimizer](self.model)
        self.optimizers = _each(self.optimizer)
        made = [SCHEDULERS[make.scheduler](optimizer) for optimizer in self.optimizers]
        self.scheduler = (made if len(made) > 1 else made[0]) if made[0] is not None else None
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2) if self._scales else None
        self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.9)) if make.ema else None
        self.loader = Loader(noisy=make.noisy)
        self.losses: list[float] = []

    @property
    def _scales(self) -> bool:
        return self.make.amp and self.make.optimizer not in ("lbfgs", "sparse")  # these do not go with a scaler

    def state(self) -> wl.TrainState:
        """What is saved and resumed."""
        parts = {name: getattr(self, name) for name in ("model", "optimizer", "scheduler", "scaler", "ema")}
        return wl.TrainState(**parts, data=self.loader, rng=True, meta={"losses": self.losses})

    def step(self) -> None:
        """One batch."""
        tokens, labels = next(self.loader)

        def closure():
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.make.amp):
                loss = nn.functional.cross_entropy(self.model(tokens).float(), labels)
            (self.scaler.scale(loss) if self.scaler else loss).backward()
            return loss

        if self.make.optimizer == "lbfgs":
            loss = self.optimizer.step(closure)
        else:
            loss = closure()
            for optimizer in self.optimizers:
                self.scaler.step(optimizer) if self.scaler else optimizer.step()
            if self.scaler:
                self.scaler.update()
        self.losses.append(loss.item())
        for scheduler in _each(self.scheduler):
            scheduler.step(self.losses[-1]) if self.make.scheduler == "plateau" else scheduler.step()
        if self.ema:
            self.ema.update_parameters(self.model)

    def digest(self) -> str:
        """Of every bit that the next step depends on, and every bit that came out of the last."""
        found = hashlib.sha256()
        parts = [self.model, *self.optimizers, *_each(self.scheduler), self.loader]
        parts += [part for part in (self.scaler, self.ema) if part is not None]
        states = [part.state_dict() for part in parts]
        everything = [states, self.losses, random.getstate(), np.random.get_state(), torch.get_rng_state()]
        _feed(everything, found)
        return found.hexdigest()


def _each(part):
    if part is None:
        return []
    return list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else [part]


def _feed(value, found) -> None:
    found.update(type(value).__name__.encode())
    if isinstance(value, torch.Tensor):
        found.update(f"{value.dtype}{tuple(value.shape)}".encode())
        found.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray):
        found.update(value.tobytes())
    elif isinstance(value, dict):
        for key, item in value.items():
            found.update(repr(key).encode())
            _feed(item, found)
    elif isinstance(value, list | tuple):
        for item in value:
            _feed(item, found)
    else:
        found.update(value.hex().encode() if isinstance(value, float) else repr(value).encode())
