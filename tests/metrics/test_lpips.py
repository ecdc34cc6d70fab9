"""LPIPS against its networks written in torch.nn, with random weights, to 1e-4."""

import numpy as np
import pytest
import torch
from torch import nn

from jaxanim.convert.feature_networks import read_lpips
from jaxanim.errors import InputError
from jaxanim.metrics.lpips import lpips


def alexnet():
    """torchvision's AlexNet without its classifier; LPIPS looks at the five ReLUs."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    ), (1, 4, 7, 9, 11)  # fmt: skip


def vgg16():
    """torchvision's VGG16 without its classifier; LPIPS looks at the last ReLU of every stage."""
    made, before = [], 3
    for stage in ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)):
        for width in stage:
            made += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
        made.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*made), (3, 8, 15, 22, 29)


NETS = {"alex": (alexnet, (64, 192, 384, 256, 256)), "vgg": (vgg16, (64, 128, 256, 512, 512))}


@pytest.fixture(params=NETS)
def made(request, tmp_path):
    """(name, network, what it is looked at, LPIPS' weights, their files)."""
    torch.manual_seed(0)
    make, widths = NETS[request.param]
    network, taps = make()
    for module in network:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)
    lins = [torch.rand(1, width, 1, 1) for width in widths]
    state = {f"features.{key}": value for key, value in network.state_dict().items()}
    torch.save(state | {"classifier.6.weight": torch.zeros(10, 8)}, tmp_path / "network.pth")
    torch.save({f"lin{k}.model.1.weight": lin for k, lin in enumerate(lins)}, tmp_path / "lins.pth")
    return request.param, network, taps, lins, (tmp_path / "network.pth", tmp_path / "lins.pth")


def literal(network, taps, lins, a, b):
    """v0.1 of LPIPS, one picture after another."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def look(picture):
        x = torch.from_numpy(picture).float().permute(2, 0, 1)[None] / 127.5 - 1
        x = (x - shift[:, None, None]) / scale[:, None, None]
        seen = []
        for k, layer in enumerate(network):
            x = layer(x)
            if k in taps:
                seen.append(x / (torch.sqrt((x**2).sum(1, keepdim=True)) + 1e-10))
        return seen

    with torch.no_grad():
        apart = [((x - y) ** 2 * w).sum(1).mean() for x, y, w in zip(look(a), look(b), lins, strict=True)]
    return float(sum(apart))


def test_lpips_is_its_pytorch_original(made):
    name, network, taps, lins, files = made
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 3, 64, 72, 3), np.uint8)
    expected = [literal(network, taps, lins, x, y) for x, y in zip(a, b, strict=True)]
    found = lpips(read_lpips(*files, name), a, b, name, at_once=2)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert (lpips(read_lpips(*files, name), a, a, name) == 0).all()


def test_another_networks_files_are_refused(made):
    name, *_, files = made
    with pytest.raises(InputError, match=r"is not|are not|missing"):
        read_lpips(*files, "vgg" if name == "alex" else "alex")
    with pytest.raises(InputError, match="does not exist"):
        read_lpips(files[0], files[1].with_name("none.pth"), name)
