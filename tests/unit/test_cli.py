"""Claims of the command line: what is printed where, and with which exit code."""

import json

import numpy as np
import pytest

from deeptracker import conform
from deeptracker.cli import main
from deeptracker.demo import run_demo
from deeptracker.errors import InputError
from deeptracker.store import LogWriter, open_run
from deeptracker.testing import simulate


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command; answers (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setenv("COLUMNS", "140")
        monkeypatch.setattr("sys.argv", ["deeptracker", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return call


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "tiny"
    simulate(path, model="tiny", iterations=40, images=30, passes=4)
    return path


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    path = tmp_path_factory.mktemp("analysed") / "tiny"
    simulate(path, model="tiny", iterations=20)
    documents = [
        event(1, "dead-filters", 12, layers=["conv1", "conv2", "fc"], rate=0.02),
        event(2, "label-flip", 5, classes=["cat"], rate=None),
        {**event(None, "lr-drop", 9), "kind": "label"},
    ]
    columns = {
        "document": [json.dumps(d) for d in documents],
        "rank": np.array([1, 2, -1]),
        "iteration": np.array([12, 5, 9]),
    }
    with open_run(path).write_stage("anomalies", {}) as writer:
        writer.put("anomalies/events", conform.build("anomalies/events", columns))
    return path


def event(rank, cause, iteration, layers=(), classes=(), rate=None):
    return {
        "rank": rank,
        "kind": "anomaly",
        "cause": cause,
        "iteration": iteration,
        "known_at": iteration,
        "end": iteration,
        "layers": list(layers),
        "filters": [],
        "classes": list(classes),
        "images": [],
        "false_per_1000": rate,
        "evidence": [{"text": f"evidence of {cause}", "expression": "run", "for": True}],
    }


@pytest.mark.parametrize("command", ["info", "events", "analyze", "verify"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is an empty folder"),
        (lambda path: path.write_text("x"), "is a file, not a run"),
        (lambda path: (path / "photos").mkdir(parents=True), "is not a run"),
        (lambda path: (path / "log.zarr").mkdir(parents=True), "nothing in it was committed"),
    ],
)
def test_wrong_path__is_one_clear_line(run, tmp_path, command, make, says):
    make(tmp_path / "there")
    code, out, err = run(command, tmp_path / "there")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith(f"deeptracker: {tmp_path / 'there'} ")
    assert says in err


def test_wrong_usage__exits_2(run):
    assert run("info")[0] == 2
    assert run("events", "x", "--top", "0")[0] == 2
    assert run("fly")[0] == 2
    assert run("analyze", ".", "--cluster", "local", "--scheduler", "tcp://127.0.0.1:1")[0] == 2


def test_interrupt__exits_130(run, monkeypatch, recorded):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("deeptracker.store.open_run", interrupted)
    code, _, err = run("info", recorded)
    assert code == 130
    assert "Traceback" not in err


def test_info__of_a_recorded_run_says_what_it_holds_and_lacks(run, recorded):
    code, out, _ = run("info", recorded)
    assert code == 0
    for text in ("closed", "6 layers, 66 filters", "40 filter records", "4 passes over 30 images", "kB"):
        assert text in out
    assert f"deeptracker analyze {recorded}" in out


def test_info_json__is_stable(run, recorded):
    facts = json.loads(run("info", recorded, "--json")[1])
    assert (facts["schema"], facts["records"], facts["filters"], facts["state"]) == (1, 40, 66, "closed")
    assert facts["validation"] == [{"set": "validation/raw", "passes": 4, "images": 30}]
    assert [item["what"] for item in facts["missing"]] == ["stage index", "stage anomalies", "stage correlation"]


def test_info__of_a_live_run_says_so(run, tmp_path):
    with LogWriter(tmp_path / "run", background=False) as writer:
        writer.append("scalars", 7, {"loss": 1.0})
        writer.flush()
        assert json.loads(run("info", tmp_path / "run", "--json")[1])["state"] == "live"
        assert "up to iteration 7" in run("info", tmp_path / "run")[1]
    assert "closed" in run("info", tmp_path / "run")[1]


def test_list__has_a_line_a_run_and_takes_an_empty_folder(run, recorded, tmp_path):
    code, out, _ = run("list", recorded.parent)
    assert code == 0
    assert "tiny" in out
    assert "4 × 30" in out
    assert json.loads(run("list", recorded.parent, "--json")[1])["runs"][0]["name"] == "tiny"
    code, out, _ = run("list", tmp_path)
    assert code == 0
    assert "no runs" in out
    assert run("list", tmp_path / "nowhere")[0] == 1


def test_events__are_ranked_with_labels_apart(run, analysed):
    code, out, _ = run("events", analysed)
    assert code == 0
    table, labels = out.split("Labels")
    assert table.index("dead-filters") < table.index("label-flip")
    assert "conv1, conv2 + 1" in table
    assert "uncalibrated" in table
    assert "evidence of dead-filters" in table
    assert "lr-drop" not in table
    assert "evidence of lr-drop" in labels


def test_events__of_a_narrow_terminal_keep_their_evidence(run, analysed, monkeypatch):
    wide = run("events", analysed)[1]
    monkeypatch.setattr("deeptracker.cli.events._WIDE", 1000)
    narrow = run("events", analysed)[1]
    assert "evidence of label-flip" in wide
    assert "2  evidence of label-flip" in narrow


def test_events_json__has_the_documents_and_top_limits_anomalies(run, analysed):
    everything = json.loads(run("events", analysed, "--json")[1])
    assert everything["schema"] == 1
    assert [d["cause"] for d in everything["events"]] == ["dead-filters", "label-flip", "lr-drop"]
    first = json.loads(run("events", analysed, "--json", "--top", "1")[1])
    assert [d["cause"] for d in first["events"]] == ["dead-filters", "lr-drop"]
    assert "1 more" in run("events", analysed, "--top", "1")[1]


@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_events__of_a_run_that_was_not_analysed_name_the_command(run, recorded, flag):
    code, out, err = run("events", recorded, *flag)
    assert (code, out) == (1, "")
    assert f"deeptracker analyze {recorded}" in err
    assert err.count("\n") == 1


def test_verify__exits_1_and_names_what_is_damaged(run, tmp_path):
    simulate(tmp_path / "run", model="tiny", iterations=20)
    assert run("verify", tmp_path / "run")[0] == 0
    file = tmp_path / "run/log.zarr/scalars/loss/c/0"
    file.write_bytes(file.read_bytes()[:-3])
    code, out, err = run("verify", tmp_path / "run")
    assert code == 1
    assert "scalars/loss, iterations 0 to 19" in out
    assert "verify" in err
    assert "--repair" in err
    code, out, _ = run("verify", tmp_path / "run", "--repair")
    assert code == 0
    assert "missing from now on" in out
    assert run("verify", tmp_path / "run")[0] == 0
    lost = json.loads(run("info", tmp_path / "run", "--json")[1])["lost"]
    assert lost == [{"group": "scalars", "variable": "loss", "first": 0, "last": 19, "rows": 20}]


def test_simulate__writes_a_run(run, tmp_path):
    code, out, _ = run(
        "simulate", tmp_path / "s", "--model", "tiny", "--iterations", 12, "--images", 9, "--passes", 3
    )
    assert code == 0
    assert "12 iterations of tiny" in out
    assert open_run(tmp_path / "s").validation.sizes == {"validation": 3, "image": 9}
    code, _, err = run("simulate", tmp_path / "s", "--model", "tiny", "--iterations", 12)
    assert code == 1
    assert "already holds a run" in err


def test_help__needs_no_stage(run):
    code, out, _ = run("--help")
    assert code == 0
    for name in ("demo", "info", "list", "events", "serve", "analyze", "export", "verify", "simulate"):
        assert name in out


@pytest.mark.parametrize("command", [("simulate", "run", "--iterations", 3), ("demo", "--out", "run")])
def test_seeds__below_zero_are_wrong_usage_and_write_nothing(run, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*command, "--seed", -1)
    assert code == 2
    assert "Invalid value for '--seed'" in err
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="seed -1 is no whole number"):
        run_demo(seed=-1, out=tmp_path / "run")
