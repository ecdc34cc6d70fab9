"""The paper's tables as configs: each row's weights are those of a training command, which is one that can be given."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from jaxanim.config_file import load_config
from jaxanim.metrics.evaluate import Evaluation
from jaxanim.training.experiment import Experiment, override
from sample.evaluate import choose_cases

ROOT = Path(__file__).parents[2]
TABLES = [f"directanimator_table{n}" for n in (3, 4, 5, 6)]


def commands(path):
    """The training commands in a config's docstring, as experiments by name."""
    text = ast.get_docstring(ast.parse(path.read_text())).replace("\\\n", " ")
    for name, value in re.findall(r'^ *(\w+)="(.*)"$', text, re.MULTILINE):
        text = text.replace(f"${name}", value)
    lines = [shlex.split(line) for line in text.splitlines() if line.strip().startswith("python -m train.run")]
    experiments = [override(load_config(ROOT / line[3], Experiment), line[4:]) for line in lines]
    return {experiment.name: experiment for experiment in experiments}


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_weights_that_a_command_trains(table):
    config = load_config(ROOT / "configs" / f"{table}.py", Evaluation)
    trained = commands(ROOT / "configs" / f"{table}.py")
    ours = commands(ROOT / "configs" / "directanimator_table3.py")
    known = trained | {name: ours[name] for name in OURS}
    used = [known[Path(variant.weights).parts[1]] for variant in config.variants]
    used += [known[Path(experiment.task.start).parts[1]] for experiment in used]
    for stage in (1, 2):
        budgets = {
            (e.steps, e.batch_size, e.learning_rate, e.optimizer, e.warmup, e.ema_decay, e.init_from)
            for e in used if e.task.stage == stage
        }  # fmt: skip
        assert len(budgets) == 1  # equal budgets
    for variant in config.variants:
        last = known[Path(variant.weights).parts[1]].task
        first = known[Path(last.start).parts[1]].task
        assert first.pairs.cues == last.pairs.cues
    # No two rows are the same training.
    tasks = [known[Path(variant.weights).parts[1]].task for variant in config.variants]
    assert len({repr(task) for task in tasks}) == len(tasks)
    assert len(config.variants) == {"3": 9, "4": 5, "5": 3, "6": 3}[table[-1]]


OURS = ("directanimator_ours_stage1", "directanimator_ours")


def test_styles_are_performed_by_every_seed():
    config = load_config(ROOT / "configs" / "directanimator_occlusion.py", Evaluation)
    cases = choose_cases(config, range(950_000, 950_002), None, wrong=False)
    assert list(cases) == [f"{style}/{seed}" for style in ("turn", "crouch", "jump") for seed in (950_000, 950_001)]
    beside = load_config(ROOT / "configs" / "magicanimate_occlusion.py", Evaluation)
    assert beside.styles == config.styles
    assert beside.frames == config.frames
