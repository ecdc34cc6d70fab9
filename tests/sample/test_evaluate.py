import json

import pytest

from jaxanim.media.images import read_image
from sample.evaluate import main

CONFIG = """
from jaxanim.metrics.evaluate import Evaluation, Variant

config = Evaluation(
    name="tiny", system="magicanimate", weights={weights!r}, size=(64, 48), frames=6, steps=2, guidance=1.5,
    variants=(Variant("all"), Variant("no overlap", options={{"overlap": 0}}, budget="60 min")),
)
"""


@pytest.fixture
def command(tiny, tmp_path):
    (tmp_path / "config.py").write_text(CONFIG.format(weights=str(tiny[0])))
    return [str(tmp_path / "config.py"), "--seeds", "950000:950002", "--out", str(tmp_path / "results")]


def test_prints_a_table_and_writes_results_and_a_sheet(command, tiny, tmp_path, capsys):
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["case", "950000", "950001", "mean"]
    last = json.loads(lines[-1])
    assert last["cases"] == 2
    assert last["psnr_subject"] > last["psnr_subject_wrong"]
    kept = json.loads((tmp_path / "results" / "results.json").read_text())
    assert kept["settings"]["options"] == {"steps": 2, "guidance": 1.5}
    assert read_image(tmp_path / "results" / "sheet.png").shape[0] > 5 * 64
    assert len(tiny[1]) == 4
    assert main(command) == 0
    assert len(tiny[1]) == 4
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == last


def test_other_weights_in_the_same_place_do_not_mix_with_old_results(command, tiny, capsys):
    import numpy as np

    from jaxanim.weights import load_weights, save_weights

    assert main(command) == 0
    config, _ = load_weights(tiny[0])["mix"]
    save_weights(tiny[0], {"mix": (config, {"share": np.ones(4, np.float32)})}, system="magicanimate")
    capsys.readouterr()
    assert main(command) == 2
    assert "made with another fingerprint" in capsys.readouterr().err


def test_captured_motions_are_performed_by_every_identity(command, puppet, tiny, tmp_path, capsys):
    motions = tmp_path / "motions"
    motions.mkdir()
    (motions / "walk").symlink_to(puppet / "openpose")
    assert main([*command, "--motions", str(motions), "--skip-wrong"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["case", "walk/950000", "walk/950001", "mean"]
    assert len(tiny[1]) == 2


def test_ablations_are_one_row_each(command, tiny, tmp_path, capsys):
    assert main([*command, "--ablations"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip().startswith("all (2 of 2)")
    assert lines[2].strip().startswith("no overlap (2 of 2, 60 min)")
    assert [call.get("overlap") for call in tiny[1]] == [None, None, 0, 0]
    assert (tmp_path / "results" / "no overlap" / "sheet.png").exists()
    assert main([*command, "--ablations", "--only", "all,none"]) == 2
    assert "--only names none; the config's variants are all, no overlap" in capsys.readouterr().err


def test_a_variant_without_its_weights_is_named_before_anything_runs(command, tiny, tmp_path, capsys):
    text = (
        (tmp_path / "config.py")
        .read_text()
        .replace('Variant("no overlap",', 'Variant("no overlap", weights="none",')
    )
    (tmp_path / "config.py").write_text(text)
    assert main([*command, "--ablations"]) == 2
    assert "'no overlap' needs weights in none, where there are none" in capsys.readouterr().err
    assert tiny[1] == []


def test_no_time_no_case(command, tiny, capsys):
    assert main([*command, "--limit-minutes", "0"]) == 0
    assert "none of 2 cases" in capsys.readouterr().out
    assert tiny[1] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.py", "--seeds", "1:2"], "config none.py does not exist"),
        (["CONFIG", "--seeds", "5:5"], "--seeds: '5:5' is not a range of seeds"),
        (["CONFIG"], "required: --seeds"),
        (["CONFIG", "--seeds", "1:2", "--motions", "none"], "--motions none is not a folder"),
        (["CONFIG", "--seeds", "1:2", "--weights", "/none"], "weights folder /none does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(command, arguments, sentence, tmp_path, capsys):
    arguments = [command[0] if word == "CONFIG" else word for word in arguments]
    if "--seeds" in arguments:
        arguments += ["--out", str(tmp_path / "results")]
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.rstrip().count("\n") == 0
    assert not (tmp_path / "results").exists()
