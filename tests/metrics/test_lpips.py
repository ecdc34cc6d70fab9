"""LPIPS against torchmetrics', with its published linear layers on networks of random weights, to 1e-4."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.functional.image import lpips as theirs

from jaxanim.convert.feature_networks import read_lpips
from jaxanim.errors import InputError
from jaxanim.metrics.lpips import lpips


def alexnet():
    """torchvision's AlexNet without its classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def vgg16():
    """torchvision's VGG16 without its classifier."""
    made, before = [], 3
    for stage in ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)):
        for width in stage:
            made += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        made.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*made)


NETS = {"alex": alexnet, "vgg": vgg16}


@pytest.fixture(params=NETS)
def made(request, tmp_path):
    """(name, network, files of its weights and LPIPS')."""
    torch.manual_seed(0)
    network = NETS[request.param]()
    for module in network:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)
    state = {f"features.{key}": value for key, value in network.state_dict().items()}
    torch.save(state | {"classifier.6.weight": torch.zeros(10, 8)}, tmp_path / "network.pth")
    published = Path(theirs.__file__).parent / "lpips_models" / f"{request.param}.pth"
    return request.param, network, (tmp_path / "network.pth", published)


def test_lpips_is_torchmetrics(made, monkeypatch):
    name, network, files = made
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 3, 64, 72, 3), np.uint8)
    # torchvision, which would make the network, is not needed for it.
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda *_: network)
    metric = theirs._LPIPS(net=name, model_path=str(files[1]))
    with torch.no_grad():
        expected = metric(*(torch.from_numpy(video).permute(0, 3, 1, 2) / 127.5 - 1 for video in (a, b)))
    found = lpips(read_lpips(*files, name), a, b, name, at_once=2)
    np.testing.assert_allclose(found, expected.flatten(), rtol=1e-4)
    assert (lpips(read_lpips(*files, name), a, a, name) == 0).all()


def test_another_networks_files_are_refused(made):
    name, *_, files = made
    with pytest.raises(InputError, match=r"is not|are not|missing"):
        read_lpips(*files, "vgg" if name == "alex" else "alex")
    with pytest.raises(InputError, match="does not exist"):
        read_lpips(files[0], files[1].with_name("none.pth"), name)
