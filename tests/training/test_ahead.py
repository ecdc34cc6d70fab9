"""Compiling ahead of time for TPUs: the plans, the compiler's report, and the collectives in a program's text."""

import dataclasses
import importlib.util
import json

import jax
import jax.numpy as jnp
import pytest

from configs.full import ROWS
from jaxanim.attention import attention
from jaxanim.config_file import load_config
from jaxanim.errors import InputError
from jaxanim.models.network import example
from jaxanim.training import scaling
from jaxanim.training.ahead import asked_for, compile_step
from jaxanim.training.collectives import traffic
from jaxanim.training.experiment import Experiment
from jaxanim.training.partition import partition
from jaxanim.training.scaling import expected
from jaxanim.training.sharding import MeshShape
from jaxanim.training.task import Plan, Planned, Task
from train import compile as program

HLO = """HloModule jit_step, entry_computation_layout={()->f32[]}

%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %add = f32[]{:T(128)} add(%a, %b)
}

%condition (p: (s32[], f32[8])) -> pred[] {
  %constant.1 = s32[]{:T(128)} constant(30)
  %i = s32[] get-tuple-element(%p), index=0
  ROOT %lt = pred[] compare(%i, %constant.1), direction=LT
}

%step_of_a_gather (p: bf16[4,16]) -> bf16[16,16] {
  ROOT %all-gather.8 = bf16[16,16]{1,0:T(8,128)(2,1)S(1)} all-gather(%p), channel_id=7, replica_groups=[16,4]<=[64], dimensions={0}
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %all-gather.7 = bf16[16,16]{1,0:T(8,128)(2,1)} all-gather(%p), channel_id=7, replica_groups=[16,4]<=[64], dimensions={0}
  %fusion.1 = bf16[16,16]{1,0} fusion(%p), kind=kCustom, calls=%step_of_a_gather
  %all-reduce.3 = (f32[8]{0}, f32[2,2]{1,0}) all-reduce(%p, %q), channel_id=8, replica_groups={{0,1},{2,3}}, to_apply=%sum
}

%until_16 (p: (f32[8], u32[])) -> pred[] {
  %constant.16 = u32[]{:T(128)} constant(16)
  %n = u32[] get-tuple-element(%p), index=1
  ROOT %less = pred[] compare(%n, %constant.16), direction=LT
}

%two_at_once (p: (f32[8], u32[])) -> (f32[8], u32[]) {
  %constant.31 = u32[]{:T(128)} constant(31)
  %constant.2 = u32[]{:T(128)} constant(2)
  %count = u32[] get-tuple-element(%p), index=1
  %mine = u32[] add(%count, %constant.31)
  %shard = f32[8]{0} get-tuple-element(%p), index=0
  %one = f32[8]{0} collective-permute(%shard), channel_id=11, source_target_pairs={{0,1}}
  %two = f32[8]{0} collective-permute(%one), channel_id=12, source_target_pairs={{0,1}}
  %next = u32[] add(%count, %constant.2)
  ROOT %both = (f32[8], u32[]) tuple(%two, %next)
}

ENTRY %main (p: f32[8]) -> f32[] {
  %while.1 = (s32[], f32[8]) while(%p), condition=%condition, body=%body
  %reduce-scatter.2 = f32[8]{0} reduce-scatter(%q), channel_id=9, replica_groups=mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'b'}, to_apply=%sum
  %while.2 = (f32[8], u32[]) while(%p), condition=%until_16, body=%two_at_once
  %permute = (f32[8]{0}, f32[8]{0}, u32[], u32[]) collective-permute-start(%q), channel_id=10, source_target_pairs={{0,1}}
  %done = f32[8]{0} collective-permute-done(%permute)
}
"""


def test_collectives_are_counted_for_each_turn_and_their_steps_once():
    found = traffic(HLO)
    assert found.calls == {"all-gather": 30, "all-reduce": 30, "collective-permute": 17, "reduce-scatter": 1}
    assert found.bytes == {
        "all-gather": 30 * 16 * 16 * 2 * 3 // 4,
        "all-reduce": 30 * 2 * (8 * 4 + 4 * 4) // 2,
        "collective-permute": 17 * 32,
        "reduce-scatter": 32 * 3,
    }


@dataclasses.dataclass(frozen=True)
class OneLayer(Task):
    """A task of one attention with a matrix before it, at 1024 tokens of 8 heads of 64."""

    trainable = (r"^layer/",)
    width = 512

    def plan(self, batch_size):
        params = {"layer": {"to_q": {"kernel": example(self.width, self.width)}}}
        batch = {"x": example(batch_size, 1024, self.width, dtype=jnp.bfloat16)}
        return Plan(self, params, batch, self.attend, (example(1, 1024, self.width, dtype=jnp.bfloat16),))

    def open(self):
        return self

    def attend(self, params, x):
        q = (x @ params["layer"]["to_q"]["kernel"].astype(x.dtype)).reshape(*x.shape[:2], 8, 64)
        k = x.reshape(q.shape)
        return attention(q, k, k)

    def loss(self, params, batch, key):
        return jnp.mean(jnp.square(self.attend(params, batch["x"]).astype(jnp.float32))), {}


needs_compiler = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu")


@needs_compiler
def test_a_step_is_compiled_for_chips_that_are_not_there(tmp_path, capsys):
    config = tmp_path / "one.py"
    config.write_text(
        "from jaxanim.training.experiment import Experiment\nfrom jaxanim.training.sharding import MeshShape\n"
        "from tests.training.test_ahead import OneLayer\n"
        "config = Experiment('one', OneLayer(), batch_size=8, mesh=MeshShape(fsdp=4))\n"
    )
    assert program.main([str(config), "--topology", "v5e:2x2"]) == 0
    report = json.loads(capsys.readouterr().out)
    tokens, width = 2 * 1024, 512
    # The matrix forward and for its gradient (x does not learn); q k and weights v forward, and of their four
    # gradients the two that lead to q.
    assert report["flops"] == 2 * (2 * tokens * width * width) + (2 + 2) * (2 * tokens * 1024 * width)
    assert report["fits"]
    assert report["limit_gib"] == 15.75
    # Matrix, average and two moments of float32 in four shards, and x.
    assert report["state_gib"] == pytest.approx((4 * 4 * width * width / 4 + tokens * width * 2) / 2**30, abs=2e-3)
    assert report["pallas_kernels"] >= 2
    assert report["received"].keys() == report["collectives"].keys()
    assert min(report["received"].values()) > 0


@needs_compiler
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--topology", "v9-64"], "give one of v5e-16 (v5e:4x4)"),
        (["--topology", "v5e:2x2", "--effort", "3"], "--effort is 3: give -1 to 1"),
        (["--topology", "v5e:3x7"], "none that there is"),
        (["--topology", "v5e:2x2"], "does not cover 4 devices"),
        ([], "topology is missing"),
    ],
)
def test_bad_input_ends_with_a_sentence(words, said, capsys):
    assert program.main(["configs/full_directanimator.py", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "gib"),
    [
        ("Ran out of memory on HBM, the total memory required for HLO temporaries (17.03G) exceeds 15.75G.", 17.03),
        ("Ran out of memory in memory space hbm. Used 512.00M of 15.75G hbm.", 0.5),
        ("Ran out of something.", None),
    ],
)
def test_what_a_program_would_need_is_read_in_the_compiler_s_words(message, gib):
    assert asked_for(message) == gib


def test_rows_become_a_table_and_a_line_that_is_none_is_named(tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    failed = {"row": ["configs/full_x.py"], "failed": "not compiled in 60 minutes"}
    large = {"config": "full_y", "step": "train", "topology": "v5e-16", "mesh": {"data": 16}, "batch_size": 16,
             "limit_gib": 15.75, "needs_gib": None, "fits": False, "flops": 2e12, "compile_s": 5.5, "effort": -1}  # fmt: skip
    rows.write_text(json.dumps(failed) + "\n" + json.dumps(large) + "\n")
    assert program.main(["--table", str(rows)]) == 0
    told = capsys.readouterr().out
    assert "| configs/full_x.py | | | | | not compiled in 60 minutes |" in told
    assert "| v5e-16 | data 16 | 16 | **too large:** more (15.8) | 2.0 |  |  | 6 s (less effort) |" in told
    rows.write_text(rows.read_text() + "cut of")
    assert program.main(["--table", str(rows)]) == 2
    assert "line 3 is no report that this program printed" in capsys.readouterr().err


def test_scaling_on_paper(tmp_path, capsys):
    report = {
        "config": "full_x", "step": "train", "topology": "v5p-64", "mesh": {"fsdp": 32}, "fits": True,
        "flops": 459e12, "received": {"all-gather": 62e9, "all-reduce": 31e9},
    }  # fmt: skip
    found = expected(report, 16, share=0.5)
    # All parts together are 93 GB * 32 / 31 = 96 GB, of which a chip of 16 lacks 90; half of 600 GB/s brings them.
    assert found.received == pytest.approx(90e9)
    assert found.traffic == pytest.approx(0.3)
    # A second's operations, a third of them again, at half the peak.
    assert found.compute == pytest.approx(8 / 3)
    assert found.hidden == pytest.approx(3 / 8)
    assert found.apart == pytest.approx(1 / (8 / 3 + 0.3))
    rows, failed = tmp_path / "rows.jsonl", {"row": ["configs/full_y.py"], "failed": "not compiled"}
    rows.write_text(f"{json.dumps(report)}\n{json.dumps(failed)}\n")
    assert program.main(["--scaling", str(rows), "--share", "0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| full_x | v5p | 16 | 90.0 | 5100 | 2.67 | 0.300 | 37.5 % | 33.7 % |"
    assert len(lines) == 2 + 3
    assert program.main(["--scaling", str(rows), "--share", "2"]) == 2
    # Without fsdp, gradients are summed over data; a row's own size stands beside its name.
    summed = report | {"mesh": {"data": 32}, "row": ["configs/full_x.py", "task.x.span=9", "task.size=8", "--step", "train"]}
    assert expected(summed, 16, share=0.5) == found
    assert scaling.table([summed], (16,)).splitlines()[2].startswith("| full_x task.size=8 | v5p | 16 | 90.0 |")
    for wrong, said in (({"step": "sample"}, "no training step"), ({"mesh": {}}, "nothing about traffic")):
        with pytest.raises(InputError, match=said):
            expected(report | wrong, 16)


def test_a_recipe_without_a_plan_is_named():
    from configs.base import config

    with pytest.raises(Exception, match="TextToImageRecipe has no plan"):
        compile_step(dataclasses.replace(config, mesh=MeshShape()), "v5e:2x2")


def test_rows_are_of_configs_that_have_a_plan():
    for file in {row.arguments[0] for row in ROWS}:
        assert isinstance(load_config(file, Experiment).task, Planned)


@pytest.mark.parametrize("file", ["configs/full_directanimator.py", "configs/full_poseanything.py"])
def test_full_size_plans_fit_their_programs(file):
    """The loss and a step of sampling can be traced on what the plan says, and patterns find what learns; those of
    the UNet's systems, which take long to trace, are held against their real batches at small size."""
    experiment = load_config(file, Experiment)
    plan = experiment.task.plan(16)
    partition(plan.params, plan.task.trainable)
    value, _ = jax.eval_shape(plan.task.loss, plan.params, plan.batch, jax.random.key(0))
    assert value.shape == ()
    x = plan.inputs[-2]
    assert jax.eval_shape(plan.denoise, plan.params, *plan.inputs).shape == x.shape
