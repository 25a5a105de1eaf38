"""Real checkpoints from PyPI packages: look inside, take the weights out, set them down in a torch model."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

import weightlift as wl

FILES = Path(__file__).parent / "files"
FACE_FINDER = "facenet-pytorch__pnet.pt"


class FaceFinder(nn.Module):
    """The proposal network of MTCNN (Zhang et al. 2016), written here from the paper and the names in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (probability of a face, box) at every position of an image of shape (n, 3, h, w)."""
        x = self.pool(self.prelu1(self.conv1(image)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(1), self.conv4_2(x)


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n{'=' * 4} {text}", flush=True)


def weightlift(*words: str | Path) -> None:
    """Run the command as a user would."""
    print("$", shlex.join(["weightlift", *map(str, words)]), flush=True)
    subprocess.run([sys.executable, "-m", "weightlift", *map(str, words)], check=True)


def main() -> None:
    """Run the demonstration."""
    for path in sorted(p for p in FILES.iterdir() if p.suffix != ".safetensors"):
        say(f"what is in {path.name}?")
        weightlift("inspect", path)
        weightlift("extract", path, path.with_suffix(".safetensors"))

    say("into a torch model")
    weights = wl.open((FILES / FACE_FINDER).with_suffix(".safetensors")).state_dict()
    model = FaceFinder()
    print(model.load_state_dict(weights.to_torch(), strict=True))
    probability, _ = model(torch.zeros(1, 3, 48, 64))
    print(f"ran it on an empty image: highest probability of a face {probability[:, 1].max():.3f}")
    truth = torch.load(FILES / FACE_FINDER, weights_only=True)
    if not all(torch.equal(held, truth[key]) for key, held in model.state_dict().items()):
        sys.exit("the weights differ from what torch itself reads")
    print(f"all {len(truth)} tensors are bit for bit what torch itself reads")
    say("done: demo/files/ holds the weights as safetensors. Now: .venv-demo/bin/weightlift inspect YOUR_FILE")


if __name__ == "__main__":
    main()
