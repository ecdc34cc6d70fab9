"""The networks of FID, FVD and FID-VID against the same networks in torch.nn, with random weights, from files as people
have them, to 1e-4; and the distance against torchmetrics'."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from jaxanim.convert.feature_networks import read_i3d, read_inception, read_resnet3d
from jaxanim.errors import InputError
from jaxanim.metrics.features import fid, fid_vid, fvd
from jaxanim.metrics.frechet import frechet_distance

fid_metric = pytest.importorskip("torchmetrics.image.fid")


class Layer(nn.Module):
    """Convolution, batch norm, ReLU, under the names of the files."""

    def __init__(self, before, width, kernel, stride=1, padding=0, name="conv", kind=nn.Conv2d):
        super().__init__()
        self.name, self.kernel, self.stride, self.same = name, kernel, stride, kind is nn.Conv3d
        setattr(self, name, kind(before, width, kernel, stride, padding, bias=False))
        self.bn = (nn.BatchNorm2d if kind is nn.Conv2d else nn.BatchNorm3d)(width, eps=0.001)

    def forward(self, x):
        if self.same:
            x = same(x, (self.kernel,) * 3, (self.stride,) * 3)
        return functional.relu(self.bn(getattr(self, self.name)(x)))


def same(x, kernel, stride):
    """Zeros around a clip as TensorFlow's "SAME" has them: the odd one behind."""
    pads = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        pad = max(k - s if size % s == 0 else k - size % s, 0)
        pads += [pad // 2, pad - pad // 2]
    return functional.pad(x, pads)


class Mixed(nn.Module):
    """A block of Inception-v3, its branches written out."""

    def __init__(self, sort, before, widths):
        super().__init__()
        self.sort = sort
        for name, (source, width, kernel, stride, padding) in widths.items():
            inner = before if source is None else widths[source][1]
            self.add_module(name, Layer(inner, width, kernel, stride, padding))

    def forward(self, x):
        at = self._modules

        def chain(y, *names):
            for name in names:
                y = at[name](y)
            return y

        if self.sort in ("B", "D"):
            pool = functional.max_pool2d(x, 3, 2)
        elif self.sort == "E2":
            pool = at["branch_pool"](functional.max_pool2d(x, 3, 1, 1))
        else:
            pool = at["branch_pool"](functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        if self.sort == "A":
            outs = [chain(x, "branch1x1"), chain(x, "branch5x5_1", "branch5x5_2"),
                    chain(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")]  # fmt: skip
        elif self.sort == "B":
            outs = [chain(x, "branch3x3"), chain(x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")]
        elif self.sort == "C":
            outs = [chain(x, "branch1x1"), chain(x, "branch7x7_1", "branch7x7_2", "branch7x7_3"),
                    chain(x, *(f"branch7x7dbl_{k}" for k in range(1, 6)))]  # fmt: skip
        elif self.sort == "D":
            outs = [chain(x, "branch3x3_1", "branch3x3_2"), chain(x, *(f"branch7x7x3_{k}" for k in range(1, 5)))]
        else:
            three, twice = chain(x, "branch3x3_1"), chain(x, "branch3x3dbl_1", "branch3x3dbl_2")
            outs = [chain(x, "branch1x1"), chain(three, "branch3x3_2a"), chain(three, "branch3x3_2b"),
                    chain(twice, "branch3x3dbl_3a"), chain(twice, "branch3x3dbl_3b")]  # fmt: skip
        return torch.cat([*outs, pool], 1)


WIDE, TALL = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))


def inception(thin):
    """Inception-v3 of 2015-12-05, all of its widths divided by `thin`."""
    made = nn.ModuleDict()
    for name, before, width, *how in (
        ("Conv2d_1a_3x3", 3 * thin, 32, 3, 2), ("Conv2d_2a_3x3", 32, 32, 3), ("Conv2d_2b_3x3", 32, 64, 3, 1, 1),
        ("Conv2d_3b_1x1", 64, 80, 1), ("Conv2d_4a_3x3", 80, 192, 3),
    ):  # fmt: skip
        made[name] = Layer(before // thin, width // thin, *how)

    def block(name, sort, before, **branches):
        widths = {k: (source, width // thin, *how) for k, (source, width, *how) in branches.items()}
        made[name] = Mixed(sort, before // thin, widths)

    for name, before, pool in (("Mixed_5b", 192, 32), ("Mixed_5c", 256, 64), ("Mixed_5d", 288, 64)):
        block(name, "A", before, branch1x1=(None, 64, 1, 1, 0),
              branch5x5_1=(None, 48, 1, 1, 0), branch5x5_2=("branch5x5_1", 64, 5, 1, 2),
              branch3x3dbl_1=(None, 64, 1, 1, 0), branch3x3dbl_2=("branch3x3dbl_1", 96, 3, 1, 1),
              branch3x3dbl_3=("branch3x3dbl_2", 96, 3, 1, 1), branch_pool=(None, pool, 1, 1, 0))  # fmt: skip
    block("Mixed_6a", "B", 288, branch3x3=(None, 384, 3, 2, 0), branch3x3dbl_1=(None, 64, 1, 1, 0),
          branch3x3dbl_2=("branch3x3dbl_1", 96, 3, 1, 1), branch3x3dbl_3=("branch3x3dbl_2", 96, 3, 2, 0))  # fmt: skip
    for name, c7 in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        block(name, "C", 768, branch1x1=(None, 192, 1, 1, 0), branch7x7_1=(None, c7, 1, 1, 0),
              branch7x7_2=("branch7x7_1", c7, *WIDE), branch7x7_3=("branch7x7_2", 192, *TALL),
              branch7x7dbl_1=(None, c7, 1, 1, 0), branch7x7dbl_2=("branch7x7dbl_1", c7, *TALL),
              branch7x7dbl_3=("branch7x7dbl_2", c7, *WIDE), branch7x7dbl_4=("branch7x7dbl_3", c7, *TALL),
              branch7x7dbl_5=("branch7x7dbl_4", 192, *WIDE), branch_pool=(None, 192, 1, 1, 0))  # fmt: skip
    block("Mixed_7a", "D", 768, branch3x3_1=(None, 192, 1, 1, 0), branch3x3_2=("branch3x3_1", 320, 3, 2, 0),
          branch7x7x3_1=(None, 192, 1, 1, 0), branch7x7x3_2=("branch7x7x3_1", 192, *WIDE),
          branch7x7x3_3=("branch7x7x3_2", 192, *TALL), branch7x7x3_4=("branch7x7x3_3", 192, 3, 2, 0))  # fmt: skip
    for name, sort, before in (("Mixed_7b", "E1", 1280), ("Mixed_7c", "E2", 2048)):
        wide, tall = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
        block(name, sort, before, branch1x1=(None, 320, 1, 1, 0), branch3x3_1=(None, 384, 1, 1, 0),
              branch3x3_2a=("branch3x3_1", 384, *wide), branch3x3_2b=("branch3x3_1", 384, *tall),
              branch3x3dbl_1=(None, 448, 1, 1, 0), branch3x3dbl_2=("branch3x3dbl_1", 384, 3, 1, 1),
              branch3x3dbl_3a=("branch3x3dbl_2", 384, *wide), branch3x3dbl_3b=("branch3x3dbl_2", 384, *tall),
              branch_pool=(None, 192, 1, 1, 0))  # fmt: skip
    return made


def inception_features(network, x):
    for name, layer in network.items():
        x = layer(x)
        if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
            x = functional.max_pool2d(x, 3, 2)
    return x.mean((2, 3))


def i3d(thin):
    """I3D, all of its widths divided by `thin`."""

    def layer(before, width, kernel, stride=1):
        return Layer(before // thin, width // thin, kernel, stride, name="conv3d", kind=nn.Conv3d)

    made = nn.ModuleDict(
        {
            "Conv3d_1a_7x7": layer(3 * thin, 64, 7, 2),
            "Conv3d_2b_1x1": layer(64, 64, 1),
            "Conv3d_2c_3x3": layer(64, 192, 3),
        }
    )
    before = 192
    for name, b0, b1a, b1b, b2a, b2b, b3b in (
        ("Mixed_3b", 64, 96, 128, 16, 32, 32), ("Mixed_3c", 128, 128, 192, 32, 96, 64),
        ("Mixed_4b", 192, 96, 208, 16, 48, 64), ("Mixed_4c", 160, 112, 224, 24, 64, 64),
        ("Mixed_4d", 128, 128, 256, 24, 64, 64), ("Mixed_4e", 112, 144, 288, 32, 64, 64),
        ("Mixed_4f", 256, 160, 320, 32, 128, 128), ("Mixed_5b", 256, 160, 320, 32, 128, 128),
        ("Mixed_5c", 384, 192, 384, 48, 128, 128),
    ):  # fmt: skip
        made[name] = nn.ModuleDict(
            {"b0": layer(before, b0, 1), "b1a": layer(before, b1a, 1), "b1b": layer(b1a, b1b, 3),
             "b2a": layer(before, b2a, 1), "b2b": layer(b2a, b2b, 3), "b3b": layer(before, b3b, 1)}
        )  # fmt: skip
        before = b0 + b1b + b2b + b3b
    made["logits"] = nn.ModuleDict({"conv3d": nn.Conv3d(before // thin, 400 // thin, 1)})
    return made


def i3d_features(network, x):
    def pool(x, kernel, stride):
        return functional.max_pool3d(same(x, kernel, stride), kernel, stride)

    for name, layer in network.items():
        if name == "logits":
            x = functional.avg_pool3d(x, (2, 7, 7), 1)
            return layer["conv3d"](x).squeeze(-1).squeeze(-1).mean(2)
        if name == "Conv3d_2b_1x1":
            x = pool(x, (1, 3, 3), (1, 2, 2))
        if name == "Mixed_3b":
            x = pool(x, (1, 3, 3), (1, 2, 2))
        if name == "Mixed_4b":
            x = pool(x, (3, 3, 3), (2, 2, 2))
        if name == "Mixed_5b":
            x = pool(x, (2, 2, 2), (2, 2, 2))
        if isinstance(layer, nn.ModuleDict):
            beside = pool(x, (3, 3, 3), (1, 1, 1))
            x = torch.cat([layer["b0"](x), layer["b1b"](layer["b1a"](x)), layer["b2b"](layer["b2a"](x)),
                           layer["b3b"](beside)], 1)  # fmt: skip
        else:
            x = layer(x)
    raise AssertionError


class Bottleneck(nn.Module):
    def __init__(self, before, width, stride, first):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(before, width, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = nn.Conv3d(width, width, 3, stride, 1, bias=False), nn.BatchNorm3d(width)
        self.conv3, self.bn3 = nn.Conv3d(width, 4 * width, 1, bias=False), nn.BatchNorm3d(4 * width)
        if first:
            self.downsample = nn.Sequential(
                nn.Conv3d(before, 4 * width, 1, stride, bias=False), nn.BatchNorm3d(4 * width)
            )

    def forward(self, x):
        out = functional.relu(self.bn1(self.conv1(x)))
        out = functional.relu(self.bn2(self.conv2(out)))
        beside = self.downsample(x) if hasattr(self, "downsample") else x
        return functional.relu(self.bn3(self.conv3(out)) + beside)


def resnet3d(thin):
    """3D ResNet-50, all of its widths divided by `thin`."""
    made = nn.ModuleDict(
        {"conv1": nn.Conv3d(3, 64 // thin, 7, (1, 2, 2), 3, bias=False), "bn1": nn.BatchNorm3d(64 // thin)}
    )
    before = 64 // thin
    for level, (count, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), 1):
        blocks = []
        for k in range(count):
            blocks.append(Bottleneck(before, width // thin, 2 if k == 0 and level > 1 else 1, k == 0))
            before = 4 * width // thin
        made[f"layer{level}"] = nn.Sequential(*blocks)
    return made


def resnet3d_features(network, x):
    x = functional.relu(network["bn1"](network["conv1"](x)))
    x = functional.max_pool3d(x, 3, 2, 1)
    for level in range(1, 5):
        x = network[f"layer{level}"](x)
    return functional.avg_pool3d(x, (1, 4, 4)).flatten(1)


NETWORKS = {
    "inception": (inception, inception_features, read_inception),
    "i3d": (i3d, i3d_features, read_i3d),
    "resnet3d": (resnet3d, resnet3d_features, read_resnet3d),
}


def random(make, thin):
    """A network with weights and statistics that leave no layer without an effect."""
    torch.manual_seed(0)
    network = make(thin).eval()
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            for value in (module.weight, module.running_var):
                nn.init.uniform_(value, 0.5, 1.5)
            for value in (module.bias, module.running_mean):
                nn.init.normal_(value, std=0.3)
    return network


@pytest.fixture(scope="module", params=[pytest.param(8, id="thin"), pytest.param(1, marks=pytest.mark.full_size)])
def files(request, tmp_path_factory):
    """The networks by name, and the folder with their files."""
    folder, made = tmp_path_factory.mktemp("networks"), {}
    for name, (make, *_) in NETWORKS.items():
        made[name] = random(make, request.param)
        state = made[name].state_dict()
        if name == "resnet3d":  # as DataParallel has left it, from before PyTorch 1.6
            state = {"arch": "resnet-50", "state_dict": {f"module.{key}": value for key, value in state.items()}}
        torch.save(state, folder / f"{name}.pth", _use_new_zipfile_serialization=name == "inception")
    return made, folder


@pytest.fixture(scope="module")
def video():
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 9, 8, 12))).float()
    smooth = functional.interpolate(coarse, (17, 90, 120), mode="trilinear")[0]
    return smooth.permute(1, 2, 3, 0).round().byte().numpy()


def channels_first(video):
    return torch.from_numpy(video).float().permute(0, 3, 1, 2)


def close(found, expected):
    expected = expected.numpy()
    assert expected.std() > 1e-3
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def corners(pictures, side):
    """Bilinear as TensorFlow 1 did it: place i of `side` lies at i * length / side, and beyond the last is the last."""
    out = pictures.numpy()
    for axis in (2, 3):
        places = np.arange(side) * out.shape[axis] / side
        out = np.apply_along_axis(lambda row, at=places: np.interp(at, np.arange(len(row)), row), axis, out)
    return torch.from_numpy(out).float()


@torch.no_grad()
def test_fid_is_its_pytorch_original(files, video):
    made, folder = files
    params, pictures = read_inception(folder / "inception.pth"), channels_first(video[:2])
    x = functional.interpolate(pictures / 255, (299, 299), mode="bilinear", align_corners=False)
    close(fid(params)(video[:2]), inception_features(made["inception"], 2 * x - 1))
    x = (corners(pictures, 299) - 128) / 128
    features = fid(params, "torch-fidelity")
    assert features.name == "fid_torch_fidelity"
    close(features(video[:2]), inception_features(made["inception"], x))


@torch.no_grad()
def test_fvd_is_its_pytorch_original(files, video):
    made, folder = files
    x = functional.interpolate(channels_first(video[:16]), (224, 224), mode="bilinear", align_corners=False)
    expected = i3d_features(made["i3d"], (x / 127.5 - 1).permute(1, 0, 2, 3)[None])
    features = fvd(read_i3d(folder / "i3d.pth"))
    assert features.name == "fvd_i3d_resize224_clips16"
    close(features(video), expected)
    with pytest.raises(InputError, match="clips of 16 frames; the video has 15"):
        features(video[:15])


@torch.no_grad()
def test_fid_vid_is_its_pytorch_original(files, video):
    made, folder = files
    square = video[:16, :, 15:105]
    pictures = functional.interpolate(channels_first(square), (112, 112), mode="bilinear", align_corners=False)
    rounded = pictures.round().permute(1, 0, 2, 3)[None]
    expected = resnet3d_features(
        made["resnet3d"], rounded - torch.tensor([114.7748, 107.7354, 99.4750])[:, None, None, None]
    )
    small = pictures.round().byte().permute(0, 2, 3, 1).numpy()
    close(fid_vid(read_resnet3d(folder / "resnet3d.pth"))(small), expected)


@torch.no_grad()
def test_the_distance_is_torchmetrics():
    """Its metric, around features that are given."""

    class Given(nn.Module):
        num_features = 6

        def forward(self, x):
            return x

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 6)), 0.5 + rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    metric = fid_metric.FrechetInceptionDistance(Given(), input_img_size=(6,)).set_dtype(torch.float64)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    assert frechet_distance(a, b) == pytest.approx(float(metric.compute()), rel=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_another_networks_file_is_refused(files, name):
    _, folder = files
    read = NETWORKS[name][2]
    other = next(other for other in NETWORKS if other != name)
    with pytest.raises(InputError, match="is missing"):
        read(folder / f"{other}.pth")
    with pytest.raises(InputError, match="does not exist"):
        read(folder / "none.pth")
