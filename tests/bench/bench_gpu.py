"""Networks on one GPU in bfloat16 beside diffusers: eager, under torch.compile, and as CUDA graphs.

    python -m tests.bench.bench_gpu [--seconds 120] [--only WORDS] [--torch-compile 40] [--tiny]

prints a JSON object a line, each as soon as it is measured, and stops before the case that `--seconds` no longer
holds. First the card: its rate of products (8192^3, bfloat16) and of copies. Then the UNet of Stable Diffusion 1.5 at
512x512, one layer of Wan2.2-TI2V-5B (81 frames of 480x832) and one of CogVideoX1.5-5B (49 frames of 480x720), and
single attentions. Weights and inputs are the same on both sides, the results are compared, and the program ends with 1
where they differ. A time is the median over rounds of a call's share of a few calls in a row; "share" is the model's
operations over the time, over the card's measured rate.

diffusers may be an unpacked wheel on PYTHONPATH. `--torch-compile` gives torch.compile so many seconds; 0 leaves it out.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

# Half of the memory for each side, none of it taken before it is needed.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

from jaxanim.attention import attention, choose_kernel
from jaxanim.convert.layout import from_torch
from jaxanim.errors import InputError
from jaxanim.flops import model_flops
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.models.cogvideox.transformer import CogVideoXTransformer
from jaxanim.models.unet import UNet, UNetConfig
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.transformer import WanTransformer
from tests.convert.converted import convert
from tests.models import cogvideox_oracle, sd_oracle, wan_oracle
from tests.models.sd_oracle import diffusers, torch

HALF = {"dtype": "bfloat16", "param_dtype": "bfloat16"}
# Options of the XLA compiler by the name they are reported under; values it does not know are reported as an error.
GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,WHILE,CONDITIONAL,DYNAMIC_SLICE_FUSION"
XLA = {
    "jaxanim": {},
    "jaxanim, whole graphs": {"xla_gpu_enable_command_buffer": GRAPHS, "xla_gpu_graph_min_graph_size": 1},
    "jaxanim, latency": {"xla_gpu_enable_latency_hiding_scheduler": True},
}
TOLERANCE = 0.05  # of the largest value: bfloat16 has 8 bits, and a UNet 60 layers
# (batch, queries, keys, heads, head_dim)
ATTENTIONS = [(32, 1024, 1024, 8, 80), (32, 256, 256, 8, 160), (4, 64, 64, 8, 160), (2, 4096, 77, 8, 40),
              (32, 1024, 77, 8, 80), (8192, 16, 16, 8, 40), (2048, 16, 16, 8, 80)]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--only", default="", help="cases whose name has these words in it")
    parser.add_argument("--torch-compile", type=float, default=40, metavar="SECONDS")
    parser.add_argument("--tiny", action="store_true", help="reduced width and size, to try the program on a CPU")
    args = parser.parse_args()
    began = time.monotonic()
    bench = Bench(args.tiny, args.torch_compile, began + args.seconds)
    cases = {
        "card": bench.card,
        "unet batch 2": lambda: bench.unet(2),
        "wan layer": bench.wan,
        "cogvideox layer": bench.cogvideox,
        "attention": bench.attentions,
        "unet batch 16": lambda: bench.unet(16),
    }
    for name, case in cases.items():
        if args.only not in name and name != "card":
            continue
        if time.monotonic() > bench.deadline:
            bench.say({"case": name, "left out": f"{args.seconds:g} seconds are over"})
            continue
        try:
            case()
        except (RuntimeError, ValueError, TypeError, InputError) as error:
            bench.say({"case": name, "error": f"{type(error).__name__}: {error}"[:500]})
            bench.failed = True
    bench.say({"seconds": round(time.monotonic() - began, 1)})
    return int(bench.failed)


@dataclasses.dataclass
class Bench:
    """What the cases share."""

    tiny: bool
    compile_s: float
    deadline: float
    rate: float = float("nan")
    failed: bool = False

    def __post_init__(self):
        self.gpu = torch.cuda.is_available()
        self.device = torch.device("cuda" if self.gpu else "cpu")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.manual_seed(0)
        if not self.gpu:
            torch.set_num_threads(1)

    def say(self, report):
        print(json.dumps(report), flush=True)

    def card(self):
        """The rates by which everything else is measured."""
        side, length = (256, 2**16) if self.tiny else (8192, 2**29)
        a, b = (
            jnp.asarray(x, jnp.bfloat16)
            for x in np.random.default_rng(0).standard_normal((2, side, side), np.float32)
        )
        x, one = jnp.zeros(length, jnp.bfloat16), jnp.bfloat16(1)
        ta, tb, tx = (torch.from_numpy(np.array(v, np.float32)).to(self.device, torch.bfloat16) for v in (a, b, x))
        product, add = jax.jit(jnp.matmul), jax.jit(jnp.add)
        with torch.inference_mode():
            times = self.time({
                "jax product": lambda: product(a, b), "torch product": lambda: ta @ tb,
                "jax copy": lambda: add(x, one), "torch copy": lambda: tx + 1,
            })  # fmt: skip
        self.rate = 2 * side**3 / min(times["jax product"], times["torch product"])
        self.say({
            "case": "card", "device": jax.devices()[0].device_kind, "jax": jax.__version__, "torch": torch.__version__,
            "diffusers": diffusers.__version__, "tiny": self.tiny,
            "tflop_per_s": {k: digits(2e-12 * side**3 / times[f"{k} product"]) for k in ("jax", "torch")},
            "copy_gb_per_s": {k: digits(4e-9 * length / times[f"{k} copy"]) for k in ("jax", "torch")},
        })  # fmt: skip

    def unet(self, batch):
        config = sd_oracle.TINY if self.tiny else UNetConfig()
        config = dataclasses.replace(config, **HALF)
        side, words = (16, 7) if self.tiny else (64, 77)
        net = self.drawn(lambda: sd_oracle.make_unet(config))
        x, text = sd_oracle.draws(1, (batch, 1, side, side, 4), (batch, words, config.cross_attention_dim))
        theirs = [sd_oracle.images_to_torch(x), torch.full((batch,), 501), sd_oracle.to_torch(text)]
        t = jnp.full(batch, 501)
        self.compare(
            f"unet batch {batch}",
            net,
            theirs,
            lambda out: sd_oracle.images_from_torch(out, 1),
            lambda p, x, text: UNet(config).apply({"params": p}, x, t, text),
            (jax.tree.map(half, from_torch(state(net))), half(x), half(text)),
            formats=True,
        )

    def wan(self):
        config = wan_oracle.TINY if self.tiny else WanConfig()
        config = dataclasses.replace(config, num_layers=1, **HALF)
        latents, words = ((2, 4, 4), 7) if self.tiny else ((21, 60, 104), 512)
        net = self.drawn(lambda: wan_oracle.make_transformer(config))
        x, text = sd_oracle.draws(2, (1, *latents, config.in_channels), (1, words, config.text_dim))
        t = np.array([637.5], np.float32)
        self.compare(
            "wan layer",
            net,
            [sd_oracle.video_to_torch(x), torch.from_numpy(t), sd_oracle.to_torch(text)],
            sd_oracle.video_from_torch,
            lambda p, x, text: WanTransformer(config).apply({"params": p}, x, jnp.array(t), text),
            (jax.tree.map(half, wan_oracle.stacked(state(net))), half(x), half(text)),
        )

    def cogvideox(self):
        full = {
            "num_attention_heads": 48, "attention_head_dim": 64, "in_channels": 32, "out_channels": 16,
            "time_embed_dim": 512, "ofs_embed_dim": 512, "text_embed_dim": 4096, "sample_width": 90, "sample_height": 60,
            "max_text_seq_length": 226,
        }  # fmt: skip
        net = self.drawn(lambda: cogvideox_oracle.make_transformer(num_layers=1, **({} if self.tiny else full)))
        c = net.config
        config = CogVideoXConfig(num_layers=1, **HALF, **{
            name: c[name] for name in ("num_attention_heads", "attention_head_dim", "in_channels", "out_channels",
                                       "time_embed_dim", "ofs_embed_dim", "text_embed_dim", "max_text_seq_length")
        })  # fmt: skip
        frames, words = (4, 5) if self.tiny else (14, 226)
        size = c.sample_height, c.sample_width
        x, text = sd_oracle.draws(3, (1, frames, *size, config.in_channels), (1, words, config.text_embed_dim))
        table = [part.to(self.device) for part in cogvideox_oracle.positions(net, frames, *size)]

        def call(net, x, t, text):
            return net(x, text, t, ofs=torch.full((1,), 2.0, device=x.device), image_rotary_emb=table)

        _, _, params = convert(state(net), dict(c))
        self.compare(
            "cogvideox layer",
            net,
            [
                torch.from_numpy(np.moveaxis(np.array(x), -1, 2).copy()),
                torch.tensor([501.0]),
                sd_oracle.to_torch(text),
            ],
            lambda out: np.moveaxis(out.detach().numpy(), 2, -1),
            lambda p, x, text: (
                CogVideoXTransformer(config).apply({"params": p}, x, text, jnp.array([501.0])).sample
            ),
            (jax.tree.map(half, params), half(x), half(text)),
            call=call,
        )

    def attentions(self):
        """Single attentions: every kernel that can, beside PyTorch's own choice."""
        for batch, q_tokens, kv_tokens, heads, head_dim in ATTENTIONS:
            batch = min(batch, 2) if self.tiny else batch
            shapes = [(batch, tokens, heads, head_dim) for tokens in (q_tokens, kv_tokens, kv_tokens)]
            arrays = [half(x) for x in sd_oracle.draws(4, *shapes)]
            tensors = [self.tensor(torch.from_numpy(np.array(x, np.float32))).transpose(1, 2) for x in arrays]
            candidates = {"torch": lambda ts=tensors: torch.nn.functional.scaled_dot_product_attention(*ts)}
            for kernel in ("xla", "cudnn", "blocked"):
                with contextlib.suppress(InputError):
                    run = jax.jit(lambda q, k, v, kernel=kernel: attention(q, k, v, kernel=kernel))
                    program = run.lower(*arrays).compile()
                    candidates[kernel] = lambda program=program, arrays=arrays: program(*arrays)
            with torch.inference_mode():
                times = self.time(candidates)
            self.say({
                "case": "attention", "shape": (batch, q_tokens, kv_tokens, heads, head_dim),
                "auto": choose_kernel(*arrays[:2]), "ms": {name: digits(1e3 * s) for name, s in times.items()},
            })  # fmt: skip

    def drawn(self, make):
        """A network of diffusers with random weights, made on the device."""
        with torch.device(self.device):
            return make().to(torch.bfloat16)

    def tensor(self, x):
        return x.to(self.device, torch.bfloat16 if x.is_floating_point() else x.dtype)

    def compare(self, case, net, theirs, back, ours, arguments, call=None, formats=False):
        """One line for the case: every candidate's time, and whether both sides compute the same."""
        call = call or (lambda net, x, t, text: net(x, t, text))
        inputs = [self.tensor(x) for x in theirs]
        inputs[1] = theirs[1].to(self.device)  # times keep their precision
        flops = model_flops(ours, *arguments)
        report = {"case": case, "tflop": digits(flops / 1e12)}
        # The options are a GPU's.
        lowered = {name: jax.jit(ours).lower(*arguments) for name in (XLA if self.gpu else ["jaxanim"])}

        def build(name):
            begin = time.monotonic()
            program = lowered[name].compile(compiler_options=XLA[name] or None)
            return program, round(time.monotonic() - begin, 1)

        candidates, compile_s = {}, {}
        with ThreadPoolExecutor() as pool:  # XLA compiles on one core
            for name, made in {name: pool.submit(build, name) for name in lowered}.items():
                try:
                    program, compile_s[name] = made.result()
                    candidates[name] = lambda program=program: program(*arguments)
                except (RuntimeError, ValueError) as error:
                    report[f"{name}, error"] = str(error)[:300]

        with torch.inference_mode():

            def run():
                return call(net, *inputs).sample

            expected = back(run().float().cpu()).astype(np.float64)
            actual = np.asarray(candidates["jaxanim"](), np.float64)
            candidates["diffusers eager"] = run
            candidates |= self.graphs(report, "CUDA graphs", run)
            if formats:
                net.to(memory_format=torch.channels_last)
                candidates |= self.graphs(report, "CUDA graphs, channels last", run)
            patience = min(self.compile_s, self.deadline - time.monotonic())
            if patience > 0:
                candidates |= self.compiled(patience, report, compile_s, net, call, inputs)
            times = self.time(candidates)
        error = np.abs(actual - expected).max() / np.abs(expected).max()
        report |= {"relative_difference": float(f"{error:.1e}"), "compile_s": compile_s}
        if not error < TOLERANCE:
            report["error"], self.failed = f"the results differ by {error:.1e}", True
        report["ms"] = {name: digits(1e3 * seconds) for name, seconds in times.items()}
        report["share"] = {name: digits(flops / seconds / self.rate) for name, seconds in times.items()}
        mine = min(seconds for name, seconds in times.items() if name in XLA)
        report["over jaxanim's best"] = {n: digits(s / mine) for n, s in times.items() if n not in XLA}
        self.say(report)

    def graphs(self, report, name, run):
        """`run` captured as one CUDA graph, ready to be replayed."""
        if not self.gpu:
            report[name] = "there is no GPU"
            return {}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return {name: graph.replay}

    def compiled(self, patience, report, compile_s, net, call, inputs):
        """Under torch.compile with CUDA graphs, if that is done within its seconds."""
        name = "torch.compile, CUDA graphs"
        optimised = torch.compile(net, mode="reduce-overhead" if self.gpu else "default")
        run, begin = (lambda: call(optimised, *inputs).sample), time.monotonic()

        def too_long(*_):
            raise TookTooLong

        before = signal.signal(signal.SIGALRM, too_long)
        signal.setitimer(signal.ITIMER_REAL, patience)
        try:
            for _ in range(3):
                run()
        except TookTooLong:
            report[name] = f"not compiled within {patience:.0f} s"
            return {}
        except Exception as error:  # of many kinds: PyTorch's compiler ends in whatever its parts raise
            report[name] = f"{type(error).__name__}: {error}"[:300]
            return {}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        compile_s[name] = round(time.monotonic() - begin, 1)
        return {name: run}

    def time(self, candidates, rounds=7):
        """{name: median seconds of a call}, in turns, each turn a few calls in a row and one wait."""
        seconds, calls = {name: [] for name in candidates}, {}
        for name, run in candidates.items():
            self.wait(run())
            begin = time.perf_counter()
            self.wait(run())
            calls[name] = int(np.clip(0.03 / (time.perf_counter() - begin), 1, 20))
        for _ in range(2 if self.tiny else rounds):
            for name, run in candidates.items():
                begin = time.perf_counter()
                for _ in range(calls[name]):
                    out = run()
                self.wait(out)
                seconds[name].append((time.perf_counter() - begin) / calls[name])
        return {name: statistics.median(each) for name, each in seconds.items()}

    def wait(self, out):
        if self.gpu:
            torch.cuda.synchronize()
        jax.block_until_ready(out if isinstance(out, jax.Array) else None)


class TookTooLong(BaseException):
    """Not an Exception, which PyTorch's compiler would take for a failure of its own and go on."""


def digits(value):
    """Four of them."""
    return float(f"{value:.4g}")


def half(x):
    return jnp.asarray(x, jnp.bfloat16)


def state(net):
    return {
        key: value.float().cpu().numpy() for key, value in net.state_dict().items() if value.is_floating_point()
    }


if __name__ == "__main__":
    sys.exit(main())
